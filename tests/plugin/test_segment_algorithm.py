"""``rssegment:segment`` in a real QGIS with the real engine: truth, bad input, cancel."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from pathlib import Path

import pytest

pytest.importorskip("qgis.core")

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsGeometry,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProcessingOutputLayerDefinition,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.testing import start_app

from rs_segment_plugin import classFactory
from rs_segment_plugin.algorithms.segment import ALGORITHM_ID
from rs_segment_plugin.engine_api import Failure, Progress, Result
from rs_segment_plugin.layers.results import add_results
from tests.plugin.rasters import (
    NORTH,
    PIXEL_M2,
    PIXELS_1,
    PIXELS_2,
    PYTHON,
    WEST,
    class_map,
    write_identity,
    write_raster,
    write_web_tiles,
)

pytestmark = [pytest.mark.qgis, pytest.mark.timeout(300)]
start_app()


class Feedback(QgsProcessingFeedback):
    """Keeps what the algorithm says."""

    def __init__(self) -> None:
        super().__init__(False)
        self.events: list = []
        self.percents: list[float] = []
        self.progressChanged.connect(self.percents.append)

    def engine_event(self, event) -> None:
        self.events.append(event)


@pytest.fixture(scope="module")
def plugin():
    os.environ["RS_SEGMENT_PYTHON"] = PYTHON
    made = classFactory(None)
    made.initProcessing()
    yield made
    made.unload()
    assert QgsApplication.processingRegistry().providerById("rssegment") is None


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_identity(tmp_path_factory.mktemp("models") / "identity", 3)


@pytest.fixture
def raster(tmp_path):
    return write_raster(tmp_path / "odd grid.tif", class_map())


def run(parameters, feedback=None, project=None):
    """Run the algorithm as Processing does; exceptions come through."""
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(ALGORITHM_ID)
    context = QgsProcessingContext()
    if project is not None:
        context.setProject(project)
    ok, message = algorithm.checkParameterValues(parameters, context)
    if not ok:
        raise ValueError(message)
    results, ok = algorithm.run(
        parameters, context, feedback or Feedback(), {}, catchExceptions=False
    )
    assert ok
    return results, context


def areas(results):
    layer = QgsVectorLayer(results["OUTPUT"], "result", "ogr")
    assert layer.isValid()
    return {f["class_name"]: f["area_m2"] for f in layer.getFeatures()}


def test_polygons_have_the_true_area_crs_fields_and_hole(plugin, model, raster, tmp_path):
    feedback = Feedback()
    results, _ = run(
        {
            "RASTER": QgsRasterLayer(str(raster)),
            "MODEL": str(model),
            "OUTPUT": str(tmp_path / "out.gpkg"),
            "CLASS_RASTER": str(tmp_path / "classes.tif"),
            "SCORE_RASTER": str(tmp_path / "scores.tif"),
        },
        feedback,
    )
    assert results["COUNT"] == 2
    layer = QgsVectorLayer(results["OUTPUT"], "result", "ogr")
    assert layer.crs().authid() == "EPSG:32633"
    assert [f.name() for f in layer.fields()][1:] == [
        *("class_id", "class_name", "score", "area_m2", "perimeter_m", "model_id", "run_id")
    ]
    by_class = {f["class_id"]: f for f in layer.getFeatures()}
    assert by_class[1].geometry().area() == pytest.approx(PIXELS_1 * PIXEL_M2, abs=1e-6)
    assert by_class[2].geometry().area() == pytest.approx(PIXELS_2 * PIXEL_M2, abs=1e-6)
    assert by_class[1]["area_m2"] == pytest.approx(PIXELS_1 * PIXEL_M2, rel=1e-3)
    assert len(by_class[1].geometry().asPolygon()) == 2
    assert feedback.percents == sorted(feedback.percents) and feedback.percents[-1] == 100
    assert isinstance(feedback.events[-1], Result)
    assert {e.stage for e in feedback.events if isinstance(e, Progress)} >= {"predict", "vectorize"}
    for name in ("classes.tif", "scores.tif"):
        assert QgsRasterLayer(str(tmp_path / name)).isValid()
    left = {p.name for p in tmp_path.iterdir() if not p.name.endswith(".aux.xml")}
    assert left == {"odd grid.tif", "out.gpkg", "classes.tif", "scores.tif"}


def test_extent_cuts_the_result(plugin, model, raster, tmp_path):
    extent = QgsRectangle(WEST + 60, NORTH - 20, WEST + 80, NORTH)
    results, _ = run(
        {
            "RASTER": QgsRasterLayer(str(raster)),
            "MODEL": str(model),
            "EXTENT": f"{extent.xMinimum()},{extent.xMaximum()},{extent.yMinimum()},"
            f"{extent.yMaximum()} [EPSG:32633]",
            "OUTPUT": str(tmp_path / "out.gpkg"),
        }
    )
    assert areas(results) == {"class 2": pytest.approx(PIXELS_2 * PIXEL_M2, rel=1e-3)}


def aoi_layer():
    """Two polygons in degrees: one over the left half of class 1, one elsewhere."""
    layer = QgsVectorLayer("Polygon?crs=EPSG:32633&field=n:integer", "areas", "memory")
    for number, box in enumerate(
        (
            QgsRectangle(WEST + 20, NORTH - 9, WEST + 40, NORTH),
            QgsRectangle(WEST, NORTH - 37, WEST + 122, NORTH),
        )
    ):
        feature = QgsFeature(layer.fields())
        feature.setAttributes([number])
        feature.setGeometry(QgsGeometry.fromRect(box))
        layer.dataProvider().addFeature(feature)
    return layer


def test_only_the_selected_polygons_are_the_area(plugin, model, raster, tmp_path):
    project = QgsProject()
    layer = aoi_layer()
    project.addMapLayer(layer)
    layer.selectByExpression('"n" = 0')
    parameters = {
        "RASTER": QgsRasterLayer(str(raster)),
        "MODEL": str(model),
        "AOI": QgsProcessingFeatureSourceDefinition(layer.id(), selectedFeaturesOnly=True),
        "OUTPUT": str(tmp_path / "out.gpkg"),
    }
    results, _ = run(parameters, project=project)
    assert areas(results) == {"class 1": pytest.approx(4 * 10 * PIXEL_M2, rel=1e-3)}


def test_a_file_without_crs_takes_the_one_of_the_layer(plugin, model, tmp_path):
    layer = QgsRasterLayer(str(write_raster(tmp_path / "bare.tif", class_map(), epsg=0)))
    layer.setCrs(QgsCoordinateReferenceSystem("EPSG:32634"))
    results, _ = run({"RASTER": layer, "MODEL": str(model), "OUTPUT": str(tmp_path / "out.gpkg")})
    found = QgsVectorLayer(results["OUTPUT"], "result", "ogr")
    assert found.crs().authid() == "EPSG:32634"


def test_results_are_loaded_with_style_in_a_group(plugin, model, raster, tmp_path):
    project = QgsProject()
    layer = QgsRasterLayer(str(raster), "odd")
    project.addMapLayer(layer)
    results, _ = run(
        {
            "RASTER": layer,
            "MODEL": str(model),
            "OUTPUT": str(tmp_path / "out.gpkg"),
            "CLASS_RASTER": str(tmp_path / "classes.tif"),
        }
    )
    added = add_results(results, raster_name="odd", model_title="Identity", project=project)
    assert added[0].name() == "Identity"
    renderer = added[0].renderer()
    assert [category.label() for category in renderer.categories()] == ["class 1", "class 2"]
    group = project.layerTreeRoot().findGroup("RS Segment").findGroup("odd")
    assert [node.layer().id() for node in group.children()] == [item.id() for item in added]


def test_processing_loads_the_layer_by_name_with_styler(plugin, model, raster, tmp_path):
    project = QgsProject()
    target = QgsProcessingOutputLayerDefinition(str(tmp_path / "out.gpkg"), project)
    parameters = {"RASTER": QgsRasterLayer(str(raster), "odd"), "MODEL": str(model)}
    _, context = run({**parameters, "OUTPUT": target}, project=project)
    ((source, details),) = context.layersToLoadOnCompletion().items()
    assert source.endswith("out.gpkg|layername=classes")
    layer = QgsVectorLayer(source, "result", "ogr")
    project.addMapLayer(layer)
    details.postProcessor().postProcessLayer(layer, context, Feedback())
    assert layer.renderer().type() == "categorizedSymbol"
    assert project.layerTreeRoot().findGroup("RS Segment").findGroup("odd").findLayer(layer)


BAD = {
    "unknown model": ({"MODEL": "identty"}, "no model 'identty'"),
    "no model": ({"MODEL": ""}, "No model is chosen"),
    "band count": ({"BANDS": [1, 1]}, "2 bands are chosen, the model needs 1"),
    "band number": ({"BANDS": [7]}, "no band 7"),
    "extent outside": ({"EXTENT": "0,10,0,10 [EPSG:32633]"}, "does not touch"),
    "extent without area": ({"EXTENT": "400010,400010,5199990,5199995 [EPSG:32633]"}, "no area"),
    "overlap": ({"TILE": 64, "OVERLAP": 64}, "not smaller than the tile"),
    "output": ({"OUTPUT": "/tmp/result.shp"}, ".gpkg"),
    "class raster": ({"CLASS_RASTER": "/tmp/result.png"}, ".tif"),
    "score": ({"SCORE": 7}, "SCORE"),
    "device": ({"DEVICE": "tpu"}, "DEVICE"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_values_are_named_before_the_run(plugin, model, raster, tmp_path, name):
    changed, word = BAD[name]
    parameters = {
        "RASTER": QgsRasterLayer(str(raster)),
        "MODEL": str(model),
        "OUTPUT": str(tmp_path / "out.gpkg"),
    }
    with pytest.raises(ValueError) as raised:
        run({**parameters, **changed})
    assert word in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["odd grid.tif"]


def test_an_output_that_is_shown_is_not_overwritten(plugin, model, raster, tmp_path):
    project = QgsProject()
    parameters = {
        "RASTER": QgsRasterLayer(str(raster)),
        "MODEL": str(model),
        "OUTPUT": str(tmp_path / "out.gpkg"),
    }
    results, _ = run(parameters)
    project.addMapLayer(QgsVectorLayer(results["OUTPUT"], "my roofs", "ogr"))
    with pytest.raises(ValueError, match="my roofs"):
        run(parameters, project=project)


def test_a_failure_of_the_engine_has_a_hint_and_leaves_no_layer(plugin, model, tmp_path):
    path = write_raster(tmp_path / "cut.tif", [bytearray(os.urandom(600)) for _ in range(600)])
    layer = QgsRasterLayer(str(path))
    path.write_bytes(path.read_bytes()[:40_000])
    feedback = Feedback()
    with pytest.raises(QgsProcessingException) as raised:
        run({"RASTER": layer, "MODEL": str(model), "OUTPUT": str(tmp_path / "out.gpkg")}, feedback)
    failure = feedback.events[-1]
    assert isinstance(failure, Failure)
    assert failure.code in ("raster_read", "raster")
    assert failure.hint and failure.hint in str(raised.value)
    assert "Traceback" not in str(raised.value)
    assert not (tmp_path / "out.gpkg").exists()


def test_weights_with_a_wrong_hash_are_refused(plugin, model, raster, tmp_path):
    folder = tmp_path / "changed"
    folder.mkdir()
    card = (model / "card.json").read_text().replace('"id": "identity"', '"id": "changed"')
    (folder / "card.json").write_text(card)
    weights = bytearray((model / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(weights)
    with pytest.raises(QgsProcessingException, match="SHA-256"):
        run(
            {
                "RASTER": QgsRasterLayer(str(raster)),
                "MODEL_FOLDER": str(folder),
                "OUTPUT": str(tmp_path / "out.gpkg"),
            }
        )


def test_an_output_folder_that_is_not_there(plugin, model, raster):
    with pytest.raises((QgsProcessingException, ValueError)) as raised:
        run(
            {
                "RASTER": QgsRasterLayer(str(raster)),
                "MODEL": str(model),
                "OUTPUT": "/proc/nowhere/out.gpkg",
            }
        )
    assert "/proc/nowhere" in str(raised.value)
    assert "Traceback" not in str(raised.value)


def test_without_an_engine_it_stays_registered_and_says_how(
    plugin, model, raster, tmp_path, monkeypatch
):
    from rs_segment_plugin.worker import environment

    monkeypatch.delenv("RS_SEGMENT_PYTHON")
    monkeypatch.setattr(environment, "checkout_python", lambda: tmp_path / "none")
    algorithm = QgsApplication.processingRegistry().algorithmById(ALGORITHM_ID)
    possible, message = algorithm.canExecute()
    assert not possible and "RS_SEGMENT_PYTHON" in message
    with pytest.raises(QgsProcessingException, match="no engine yet"):
        run(
            {
                "RASTER": QgsRasterLayer(str(raster)),
                "MODEL": str(model),
                "OUTPUT": str(tmp_path / "out.gpkg"),
            }
        )


def test_cancel_of_a_running_task_answers_within_a_second(plugin, model, tmp_path):
    sparse = tmp_path / "large.vrt"
    sparse.write_text(
        '<VRTDataset rasterXSize="40000" rasterYSize="40000"><SRS>EPSG:32633</SRS>'
        "<GeoTransform>400000,1,0,5200000,0,-1</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"/></VRTDataset>'
    )
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(ALGORITHM_ID)
    context, feedback = QgsProcessingContext(), Feedback()
    layer = QgsRasterLayer(str(sparse))
    parameters = {"RASTER": layer, "MODEL": str(model), "OUTPUT": str(tmp_path / "out.gpkg")}
    task = QgsProcessingAlgRunnerTask(algorithm, parameters, context, feedback)
    ended: list[float] = []
    task.executed.connect(lambda ok, results: ended.append(time.monotonic()))
    task.taskTerminated.connect(lambda: ended.append(time.monotonic()))
    QgsApplication.taskManager().addTask(task)
    limit_s = time.monotonic() + 120
    while not feedback.events and not ended and time.monotonic() < limit_s:
        QgsApplication.processEvents()
        time.sleep(0.02)
    assert feedback.events and not ended
    start_s = time.monotonic()
    task.cancel()
    while not ended and time.monotonic() < start_s + 10:
        QgsApplication.processEvents()
        time.sleep(0.005)
    assert ended and ended[0] - start_s < 1.0
    assert not (tmp_path / "out.gpkg").exists()


def test_geopackage_holds_run_and_style(plugin, model, raster, tmp_path):
    values = {"RASTER": QgsRasterLayer(str(raster)), "MODEL": str(model)}
    backend = {"BACKEND": "torch", "PRECISION": "mixed"}
    results, _ = run({**values, **backend, "OUTPUT": str(tmp_path / "out.gpkg")})
    with sqlite3.connect(tmp_path / "out.gpkg") as database:
        run_id, record = database.execute("select run_id, manifest from rs_segment_runs").fetchone()
        (style,) = database.execute("select f_table_name from layer_styles").fetchone()
    database.close()
    assert (run_id, style) == (results["RUN_ID"], "classes")
    assert [json.loads(record)[key] for key in ("backend", "precision")] == ["torch", "mixed"]
    assert Path(PYTHON).is_file()


def test_a_web_layer_is_saved_for_the_extent_and_segmented(plugin, model, tmp_path):
    half_m = 20037508.342789244
    url = write_web_tiles(tmp_path)
    layer = QgsRasterLayer(url, "tiles", "wms")
    assert layer.isValid() and layer.extent().width() == pytest.approx(2 * half_m)
    parameters = {"RASTER": layer, "MODEL": str(model), "OUTPUT": str(tmp_path / "out.gpkg")}
    with pytest.raises(QgsProcessingException, match="Choose an extent"):
        run(parameters)
    feedback = Feedback()
    results, _ = run({**parameters, "EXTENT": "-60,40,-30,20 [EPSG:3857]"}, feedback)
    found = QgsVectorLayer(results["OUTPUT"], "result", "ogr")
    assert found.crs().authid() == "EPSG:3857"
    # Column 0 lies west of the prime meridian, column 1 east of it; the equator crosses both.
    shapes = {f["class_id"]: f.geometry().boundingBox() for f in found.getFeatures()}
    assert shapes[1].xMinimum() == pytest.approx(-60) and shapes[1].xMaximum() == pytest.approx(
        0, abs=1
    )
    assert shapes[2].xMaximum() == pytest.approx(40) and shapes[2].height() == pytest.approx(50)
    stages = [event.stage for event in feedback.events if isinstance(event, Progress)]
    assert stages[0] == "export" and feedback.percents == sorted(feedback.percents)
