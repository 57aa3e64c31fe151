"""Parameters and layers of the training algorithms become job fields; bad ones are named."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

pytest.importorskip("qgis.core")

from qgis.core import (
    QgsApplication,
    QgsFeature,
    QgsGeometry,
    QgsProcessingContext,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorFileWriter,
    QgsVectorLayer,
)
from qgis.testing import start_app

from rs_segment_plugin.engine_api import Metrics, Result, list_networks
from rs_segment_plugin.provider import ALGORITHMS, RsSegmentProvider
from rs_segment_plugin.worker.environment import EngineEnvironment
from tests.plugin.rasters import NORTH, PYTHON, WEST, class_map, write_identity, write_raster

pytestmark = pytest.mark.qgis
start_app()


class Recorder:
    """Stands where the client stands: keeps the job, answers with a prepared result."""

    def __init__(self) -> None:
        self.jobs: list[tuple[str, dict]] = []
        self.answer = Result({"chips": "there"}, {"train": 3, "val": 2, "test": 1}, 4.0)
        self.events: list = []

    def run(self, python, job, fields, on_event, cancelled, *, save_s=0.0):
        self.jobs.append((job, fields))
        for event in self.events:
            on_event(event)
        return self.answer

    def close(self) -> None:
        pass


class Feedback(QgsProcessingFeedback):
    """Keeps the lines and events."""

    def __init__(self) -> None:
        super().__init__(False)
        self.lines: list[str] = []
        self.events: list = []

    def pushInfo(self, info):
        self.lines.append(info)

    def engine_event(self, event):
        self.events.append(event)


@pytest.fixture(scope="module")
def provider():
    recorder = Recorder()
    environment = EngineEnvironment(recorder)
    made = RsSegmentProvider(recorder, environment)
    QgsApplication.processingRegistry().addProvider(made)
    made.recorder = recorder
    yield made
    QgsApplication.processingRegistry().removeProvider(made)


@pytest.fixture
def run(provider, monkeypatch, tmp_path):
    monkeypatch.setenv("RS_SEGMENT_PYTHON", PYTHON)
    monkeypatch.setenv("RS_SEGMENT_ZOO", str(tmp_path / "zoo"))
    project = QgsProject()

    def run(name, parameters, feedback=None):
        """Run one algorithm; returns its results and the fields of its job."""
        algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"rssegment:{name}")
        context = QgsProcessingContext()
        context.setProject(project)
        ok, message = algorithm.checkParameterValues(parameters, context)
        if not ok:
            raise ValueError(message)
        results, ok = algorithm.run(
            parameters, context, feedback or Feedback(), {}, catchExceptions=False
        )
        assert ok
        return results, provider.recorder.jobs[-1][1]

    run.project = project
    run.recorder = provider.recorder
    return run


@pytest.fixture
def raster(tmp_path):
    return QgsRasterLayer(str(write_raster(tmp_path / "odd grid.tif", class_map())), "odd grid")


def label_layer(kinds=("roof", "road"), uri="MultiPolygon?crs=EPSG:32633"):
    layer = QgsVectorLayer(f"{uri}&field=kind:string&field=fid:string", "labels", "memory")
    for number, kind in enumerate(kinds):
        feature = QgsFeature(layer.fields())
        feature.setAttributes([kind, "same"])
        box = QgsRectangle(WEST + 20 * number, NORTH - 20, WEST + 20 * number + 15, NORTH - 2)
        feature.setGeometry(QgsGeometry.fromRect(box))
        layer.dataProvider().addFeature(feature)
    return layer


def saved(layer, path):
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = {".gpkg": "GPKG", ".shp": "ESRI Shapefile", ".geojson": "GeoJSON"}[
        path.suffix
    ]
    options.layerName = path.stem
    options.attributes = [0]
    context = QgsProject.instance().transformContext()
    QgsVectorFileWriter.writeAsVectorFormatV3(layer, str(path), context, options)
    found = QgsVectorLayer(str(path), path.stem, "ogr")
    assert found.isValid()
    return found


def rows(path, layer):
    with sqlite3.connect(path) as database:
        found = database.execute(f'select kind from "{layer}" order by 1').fetchall()
    database.close()
    return [kind for (kind,) in found]


def categorized(layer, colors):
    from qgis.core import QgsCategorizedSymbolRenderer, QgsFillSymbol, QgsRendererCategory

    categories = [
        QgsRendererCategory(value, QgsFillSymbol.createSimple({"color": color}), value)
        for value, color in colors.items()
    ]
    layer.setRenderer(QgsCategorizedSymbolRenderer("kind", categories))


def test_chips_of_a_memory_layer_are_exported_with_class_and_colours(run, raster, tmp_path):
    layer = label_layer()
    categorized(layer, {"roof": "#e6550d", "road": "#112233"})
    results, job = run(
        "makechips",
        {
            "RASTER": [raster],
            "LABELS": layer,
            "CLASS_FIELD": "kind",
            "AOI": label_layer(),
            "TILE": 64,
            "SPLIT": "60,20,20",
            "BLOCK": 12.5,
            "OUTPUT": str(tmp_path / "chips"),
        },
    )
    assert job["rasters"] == [raster.source()] and job["crs"] == ""
    assert rows(job["labels"], job["label_layer"]) == ["road", "roof"]
    assert (job["class_field"], job["tile_px"], job["block_m"]) == ("kind", 64, 12.5)
    assert job["split"] == [60.0, 20.0, 20.0] and job["background"] is True
    assert sorted(job["colors"]) == ["road=#112233", "roof=#e6550d"]
    assert Path(job["aoi"]).is_file() and job["aoi_layer"] and job["ignore"] == ""
    assert results["OUTPUT"] == str(tmp_path / "chips") and results["TRAIN_CHIPS"] == 3


@pytest.mark.parametrize("ending", [".gpkg", ".shp", ".geojson"])
def test_a_plain_file_is_read_by_the_engine_itself(run, raster, tmp_path, ending):
    layer = saved(label_layer(), tmp_path / f"labels{ending}")
    _, job = run(
        "makechips",
        {"RASTER": [raster], "LABELS": layer, "CLASS_FIELD": "kind", "OUTPUT": str(tmp_path / "c")},
    )
    assert job["labels"] == str(tmp_path / f"labels{ending}")
    assert job["label_layer"] in ("", "labels")


def test_edits_that_are_not_saved_are_part_of_the_labels(run, raster, tmp_path):
    layer = saved(label_layer(), tmp_path / "labels.gpkg")
    layer.startEditing()
    first = next(layer.getFeatures())
    layer.changeAttributeValue(first.id(), layer.fields().lookupField("kind"), "tree")
    _, job = run(
        "makechips",
        {"RASTER": [raster], "LABELS": layer, "CLASS_FIELD": "kind", "OUTPUT": str(tmp_path / "c")},
    )
    assert job["labels"] != str(tmp_path / "labels.gpkg")
    assert rows(job["labels"], job["label_layer"]) == ["road", "tree"]
    assert rows(tmp_path / "labels.gpkg", "labels") == ["road", "roof"]


def test_only_the_selected_labels_are_taken(run, raster, tmp_path):
    layer = saved(label_layer(), tmp_path / "labels.gpkg")
    run.project.addMapLayer(layer)
    layer.selectByExpression("\"kind\" = 'road'")
    labels = QgsProcessingFeatureSourceDefinition(layer.id(), selectedFeaturesOnly=True)
    _, job = run(
        "makechips",
        {"RASTER": [raster], "LABELS": labels, "CLASS_FIELD": "kind", "OUTPUT": "/tmp/c"},
    )
    assert rows(job["labels"], job["label_layer"]) == ["road"]


def test_a_self_crossing_label_and_a_filter_reach_the_engine(run, raster, tmp_path):
    layer = label_layer(())
    feature = QgsFeature(layer.fields())
    feature.setAttributes(["roof", "x"])
    bow_tie = "MULTIPOLYGON(((0 0, 2 2, 2 0, 0 2, 0 0)))"
    feature.setGeometry(QgsGeometry.fromWkt(bow_tie))
    layer.dataProvider().addFeature(feature)
    _, job = run("makechips", {"RASTER": [raster], "LABELS": layer, "OUTPUT": "/tmp/c"})
    assert QgsVectorLayer(job["labels"], "copy", "ogr").featureCount() == 1
    filtered = saved(label_layer(), tmp_path / "labels.gpkg")
    filtered.setSubsetString("kind = 'road'")
    _, job = run(
        "makechips",
        {"RASTER": [raster], "LABELS": filtered, "CLASS_FIELD": "kind", "OUTPUT": "/tmp/c"},
    )
    assert rows(job["labels"], job["label_layer"]) == ["road"]


BAD_CHIPS = {
    "nothing": ({"RASTER": None, "LABELS": None}, "either rasters and labels"),
    "no labels": ({"LABELS": None}, "No label layer"),
    "split": ({"SPLIT": "70,10,10"}, "100 percent"),
    "split text": ({"SPLIT": "most,few,few"}, "'most'"),
    "both": ({"DATASET": "coco", "ROOT": "/tmp"}, "either rasters and labels"),
    "bands": ({"BANDS": "0,1"}, "below 1"),
}


@pytest.mark.parametrize("name", BAD_CHIPS)
def test_bad_values_of_chips_are_named_before_the_run(run, raster, name):
    changed, word = BAD_CHIPS[name]
    parameters = {"RASTER": [raster], "LABELS": label_layer(), "OUTPUT": "/tmp/c", **changed}
    with pytest.raises(ValueError, match=word):
        run("makechips", parameters)


def test_an_unknown_class_field_names_the_fields_of_the_layer(run, raster):
    parameters = {"RASTER": [raster], "LABELS": label_layer(), "OUTPUT": "/tmp/c"}
    with pytest.raises(ValueError, match="kind, fid"):
        run("makechips", {**parameters, "CLASS_FIELD": "klass"})


def test_training_goes_to_the_users_models_and_passes_metrics_on(run, tmp_path):
    run.recorder.events = [
        Metrics("train", 1, 0.1, {"loss": 0.9}),
        Metrics("val", 10, 1.0, {"loss": 0.5, "miou": 0.71}),
    ]
    run.recorder.answer = Result({"model": "m", "report": "r.html", "metrics": "m.json"})
    feedback = Feedback()
    (tmp_path / "chips").mkdir()
    results, job = run(
        "train",
        {
            "CHIPS": str(tmp_path / "chips"),
            "NETWORK": "unet",
            "PRESET": "quick",
            "TITLE": "Roofs of Banepa!",
            "OPTIONS": "optimizer.lr=1e-3; loss.weights=1,2",
            "LR": 0.002,
        },
        feedback,
    )
    run.recorder.events = []
    assert job["output"] == str(tmp_path / "zoo" / "roofs_of_banepa")
    assert (job["network"], job["preset"], job["init"]) == ("unet", "quick", "")
    assert job["options"] == ["optimizer.lr=1e-3", "loss.weights=1,2"] and job["lr"] == 0.002
    assert (job["epochs"], job["workers"], job["resume"], job["finish"]) == (0, -1, False, False)
    assert results["OUTPUT"] == "m" and results["REPORT"] == "r.html"
    assert [event.series for event in feedback.events[:2]] == ["train", "val"]
    assert feedback.lines == ["Epoch 1, step 10: loss 0.5, miou 0.71"]


def test_fine_tuning_starts_from_the_folder_of_a_model(run, tmp_path):
    write_identity(tmp_path / "zoo" / "mine", 2)
    parameters = {"CHIPS": "c", "INIT": "mine", "OUTPUT": str(tmp_path / "m"), "FINISH": True}
    _, job = run("train", {**parameters, "RESUME": True})
    assert job["init"] == str(tmp_path / "zoo" / "mine") and job["network"] == ""
    assert job["finish"] and job["resume"]
    with pytest.raises(ValueError, match="mnie"):
        run("train", {**parameters, "INIT": "mnie"})
    with pytest.raises(ValueError, match="network"):
        run("train", {"CHIPS": "c", "OUTPUT": str(tmp_path / "m")})


def test_evaluate_reads_the_numbers_and_writes_a_page(run, raster, tmp_path):
    model = write_identity(tmp_path / "zoo" / "mine", 2)
    metrics = tmp_path / "metrics.json"
    record = {
        "miou": 0.75,
        "data": "odd <grid>",
        "classes": [{"name": "roof & wall", "iou": 0.5, "f1": 2 / 3}],
        "confusion": [[1, 2], [3, 4]],
    }
    metrics.write_text(json.dumps(record))
    run.recorder.answer = Result({"metrics": str(metrics)})
    results, job = run(
        "evaluate",
        {
            "MODEL": "mine",
            "RASTER": raster,
            "LABELS": label_layer(),
            "CLASS_FIELD": "kind",
            "BOUNDARY": 2,
            "OUTPUT": str(metrics),
            "REPORT": str(tmp_path / "report.html"),
        },
    )
    assert (job["model"], job["raster"]) == (str(model), raster.source())
    assert rows(job["labels"], job["label_layer"]) == ["road", "roof"]
    assert (job["boundary_px"], job["split"], job["chips"]) == (2.0, "test", "")
    assert results["MIOU"] == 0.75 and "MASK_AP" not in results
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "0.75" in page and "roof &amp; wall" in page and "odd &lt;grid&gt;" in page
    with pytest.raises(ValueError, match="exactly one"):
        run("evaluate", {"MODEL": "mine", "OUTPUT": str(metrics)})


def test_compare_takes_two_layers(run, tmp_path):
    metrics = tmp_path / "metrics.json"
    metrics.write_text('{"ground": {"iou": 0.5}, "objects": {"f1": 0.25}}')
    run.recorder.answer = Result({"metrics": str(metrics)})
    truth = saved(label_layer(), tmp_path / "truth.geojson")
    results, job = run(
        "compare",
        {
            "PREDICTED": label_layer(),
            "TRUTH": truth,
            "TRUTH_CLASS_FIELD": "kind",
            "MIN_IOU": 0.4,
            "OUTPUT": str(metrics),
        },
    )
    assert job["truth"] == str(tmp_path / "truth.geojson") and Path(job["predicted"]).is_file()
    assert (job["truth_class_field"], job["class_field"], job["min_iou"]) == ("kind", "", 0.4)
    assert (results["IOU"], results["F1"]) == (0.5, 0.25)


def test_the_help_of_training_names_every_network_with_its_title(provider):
    text = provider.algorithm("train").shortHelpString()
    missing = [n.name for n in list_networks() if f"{n.title}: {n.name}" not in text]
    assert not missing and "{" not in text
    silent = [n.name for n in list_networks() if f"Good at {n.good_at}." not in text]
    assert not silent


def test_pretrain_takes_a_raster_or_a_folder(run, raster, tmp_path):
    output = str(tmp_path / "backbone.safetensors")
    run.recorder.answer = Result({"weights": output})
    parameters = {"NETWORK": "unet", "OUTPUT": output, "BANDS": "1", "TILE": 32}
    _, job = run("pretrain", {**parameters, "RASTER": raster})
    assert (job["images"], job["bands"], job["tile_px"]) == (raster.source(), [1], 32)
    with pytest.raises(ValueError, match="Either a folder"):
        run("pretrain", parameters)


def test_import_takes_a_zip_a_folder_or_its_card(run, tmp_path):
    folder = write_identity(tmp_path / "mine", 2)
    run.recorder.answer = Result({"folder": str(tmp_path / "zoo" / "mine")})
    results, job = run("importmodel", {"SOURCE": str(folder / "card.json")})
    assert job == {"source": str(folder), "overwrite": False}
    assert results["MODEL_ID"] == "mine"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"card\.json"):
        run("importmodel", {"SOURCE": str(tmp_path / "empty")})


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_has_help_and_says_how_to_get_the_engine(
    provider, algorithm, monkeypatch, tmp_path
):
    from rs_segment_plugin.worker import environment

    monkeypatch.delenv("RS_SEGMENT_PYTHON", raising=False)
    monkeypatch.setattr(environment, "checkout_python", lambda: tmp_path / "none")
    made = algorithm(provider.recorder, EngineEnvironment(provider.recorder)).create()
    assert made.name() == made.name().lower() and len(made.shortHelpString()) > 100
    assert all(definition.help() for definition in made.parameterDefinitions())
    names = [definition.name() for definition in made.parameterDefinitions()]
    assert names == [name.upper() for name in names]
    possible, message = made.canExecute()
    assert not possible and "RS_SEGMENT_PYTHON" in message
