"""Reading polygons: formats, repair, reprojection and messages."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely
from pyproj import CRS

from engine.errors import LabelError
from engine.geo.vector import layer_info, read_fields, read_labels, read_polygons

UTM = CRS.from_epsg(32645).to_wkt()
SQUARE = shapely.box(300000, 3000000, 300100, 3000200)


def write(path: Path, geometries: list, *, crs: str | None = "EPSG:32645", kind="Unknown", **kw):
    fields = kw.pop("fields", {})
    pyogrio.raw.write(
        str(path),
        shapely.to_wkb(np.array(geometries, dtype=object), output_dimension=3),
        field_data=[np.asarray(v) for v in fields.values()],
        fields=list(fields),
        geometry_type=kind,
        crs=crs,
        **kw,
    )
    return str(path)


@pytest.mark.parametrize("name", ["a.gpkg", "a.fgb", "a.shp"])
def test_formats_give_the_same_polygon(tmp_path, name):
    path = write(tmp_path / name, [SQUARE], kind="Polygon", fields={"k": [7]})
    (polygon,) = read_polygons(path, crs_wkt=UTM)
    assert polygon.equals(SQUARE)


def test_multipolygons_collections_and_z_are_taken(tmp_path):
    two = shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(3, 0, 4, 1)])
    collection = shapely.GeometryCollection([shapely.box(9, 9, 10, 10), shapely.box(7, 9, 8, 10)])
    tall = shapely.force_3d(shapely.box(5, 5, 6, 8), 4.0)
    path = write(tmp_path / "a.gpkg", [two, collection, tall], fields={"k": ["a", "b", "c"]})
    polygons, values = read_labels(path, crs_wkt=UTM, field="k")
    assert list(values) == ["a", "b", "b", "c"]
    assert shapely.area(polygons).tolist() == [2, 1, 1, 3]
    assert not shapely.has_z(polygons).any()


def test_curves_become_segments(tmp_path):
    arcs = "CURVEPOLYGON(CIRCULARSTRING(0 0, 1 1, 2 0, 1 -1, 0 0))"
    path = tmp_path / "arc.csv"
    path.write_text(f'id,WKT\n1,"{arcs}"\n')
    (polygon,) = read_polygons(str(path), crs_wkt=UTM)
    assert polygon.area == pytest.approx(np.pi, rel=2e-3)


def test_bow_tie_is_repaired_without_losing_area(tmp_path):
    bow_tie = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    path = write(tmp_path / "a.gpkg", [bow_tie, SQUARE], fields={"k": [1, 2]})
    polygons, values = read_labels(path, crs_wkt=UTM, field="k")
    assert shapely.is_valid(polygons).all()
    assert polygons[0].area == pytest.approx(2.0) and values.tolist() == [1, 2]


def test_repaired_and_dropped_rows_keep_their_values(tmp_path):
    line_like = shapely.Polygon([(0, 0), (2, 2), (4, 4), (0, 0)])
    path = write(tmp_path / "a.gpkg", [line_like, None, SQUARE], fields={"k": [1, 2, 3]})
    polygons, values = read_labels(path, crs_wkt=UTM, field="k")
    assert values.tolist() == [3] and polygons[0].equals(SQUARE)


def test_degrees_are_reprojected_x_first(tmp_path):
    path = tmp_path / "a.geojson"
    ring = [[87.0, 27.0], [87.001, 27.0], [87.001, 27.002], [87.0, 27.002], [87.0, 27.0]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon"}}
    feature["geometry"]["coordinates"] = [ring]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    (polygon,) = read_polygons(str(path), crs_wkt=UTM)
    x_min, y_min, x_max, y_max = polygon.bounds
    assert x_min == pytest.approx(500000, abs=1)
    assert x_max - x_min == pytest.approx(99.2, abs=0.5)
    assert y_max - y_min == pytest.approx(221.6, abs=0.5)


def test_missing_crs_is_taken_as_the_target_with_a_warning(tmp_path, caplog):
    path = tmp_path / "a.csv"
    path.write_text('id,WKT\n1,"POLYGON((1 2, 3 2, 3 4, 1 4, 1 2))"\n')
    with caplog.at_level(logging.WARNING, logger="engine.geo.vector"):
        (polygon,) = read_polygons(str(path), crs_wkt=UTM)
    assert polygon.bounds == (1, 2, 3, 4)
    assert "no CRS" in caplog.text


def test_first_polygon_layer_is_chosen_and_names_are_obeyed(tmp_path):
    path = tmp_path / "a.gpkg"
    write(path, [shapely.Point(1, 1)], kind="Point", layer="points")
    write(path, [SQUARE], kind="Polygon", layer="fields", append=True)
    other = shapely.box(0, 0, 2, 2)
    write(path, [other], kind="Polygon", layer="lakes", append=True)
    assert read_polygons(str(path))[0].equals(SQUARE)
    assert read_polygons(str(path), layer="lakes")[0].equals(other)
    with pytest.raises(LabelError, match=r"no layer 'roads'.*points, fields, lakes"):
        read_polygons(str(path), layer="roads")


@pytest.mark.parametrize(
    ("geometry", "word"),
    [(shapely.Point(1, 1), "Point"), (shapely.LineString([(0, 0), (1, 1)]), "LineString")],
)
def test_points_and_lines_are_refused_by_name(tmp_path, geometry, word):
    path = write(tmp_path / "a.gpkg", [SQUARE, geometry])
    with pytest.raises(LabelError, match=f"1 geometries that are not polygons: {word}"):
        read_polygons(path)
    path = write(tmp_path / "b.gpkg", [geometry], kind=word)
    with pytest.raises(LabelError, match="no layer with polygons"):
        read_polygons(path)


def test_messages_for_missing_broken_and_empty_files(tmp_path):
    with pytest.raises(LabelError, match="cannot be opened"):
        read_polygons(str(tmp_path / "none.gpkg"))
    broken = tmp_path / "broken.gpkg"
    broken.write_bytes(b"SQLite format 3\0" + b"x" * 500)
    with pytest.raises(LabelError, match=r"broken\.gpkg"):
        read_polygons(str(broken))
    empty = write(tmp_path / "empty.gpkg", [SQUARE], kind="Polygon")
    with pytest.raises(LabelError, match="no field 'class'"):
        read_labels(empty, field="class")
    with pytest.raises(LabelError, match=r"cannot hold|cannot be brought"):
        far = write(tmp_path / "far.gpkg", [shapely.box(1e30, 1e30, 2e30, 2e30)], kind="Polygon")
        read_polygons(far, crs_wkt=CRS.from_epsg(4326).to_wkt())


def test_several_fields_in_the_wanted_order_and_the_layer_without_geometries(tmp_path):
    fields = {"score": [0.25, 0.75], "kind": np.array(["a", "b"], object)}
    path = write(tmp_path / "a.gpkg", [SQUARE, SQUARE], fields=fields, layer="areas")
    polygons, values = read_fields(path, ("kind", "score"))
    assert len(polygons) == 2
    assert {name: list(column) for name, column in values.items()} == {
        "kind": ["a", "b"],
        "score": [0.25, 0.75],
    }
    info = layer_info(path)
    assert (info.name, info.fields, info.features) == ("areas", ("score", "kind"), 2)
    assert CRS.from_wkt(info.crs_wkt) == CRS.from_wkt(UTM)
    with pytest.raises(LabelError, match="no field 'size'"):
        read_fields(path, ("kind", "size"))
    with pytest.raises(LabelError, match="no layer 'roads'"):
        layer_info(path, "roads")
