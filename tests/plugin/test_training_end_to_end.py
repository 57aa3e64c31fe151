"""From labels to a model and its numbers through Processing, in QGIS with the real engine."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("qgis.core")

from osgeo import gdal, ogr, osr
from qgis.core import (
    QgsApplication,
    QgsFeature,
    QgsGeometry,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.testing import start_app

from rs_segment_plugin import classFactory
from rs_segment_plugin.engine_api import Metrics, find_model
from tests.plugin.rasters import NORTH, PYTHON, ROOT, WEST
from tests.plugin.test_training_algorithms import categorized, saved

pytestmark = [pytest.mark.qgis, pytest.mark.slow, pytest.mark.timeout(900)]
start_app()
gdal.UseExceptions()

ROWS, COLS, STEP_PX, ROOF_PX = 96, 160, 16, 9
SMALL = (
    "options.encoder=timm-mobilenetv3_small_minimal_100; options.decoder_channels=[16,16,16,16,16];"
    "batch=4; crop_px=0; log_steps=1; epochs=2; validate_epochs=1"
)


def roofs():
    """Return row, column and kind of each roof: bright squares on a grid, every third is red."""
    places = [(r, c) for r in range(4, ROWS - 12, STEP_PX) for c in range(4, COLS - 12, STEP_PX)]
    return [(r, c, "red" if n % 3 == 0 else "white") for n, (r, c) in enumerate(places)]


@pytest.fixture(scope="module")
def raster(tmp_path_factory):
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    noise, bands = random.Random(7), [bytearray(ROWS * COLS) for _ in range(3)]
    for band in bands:
        band[:] = bytes(60 + noise.randrange(40) for _ in range(ROWS * COLS))
    for row, col, kind in roofs():
        for line in range(row, row + ROOF_PX):
            start = line * COLS + col
            for number, band in enumerate(bands):
                value = 200 if kind == "white" or number == 0 else 40
                band[start : start + ROOF_PX] = bytes([value] * ROOF_PX)
    data = gdal.GetDriverByName("GTiff").Create(str(path), COLS, ROWS, 3, gdal.GDT_Byte)
    data.SetGeoTransform((WEST, 0.5, 0.0, NORTH, 0.0, -0.5))
    system = osr.SpatialReference()
    system.ImportFromEPSG(32633)
    data.SetProjection(system.ExportToWkt())
    for number, band in enumerate(bands, start=1):
        data.GetRasterBand(number).WriteRaster(0, 0, COLS, ROWS, bytes(band))
    del data
    return path


@pytest.fixture(scope="module")
def labels():
    layer = QgsVectorLayer("MultiPolygon?crs=EPSG:32633&field=kind:string", "roofs", "memory")
    for row, col, kind in roofs():
        feature = QgsFeature(layer.fields())
        feature.setAttributes([kind])
        left, top, side = WEST + col * 0.5, NORTH - row * 0.5, ROOF_PX * 0.5
        feature.setGeometry(QgsGeometry.fromRect(QgsRectangle(left, top - side, left + side, top)))
        layer.dataProvider().addFeature(feature)
    categorized(layer, {"red": "#cc2211", "white": "#dddddd"})
    return layer


class Feedback(QgsProcessingFeedback):
    """Keeps percents, lines and metrics."""

    def __init__(self) -> None:
        super().__init__(False)
        self.percents: list[float] = []
        self.metrics: list[Metrics] = []
        self.progressChanged.connect(self.percents.append)

    def engine_event(self, event) -> None:
        if isinstance(event, Metrics):
            self.metrics.append(event)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    return tmp_path_factory.mktemp("zoo")


@pytest.fixture(autouse=True)
def own_zoo(zoo, monkeypatch):
    """The zoo of the engine's process is that of each test, too."""
    monkeypatch.setenv("RS_SEGMENT_ZOO", str(zoo))


@pytest.fixture(scope="module")
def run(zoo):
    os.environ["RS_SEGMENT_PYTHON"] = PYTHON
    os.environ["RS_SEGMENT_ZOO"] = str(zoo)
    plugin = classFactory(None)
    plugin.initProcessing()

    def run(name, parameters):
        algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"rssegment:{name}")
        context, feedback = QgsProcessingContext(), Feedback()
        context.setProject(QgsProject.instance())
        ok, message = algorithm.checkParameterValues(parameters, context)
        assert ok, message
        results, ok = algorithm.run(parameters, context, feedback, {}, catchExceptions=False)
        assert ok
        assert feedback.percents == sorted(feedback.percents) and feedback.percents[-1] == 100
        return results, feedback

    yield run
    plugin.unload()
    os.environ.pop("RS_SEGMENT_ZOO", None)


@pytest.fixture(scope="module")
def chips(run, raster, labels, tmp_path_factory):
    output = tmp_path_factory.mktemp("chips") / "chips"
    results, _ = run(
        "makechips",
        {
            **{"RASTER": [QgsRasterLayer(str(raster))], "LABELS": labels, "CLASS_FIELD": "kind"},
            **{"TILE": 32, "SPLIT": "60,20,20", "OUTPUT": str(output)},
        },
    )
    return results


@pytest.fixture(scope="module")
def model(run, chips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "two_roofs"
    results, feedback = run(
        "train",
        {
            **{"CHIPS": chips["OUTPUT"], "NETWORK": "unet", "PRESET": "quick", "OPTIONS": SMALL},
            **{"TITLE": "Two kinds of roofs", "DEVICE": "cpu", "OUTPUT": str(folder)},
        },
    )
    return results, feedback


def test_chips_know_classes_and_colours_of_the_layer(chips):
    record = json.loads((Path(chips["OUTPUT"]) / "chips.json").read_text())
    colors = {item["name"]: item["color"].lower() for item in record["classes"]}
    assert colors["red"] == "#cc2211" and colors["white"] == "#dddddd"
    assert sum(record["splits"].values()) == len(record["chips"]) >= 12
    assert chips["TRAIN_CHIPS"] == record["splits"]["train"] > chips["VAL_CHIPS"] > 0
    assert record["leak_check"]["shared_pixels"] == 0


def test_training_reports_curves_and_makes_a_model(model):
    results, feedback = model
    entry = find_model(results["OUTPUT"])
    assert entry.card.title == "Two kinds of roofs" and results["MODEL_ID"] == entry.id
    assert {c.name for c in entry.card.classes if not c.background} == {"red", "white"}
    assert [c.color.lower() for c in entry.card.classes if c.name == "red"] == ["#cc2211"]
    assert Path(results["REPORT"]).is_file() and Path(results["METRICS"]).is_file()
    train = [event for event in feedback.metrics if event.series == "train"]
    val = [event for event in feedback.metrics if event.series == "val"]
    assert len(train) >= 2 and len(val) == 2
    assert "loss" in train[0].values and {"iou_red", "iou_white"} <= set(val[-1].values)


def test_the_model_is_measured_imported_and_used(run, chips, model, raster, tmp_path):
    folder = model[0]["OUTPUT"]
    results, _ = run(
        "evaluate",
        {
            **{"MODEL": folder, "CHIPS": chips["OUTPUT"], "SPLIT": "val", "DEVICE": "cpu"},
            **{"OUTPUT": str(tmp_path / "m.json"), "REPORT": str(tmp_path / "m.html")},
        },
    )
    assert 0 <= results["MIOU"] <= 1 and "white" in Path(results["REPORT"]).read_text()
    imported, _ = run("importmodel", {"SOURCE": folder})
    assert find_model(imported["MODEL_ID"]).folder == Path(imported["OUTPUT"])
    segmented, _ = run(
        "segment",
        {
            **{"RASTER": QgsRasterLayer(str(raster)), "MODEL": imported["MODEL_ID"], "SCORE": 0},
            **{"DEVICE": "cpu", "OUTPUT": str(tmp_path / "roofs.gpkg")},
        },
    )
    assert QgsVectorLayer(segmented["OUTPUT"], "found", "ogr").isValid()


def test_a_layer_compared_with_itself_is_right(run, labels, tmp_path):
    truth = saved(labels, tmp_path / "truth.gpkg")
    results, _ = run(
        "compare",
        {
            **{"PREDICTED": labels, "TRUTH": truth, "CLASS_FIELD": "kind"},
            **{"TRUTH_CLASS_FIELD": "kind", "OUTPUT": str(tmp_path / "same.json")},
        },
    )
    assert results["F1"] == results["PRECISION"] == results["RECALL"] == 1.0
    assert results["MIOU"] == pytest.approx(1.0)


@pytest.fixture(scope="module")
def qgis_process(tmp_path_factory):
    """Run an algorithm in ``qgis_process`` with the plugin in a profile of its own."""
    folder = tmp_path_factory.mktemp("configuration")
    profile = folder / "profiles" / "default"
    install = [sys.executable, str(ROOT / "scripts" / "install_plugin.py"), "--link"]
    install += ["--python", PYTHON, "--profile-dir", str(profile)]
    subprocess.run(install, check=True, capture_output=True)
    variables = {
        **{key: value for key, value in os.environ.items() if key != "RS_SEGMENT_PYTHON"},
        "QGIS_CUSTOM_CONFIG_PATH": str(folder),
        "QT_QPA_PLATFORM": "offscreen",
    }

    def run(name, inputs):
        done = subprocess.run(
            ["qgis_process", "--json", "run", f"rssegment:{name}", "-"],
            input=json.dumps({"inputs": inputs}),
            **{"capture_output": True, "text": True, "env": variables, "cwd": folder},
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)["results"]

    return run


def shell(*arguments):
    """Run the command line; returns its result event."""
    command = [PYTHON, "-m", "engine", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def features(path):
    """Return every feature as its geometry and its attributes."""
    source = ogr.Open(str(path))  # kept, as its layers do not keep it
    layer = source.GetLayerByName("classes")
    return [(bytes(f.GetGeometryRef().ExportToWkb()), f.items()) for f in layer]


def test_qgis_process_trains_as_the_shell_does(qgis_process, raster, labels, tmp_path):
    """The whole chain through both doors: equal chips, weights, features and figures."""
    truth = saved(labels, tmp_path / "truth.gpkg").source()
    one, two = tmp_path / "qgis", tmp_path / "shell"
    one.mkdir(), two.mkdir()
    cut = {"RASTER": [str(raster)], "LABELS": truth, "CLASS_FIELD": "kind", "TILE": 32}
    made = qgis_process("makechips", {**cut, "SPLIT": "60,20,20", "OUTPUT": f"{one}/chips"})
    assert made["TRAIN_CHIPS"] > made["VAL_CHIPS"] > 0
    learn = {"CHIPS": f"{one}/chips", "NETWORK": "unet", "PRESET": "quick", "OPTIONS": SMALL}
    model = qgis_process("train", {**learn, "DEVICE": "cpu", "OUTPUT": f"{one}/model"})
    assert model["OUTPUT"] == f"{one}/model"
    where = {"RASTER": str(raster), "MODEL_FOLDER": f"{one}/model", "DEVICE": "cpu"}
    qgis_process("segment", {**where, "OUTPUT": f"{one}/found.gpkg"})
    seen = {"MODEL": f"{one}/model", "CHIPS": f"{one}/chips", "SPLIT": "val", "DEVICE": "cpu"}
    measured = qgis_process("evaluate", {**seen, "OUTPUT": f"{one}/evaluate.json"})
    pair = {"PREDICTED": f"{one}/found.gpkg|layername=classes", "TRUTH": truth}
    pair |= {"TRUTH_CLASS_FIELD": "kind", "CLASS_FIELD": "class_name"}
    compared = qgis_process("compare", {**pair, "OUTPUT": f"{one}/compare.json"})

    cut = ["--raster", raster, "--labels", truth, "--class-field", "kind", "--tile", 32]
    shell("chips", *cut, "--split", "60,20,20", "--output", f"{two}/chips")
    learn = [word for option in SMALL.split(";") for word in ("--set", option.strip())]
    learn += ["--network", "unet", "--preset", "quick", "--device", "cpu"]
    shell("train", "--chips", f"{two}/chips", *learn, "--output", f"{two}/model")
    run = [raster, "--model", f"{two}/model", "--device", "cpu", "--output", f"{two}/found.gpkg"]
    shell("segment", *run)

    for name in ("chips/annotations.json", "model/weights.safetensors", "model/curves.csv"):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    assert features(one / "found.gpkg") == features(two / "found.gpkg") != []
    assert compared["IOU"] == json.loads((one / "compare.json").read_text())["ground"]["iou"]
    assert measured["MIOU"] == json.loads((one / "evaluate.json").read_text())["miou"]
