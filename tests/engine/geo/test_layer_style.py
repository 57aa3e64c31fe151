"""Colours of classes from styles as QGIS writes them."""

from __future__ import annotations

import shapely

from engine.geo.gpkg_tables import write_style
from engine.geo.layer_style import read_class_colors
from engine.geo.style import class_layer_qml
from engine.zoo.card import ClassInfo
from tests.factories import make_polygons

OLD = """<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.4"><renderer-v2 type="categorizedSymbol" attr="kind"><categories>
<category symbol="0" value="roof" label="Roof"/><category symbol="1" value="" label=""/>
</categories><symbols>
<symbol name="0" type="fill"><layer class="SimpleFill"><prop k="color" v="255,0,16,255"/></layer>
</symbol>
<symbol name="1" type="fill"><layer class="SimpleFill"><prop k="color" v="1,2,3,255"/></layer>
</symbol></symbols></renderer-v2></qgis>"""
SINGLE = """<qgis><renderer-v2 type="singleSymbol"><symbols><symbol name="0" type="fill">
<layer class="SimpleFill"><Option type="Map">
<Option name="color" type="QString" value="10,20,30,255,rgb:0.04,0.08,0.12,1"/></Option></layer>
</symbol></symbols></renderer-v2></qgis>"""


def labels(tmp_path):
    return make_polygons(tmp_path / "labels.gpkg", [shapely.box(0, 0, 1, 1)], layer="areas")


def test_styles_of_a_geopackage(tmp_path):
    path = labels(tmp_path)
    classes = [ClassInfo(1, "roof", "#e6550d"), ClassInfo(2, "tree", "#31a354")]
    write_style(path, "areas", class_layer_qml(classes), name="classes")
    wanted = {"1": "#e6550d", "2": "#31a354"}
    assert read_class_colors(str(path), layer="areas", field="class_id") == wanted
    assert read_class_colors(str(path), field="class_id") == wanted
    assert read_class_colors(str(path), layer="other", field="class_id") == {}
    assert read_class_colors(str(path), layer="areas", field="kind") == {}, "another field"


def test_older_styles_and_files_beside_the_labels(tmp_path):
    path = labels(tmp_path)
    path.with_suffix(".qml").write_text(OLD)
    assert read_class_colors(str(path), layer="areas", field="kind") == {"roof": "#ff0010"}
    path.with_suffix(".qml").write_text(SINGLE)
    assert read_class_colors(str(path), layer="areas") == {"": "#0a141e"}


def test_no_or_broken_styles_give_nothing(tmp_path):
    path = labels(tmp_path)
    assert read_class_colors(str(path)) == {} == read_class_colors("gone.gpkg")
    path.with_suffix(".qml").write_text("<qgis>")
    assert read_class_colors(str(path)) == {}
    path.with_suffix(".qml").write_text("<qgis><renderer-v2 type='graduatedSymbol'/></qgis>")
    assert read_class_colors(str(path)) == {}
