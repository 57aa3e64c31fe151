"""Styles, read by a real QGIS."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from xml.etree import ElementTree

import numpy as np
import pytest
import shapely
from affine import Affine

from engine.geo.grid import Grid
from engine.geo.style import class_layer_qml, class_raster_qml
from engine.geo.vector import FeatureBatch, LayerSpec, write_features, write_style
from engine.geo.writer import RasterWriter
from engine.zoo.card import ClassInfo

CLASSES = [
    ClassInfo(0, "nothing", "#000000", background=True),
    ClassInfo(1, "roads & <rails>", "#ff8800"),
    ClassInfo(2, 'said "lake" {x}', "#0a64ff"),
]


def test_layer_style_has_one_category_per_class():
    root = ElementTree.fromstring(class_layer_qml(CLASSES[1:]))
    found = [(c.get("value"), c.get("label")) for c in root.iter("category")]
    assert found == [("1", "roads & <rails>"), ("2", 'said "lake" {x}')]
    colors = [o.get("value") for o in root.iter("Option") if o.get("name") == "color"]
    assert colors == ["255,136,0,110", "10,100,255,110"]


def test_raster_style_hides_the_background():
    root = ElementTree.fromstring(class_raster_qml(CLASSES))
    entries = [(e.get("value"), e.get("color"), e.get("alpha")) for e in root.iter("paletteEntry")]
    assert entries == [("0", "#000000", "0"), ("1", "#ff8800", "255"), ("2", "#0a64ff", "255")]


IN_QGIS = """
import json, sys
from qgis.core import QgsApplication, QgsRasterLayer, QgsVectorLayer
app = QgsApplication([], False)
app.initQgis()
layer = QgsVectorLayer(sys.argv[1] + "|layername=classes", "a", "ogr")
raster = QgsRasterLayer(sys.argv[2], "b")
vector_renderer, raster_renderer = layer.renderer(), raster.renderer()
print(json.dumps({
    "valid": layer.isValid() and raster.isValid(),
    "type": vector_renderer.type(),
    "attribute": vector_renderer.classAttribute(),
    "categories": [
        [c.value(), c.label(), c.symbol().color().name(), c.symbol().color().alpha(),
         c.symbol().symbolLayer(0).strokeColor().name()]
        for c in vector_renderer.categories()
    ],
    "raster_type": raster_renderer.type(),
    "palette": [
        [c.value, c.label, c.color.name(), c.color.alpha()] for c in raster_renderer.classes()
    ],
}))
"""


def _qgis_python() -> str | None:
    python = shutil.which("python3", path="/usr/bin")
    if python is None:
        return None
    probe = subprocess.run([python, "-c", "import qgis.core"], capture_output=True, check=False)
    return python if probe.returncode == 0 else None


def test_qgis_applies_the_styles_when_it_opens_the_files(tmp_path):
    python = _qgis_python()
    if python is None:
        pytest.skip("QGIS is not installed")
    vector, raster = tmp_path / "a.gpkg", tmp_path / "b.tif"
    boxes = shapely.box([0, 10], 0, [5, 15], 5)
    batch = FeatureBatch(
        shapely.to_wkb(boxes), np.array([1, 2], np.int32), np.ones(2, np.float32),
        np.ones(2), np.ones(2),
    )  # fmt: skip
    write_features(vector, [batch], LayerSpec("classes", "", {1: "a", 2: "b"}, "m", "r"))
    write_style(vector, "classes", class_layer_qml(CLASSES[1:]), name="Land cover")
    grid = Grid(8, 8, Affine(1, 0, 0, 0, -1, 8), "")
    with RasterWriter(raster, grid, nodata=255) as writer:
        writer.write_rows(np.ones((8, 8), np.uint8))
    raster.with_suffix(".qml").write_text(class_raster_qml(CLASSES), encoding="utf-8")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    environment |= {"QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        [python, "-c", IN_QGIS, str(vector), str(raster)],
        capture_output=True, text=True, check=True, timeout=100, env=environment,
    )  # fmt: skip
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["valid"]
    assert (seen["type"], seen["attribute"]) == ("categorizedSymbol", "class_id")
    assert seen["categories"] == [
        [1, "roads & <rails>", "#ff8800", 110, "#995200"],
        [2, 'said "lake" {x}', "#0a64ff", 110, "#063c99"],
    ]
    assert seen["raster_type"] == "paletted"
    assert [entry[:2] for entry in seen["palette"]] == [
        [0, "nothing"], [1, "roads & <rails>"], [2, 'said "lake" {x}'],
    ]  # fmt: skip
    assert [entry[3] for entry in seen["palette"]] == [0, 255, 255]
