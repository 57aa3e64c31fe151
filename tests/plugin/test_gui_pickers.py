"""Area, bands, options, model card: what the widgets turn into parameters."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("qgis.core")

from qgis.core import (
    QgsFeature,
    QgsGeometry,
    QgsProcessingFeatureSourceDefinition,
    QgsProject,
    QgsRectangle,
    QgsReferencedRectangle,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QPoint, Qt
from qgis.PyQt.QtTest import QTest
from qgis.testing import start_app

from rs_segment_plugin.algorithms import segment as ids
from rs_segment_plugin.engine_api import find_model, list_models
from rs_segment_plugin.gui.band_mapping import BandMapping
from rs_segment_plugin.gui.extent_picker import BOX, POLYGONS, VIEW, ExtentPicker
from rs_segment_plugin.gui.model_card_view import LESS, MORE, ModelCardView, entry_html
from rs_segment_plugin.gui.model_picker import ModelPicker
from rs_segment_plugin.gui.options_box import OptionsBox
from rs_segment_plugin.gui.raster_facts import read_facts
from tests.plugin.gui_window import Window, add_raster, crs, spin, write_card, write_raster

pytestmark = pytest.mark.qgis
start_app()


@pytest.fixture
def window():
    QgsProject.instance().clear()
    window = Window()
    window.mapCanvas().setDestinationCrs(crs(32633))
    window.mainWindow().show()
    spin(50)
    yield window
    window.mainWindow().close()
    QgsProject.instance().clear()


@pytest.fixture
def picker(window, tmp_path):
    # 40 rows x 60 columns of 1 m: x 500000..500060, y 5499960..5500000.
    layer = add_raster(write_raster(tmp_path / "a.tif", size=(40, 60)))
    picker = ExtentPicker(window.mapCanvas())
    picker.set_facts(read_facts(layer))
    yield picker
    picker.dispose()


def numbers(rectangle):
    return [
        rectangle.xMinimum(),
        rectangle.yMinimum(),
        rectangle.xMaximum(),
        rectangle.yMaximum(),
    ]


def polygon_layer(*boxes, epsg=32633):
    layer = QgsVectorLayer(f"Polygon?crs=EPSG:{epsg}", "areas", "memory")
    for box in boxes:
        feature = QgsFeature()
        feature.setGeometry(QgsGeometry.fromRect(QgsRectangle(*box)))
        layer.dataProvider().addFeature(feature)
    layer.updateExtents()
    QgsProject.instance().addMapLayer(layer)
    return layer


def test_whole_layer_needs_no_parameter(picker):
    assert picker.parameters() == {} and picker.problem() == ""
    assert numbers(picker.area()) == [500_000, 5_499_960, 500_060, 5_500_000]


def test_a_view_is_cut_to_the_raster(picker, window):
    window.mapCanvas().setExtent(QgsRectangle(499_900, 5_499_990, 500_020, 5_500_110))
    picker.set_mode(VIEW)
    extent = picker.parameters()[ids.EXTENT]
    view = window.mapCanvas().extent()
    assert extent.crs() == crs(32633)
    assert numbers(extent) == pytest.approx(
        [500_000, max(view.yMinimum(), 5_499_960), min(view.xMaximum(), 500_060), 5_500_000]
    )


def test_a_view_elsewhere_is_a_problem(picker, window):
    window.mapCanvas().setExtent(QgsRectangle(0, 0, 100, 100))
    picker.set_mode(VIEW)
    assert "outside the raster" in picker.problem()
    assert "draw" in (picker.set_mode(BOX), picker.problem())[1].lower()


def test_a_box_in_degrees_covers_its_place_in_the_raster(picker):
    picker.set_mode(BOX)
    # 15 degrees east is the central meridian of zone 33: x = 500000 there.
    box = QgsReferencedRectangle(QgsRectangle(15.0, 49.0, 15.001, 50.0), crs(4326))
    picker.tool.set_box(box)
    extent = picker.parameters()[ids.EXTENT]
    assert extent.crs() == crs(32633)
    assert extent.xMinimum() == pytest.approx(500_000, abs=0.01)
    assert extent.xMaximum() == pytest.approx(500_060, abs=0.01)


def test_drawing_with_the_mouse_sets_the_box_and_gives_the_map_tool_back(picker, window):
    canvas = window.mapCanvas()
    canvas.setExtent(QgsRectangle(499_990, 5_499_950, 500_070, 5_500_010))
    spin(50)
    before = canvas.mapTool()
    picker.set_mode(BOX)
    assert picker.draw_button.isChecked() and canvas.mapTool() is not before
    to_map = canvas.getCoordinateTransform()
    start, end = QPoint(200, 150), QPoint(400, 300)
    viewport = canvas.viewport()
    QTest.mousePress(viewport, Qt.MouseButton.LeftButton, pos=start)
    QTest.mouseMove(viewport, QPoint(300, 200))
    QTest.mouseMove(viewport, end)
    QTest.mouseRelease(viewport, Qt.MouseButton.LeftButton, pos=end)
    spin(50)
    box = picker.tool.box()
    assert box is not None and not picker.draw_button.isChecked()
    first = to_map.toMapCoordinates(start)
    second = to_map.toMapCoordinates(end)
    pixel = canvas.mapUnitsPerPixel()
    assert box.xMinimum() == pytest.approx(min(first.x(), second.x()), abs=2 * pixel)
    assert box.yMaximum() == pytest.approx(max(first.y(), second.y()), abs=2 * pixel)
    assert canvas.mapTool() is before


def test_selected_polygons_are_a_feature_source(picker):
    layer = polygon_layer((500_005, 5_499_970, 500_015, 5_499_980), (0, 0, 10, 10))
    picker.set_mode(POLYGONS)
    assert "polygon layer" in picker.problem()
    picker.polygon_combo.setLayer(layer)
    picker.selected_only.setChecked(True)
    assert "Select one or more" in picker.problem()
    layer.selectByIds([1])
    assert "(1)" in picker.selected_only.text() and picker.problem() == ""
    source = picker.parameters()[ids.AOI]
    assert isinstance(source, QgsProcessingFeatureSourceDefinition)
    assert source.selectedFeaturesOnly and source.source.staticValue() == layer.id()
    assert numbers(picker.area()) == [500_005, 5_499_970, 500_015, 5_499_980]
    layer.selectByIds([2])
    assert "outside the raster" in picker.problem()


def test_a_removed_polygon_layer_is_no_crash(picker):
    layer = polygon_layer((500_005, 5_499_970, 500_015, 5_499_980))
    picker.set_mode(POLYGONS)
    picker.polygon_combo.setLayer(layer)
    QgsProject.instance().removeMapLayer(layer.id())
    assert "polygon layer" in picker.problem() and picker.parameters() == {}


def test_disposing_leaves_nothing_on_the_map(picker, window):
    canvas = window.mapCanvas()
    before, items = canvas.mapTool(), len(canvas.scene().items())
    other = ExtentPicker(canvas)
    other.set_mode(BOX)
    other.tool.set_box(QgsReferencedRectangle(QgsRectangle(0, 0, 1, 1), crs(32633)))
    other.dispose()
    other.deleteLater()
    spin(20)
    assert len(canvas.scene().items()) <= items
    assert canvas.mapTool() is before


def test_band_combos_open_only_when_they_need_a_look(window, tmp_path):
    card = find_model(str(write_card(tmp_path / "model"))).card
    mapping = BandMapping()
    photo = add_raster(write_raster(tmp_path / "rgb.tif"))
    mapping.set_context(read_facts(photo), card)
    assert mapping.bands() == (1, 2, 3) and mapping.isCollapsed()
    many = write_raster(tmp_path / "many.tif", bands=13, names=tuple("abcdefghijklm"))
    mapping.set_context(read_facts(add_raster(many)), card)
    assert mapping.bands() == (1, 2, 3) and not mapping.isCollapsed()
    mapping.set_bands((4, 3, 2))
    assert mapping.bands() == (4, 3, 2) and "4, 3, 2" in mapping.title()


def test_options_are_left_out_until_they_are_changed(window, tmp_path):
    box = OptionsBox()
    card = find_model(str(write_card(tmp_path / "model"))).card
    box.set_card(card)
    assert box.parameters() == {}
    assert box.score.text() == "model's (0.35)" and box.tile.text() == "model's (512)"
    box.score.setValue(0.6)
    box.min_area.setValue(12.5)
    box.square.setChecked(True)
    assert box.parameters() == {ids.SCORE: 0.6, ids.MIN_AREA: 12.5, ids.SQUARE: True}
    box.tile.setValue(64)
    assert "smaller than the tile" in box.problem()
    box.overlap.setValue(0)
    assert box.problem() == "" and box.parameters()[ids.OVERLAP] == 0


def test_options_survive_being_stored_as_json(window):
    box, other = OptionsBox(), OptionsBox()
    box.score.setValue(0.2)
    box.batch.setValue(4)
    box.tta.setChecked(True)
    box.precision.setCurrentIndex(2)
    box.backend.setCurrentIndex(2)
    assert box.parameters()[ids.PRECISION] == "mixed"
    assert box.parameters()[ids.BACKEND] == "openvino"
    other.set_values(json.loads(json.dumps(box.values())))
    assert other.parameters() == box.parameters()
    other.set_values({ids.TILE: "wrong", ids.SQUARE: "yes", "unknown": 3, ids.PRECISION: None})
    assert not other.square.isChecked() and other.precision.currentData() == "auto"


def test_card_tells_classes_scores_licences_and_escapes_names(tmp_path):
    entry = find_model(str(write_card(tmp_path / "model")))
    short, long = entry_html(entry, False), entry_html(entry, True)
    for part in ("Roofs in photos", "#e6550d", "roof &lt;flat&gt;", "(Town, test blocks)"):
        assert part in short
    assert "roof IoU 0.81, roof recall 0.90" in short.replace("\u00a0", " ")
    assert "Village" in long and "Village" not in short
    assert "ground" not in short and "CC-BY-4.0" not in short
    assert "CC-BY-4.0" in long and "Photos of a town" in long and "unet (mobilenet_v2)" in long


def test_card_view_unfolds_by_its_link(window, tmp_path):
    view = ModelCardView()
    view.show_entry(find_model(str(write_card(tmp_path / "model"))))
    assert MORE in view.text()
    view._follow(MORE)
    assert LESS in view.text() and "GPL-2.0-or-later" in view.text()


def test_broken_model_is_listed_with_its_problem(window, tmp_path, monkeypatch):
    monkeypatch.setenv("RS_SEGMENT_ZOO", str(tmp_path / "zoo"))
    write_card(tmp_path / "zoo" / "roofs")
    write_card(tmp_path / "zoo" / "a_broken", classes=[])
    picker = ModelPicker()
    picker.reload()
    assert [e.id for e in list_models() if e.problem] == ["a_broken"]
    assert picker.card() is not None, "a sound model comes first"
    picker.choose("a_broken")
    assert picker.card() is None and "no classes" in picker.card_view.text()
    write_card(tmp_path / "zoo" / "a_broken", id="a_broken", title="Mended")
    picker.reload()
    assert picker.model_id() == "a_broken" and picker.card().title == "Mended"
