"""The score slider on a real layer of instances, and the style that colours them one by one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

pytest.importorskip("qgis.core")

from osgeo import ogr, osr
from qgis.core import (
    QgsExpressionContext,
    QgsExpressionContextUtils,
    QgsSingleSymbolRenderer,
    QgsSymbolLayer,
    QgsVectorLayer,
)
from qgis.PyQt.QtXml import QDomDocument
from qgis.testing import start_app

from engine.geo.style import one_by_one_qml
from rs_segment_plugin.gui.result_box import ResultBox
from rs_segment_plugin.gui.score_slider import (
    ScoreSlider,
    has_scored_instances,
    score_of,
    with_score,
)
from tests.plugin.gui_window import wait_for

pytestmark = pytest.mark.qgis
start_app()

SCORES = (0.5, 0.62, 0.75, 0.75, 0.98)


def write_layer(path: Path, name: str) -> QgsVectorLayer:
    """Write five squares with scores into a GeoPackage and open it."""
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(32645)
    source = ogr.GetDriverByName("GPKG").CreateDataSource(str(path))
    table = source.CreateLayer(name, reference, ogr.wkbMultiPolygon)
    for field, kind in (("class_id", ogr.OFTInteger), ("score", ogr.OFTReal)):
        table.CreateField(ogr.FieldDefn(field, kind))
    for field in ("class_name", "model_id"):
        table.CreateField(ogr.FieldDefn(field, ogr.OFTString))
    for number, score in enumerate(SCORES):
        feature = ogr.Feature(table.GetLayerDefn())
        feature.SetField("class_id", number % 2)
        feature.SetField("score", score)
        feature.SetField("model_id", "none")
        x = 10 * number
        square = f"(({x} 0,{x + 5} 0,{x + 5} 5,{x} 5,{x} 0))"
        feature.SetGeometry(ogr.CreateGeometryFromWkt(f"MULTIPOLYGON({square})"))
        table.CreateFeature(feature)
    del table, source
    return QgsVectorLayer(f"{path}|layername={name}", name, "ogr")


@pytest.fixture
def layer(tmp_path: Path) -> QgsVectorLayer:
    return write_layer(tmp_path / "found.gpkg", "instances")


@pytest.fixture
def slider() -> ScoreSlider:
    widget = ScoreSlider()
    yield widget
    widget.set_layer(None)


def test_filter_texts_keep_what_the_user_filters():
    assert with_score("", 0.5) == '"score" >= 0.50'
    assert with_score('"score" >= 0.50', 0.7) == '"score" >= 0.70'
    assert with_score('"score" >= 0.50', 0) == ""
    both = with_score('"class_id" = 1 OR "class_id" = 2', 0.25)
    assert both == '("class_id" = 1 OR "class_id" = 2) AND "score" >= 0.25'
    assert with_score(both, 0.9).endswith('AND "score" >= 0.90')
    assert with_score(both, 0) == '"class_id" = 1 OR "class_id" = 2'
    assert score_of(both) == 0.25
    assert score_of('"score" > 0.3') == 0.0


def test_only_layers_of_instances_get_a_slider(layer, slider, tmp_path):
    assert has_scored_instances(layer)
    classes = write_layer(tmp_path / "classes.gpkg", "classes")
    assert not has_scored_instances(classes)
    slider.set_layer(layer)
    assert not slider.isHidden()
    slider.set_layer(classes)
    assert slider.isHidden()
    assert not has_scored_instances(None)


def test_moving_the_slider_filters_the_layer(layer, slider):
    slider.set_layer(layer)
    assert slider.slider.minimum() == 50
    assert layer.featureCount() == 5
    slider.slider.setValue(70)
    assert wait_for(lambda: layer.featureCount() == 3, 5)
    assert layer.subsetString() == '"score" >= 0.70'
    assert "70 %" in slider.label.text() and "3 shown" in slider.label.text()
    slider.slider.setValue(99)
    assert wait_for(lambda: layer.featureCount() == 0, 5)
    slider.slider.setValue(slider.slider.minimum())
    assert wait_for(lambda: layer.subsetString() == "", 5)
    assert layer.featureCount() == 5


def test_filter_of_the_user_stays_and_a_filtered_layer_shows_its_score(layer, slider):
    layer.setSubsetString('"class_id" = 0')
    slider.set_layer(layer)
    slider.slider.setValue(80)
    slider.apply()
    assert layer.featureCount() == 1
    again = ScoreSlider()
    again.set_layer(layer)
    assert again.slider.value() == 80
    assert again.slider.minimum() == 50
    again.slider.setValue(again.slider.minimum())
    again.apply()
    assert layer.subsetString() == '"class_id" = 0'


def test_layer_that_is_edited_keeps_its_filter(layer, slider):
    layer.startEditing()
    slider.set_layer(layer)
    assert not slider.slider.isEnabled()
    slider.slider.setValue(90)
    slider.apply()
    assert layer.subsetString() == ""
    layer.rollBack()


def test_result_box_has_the_slider(layer):
    box = ResultBox()
    box.set_layer(layer)
    assert not box.score.isHidden()
    box.score.slider.setValue(97)
    box.score.apply()
    assert layer.featureCount() == 1
    box.set_layer(None)
    assert box.score.isHidden()


def test_one_by_one_gives_each_object_its_own_colour(layer):
    document = QDomDocument()
    assert document.setContent(one_by_one_qml())[0]
    done, message = layer.importNamedStyle(document)
    assert done, message
    renderer = layer.renderer()
    assert isinstance(renderer, QgsSingleSymbolRenderer)
    properties = renderer.symbol().symbolLayer(0).dataDefinedProperties()
    kinds = (QgsSymbolLayer.Property.FillColor, QgsSymbolLayer.Property.StrokeColor)
    context = QgsExpressionContext()
    context.appendScope(QgsExpressionContextUtils.layerScope(layer))
    colors = set()
    for feature in layer.getFeatures():
        context.setFeature(feature)
        values = [properties.valueAsColor(kind, context) for kind in kinds]
        assert all(valid for _, valid in values)
        fill, outline = (color for color, _ in values)
        assert fill.hue() == outline.hue() or abs(fill.hue() - outline.hue()) <= 1
        assert 0 < fill.alpha() < 255 == outline.alpha()
        colors.add(fill.name())
    assert len(colors) == len(SCORES)


def test_styles_of_a_result_can_be_chosen_in_qgis(tmp_path):
    """QGIS lists the second style of a GeoPackage and applies it by its number."""
    layer = write_layer(tmp_path / "found.gpkg", "instances")
    with sqlite3.connect(tmp_path / "found.gpkg") as database:
        database.execute(
            "CREATE TABLE layer_styles (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,"
            " f_table_catalog TEXT, f_table_schema TEXT, f_table_name TEXT,"
            " f_geometry_column TEXT, styleName TEXT, styleQML TEXT, styleSLD TEXT,"
            " useAsDefault BOOLEAN, description TEXT, owner TEXT, ui TEXT, update_time DATETIME)"
        )
        database.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name,"
            " f_geometry_column, styleName, styleQML, styleSLD, useAsDefault, description)"
            " VALUES ('', '', 'instances', 'geom', 'one by one', ?, '', 0, '')",
            (one_by_one_qml(),),
        )
    _, ids, names, _, _ = layer.listStylesInDatabase()
    assert names == ["one by one"]
    text, _ = layer.getStyleFromDatabase(ids[0])
    assert "fillColor" in text
