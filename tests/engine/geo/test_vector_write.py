"""Writing features, styles and runs into a GeoPackage, as others read it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely
from pyproj import CRS

from engine.errors import DiskError, EngineError, JobCancelled
from engine.geo.vector import (
    FeatureBatch,
    LayerSpec,
    read_polygons,
    read_runs,
    write_features,
    write_run,
    write_style,
)

FIELDS = ["class_id", "class_name", "score", "area_m2", "perimeter_m", "model_id", "run_id"]
UTM = CRS.from_epsg(32645).to_wkt("WKT2_2019")
CUSTOM = CRS.from_proj4("+proj=laea +lat_0=27.6 +lon_0=85.5 +units=m").to_wkt("WKT2_2019")
SITE = (
    'ENGCRS["Site grid",EDATUM["Site"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],'
    'LENGTHUNIT["metre",1]]'
)


def batch(count, start=0):
    corner = np.arange(start, start + count)
    boxes = shapely.box(corner * 10, 0, corner * 10 + 5, 5)
    return FeatureBatch(
        wkb=shapely.to_wkb(boxes),
        class_id=(corner % 2 + 1).astype(np.int32),
        score=np.full(count, 2 / 3, np.float32),
        area_m2=np.full(count, 25.00049),
        perimeter_m=np.full(count, 0.0123456789),
    )


def spec(crs=UTM):
    return LayerSpec("classes", crs, {1: "building", 2: "Straße"}, "model_a", "run-7")


def test_fields_and_values_arrive(tmp_path):
    path = tmp_path / "a b.gpkg"
    assert write_features(path, iter([batch(2), batch(0), batch(3, 2)]), spec()) == 5
    meta, fids, wkb, data = pyogrio.raw.read(path, layer="classes", return_fids=True)
    columns = dict(zip(meta["fields"].tolist(), data, strict=True))
    assert list(columns) == FIELDS and fids.tolist() == [1, 2, 3, 4, 5]
    assert columns["class_id"].dtype == np.int32 and columns["class_id"].tolist() == [1, 2, 1, 2, 1]
    assert columns["class_name"].tolist()[:2] == ["building", "Straße"]
    assert columns["score"].tolist() == [0.6667] * 5
    assert columns["area_m2"].tolist() == [25.0005] * 5
    assert columns["perimeter_m"].tolist() == [0.0123457] * 5
    assert set(columns["model_id"]) == {"model_a"} and set(columns["run_id"]) == {"run-7"}
    assert shapely.from_wkb(wkb)[4].bounds == (40, 0, 45, 5)
    assert meta["geometry_type"] == "Polygon"


def test_there_is_a_spatial_index(tmp_path):
    path = tmp_path / "a.gpkg"
    write_features(path, [batch(50)], spec())
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM rtree_classes_geom").fetchone() == (50,)
    database.close()
    assert len(read_polygons(str(path))) == 50


def test_nothing_found_gives_an_empty_layer_with_all_fields(tmp_path):
    path = tmp_path / "a.gpkg"
    assert write_features(path, [], spec()) == 0
    info = pyogrio.read_info(path, layer="classes")
    assert info["features"] == 0 and info["fields"].tolist() == FIELDS
    assert CRS(info["crs"]).to_epsg() == 32645


@pytest.mark.parametrize("crs", [UTM, CUSTOM, SITE, ""])
def test_any_crs_is_kept(tmp_path, crs):
    path = tmp_path / "a.gpkg"
    write_features(path, [batch(1)], spec(crs))
    stored = pyogrio.read_info(path)["crs"]
    if not crs:
        assert stored is None
    elif crs == SITE:
        assert "Site" in stored
    else:
        assert CRS(stored).equals(CRS(crs), ignore_axis_order=True)


def test_equal_input_gives_equal_bytes(tmp_path, monkeypatch):
    def write(name):
        path = tmp_path / name
        write_features(path, [batch(40)], spec())
        write_style(path, "classes", "<qgis/>", name="style")
        write_run(path, {"run_id": "run-7", "started": "2024-05-01T10:00:00+00:00"})
        return path.read_bytes()

    first = write("a.gpkg")
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    assert write("b.gpkg") == first
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert write("c.gpkg") != first
    assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") is None


def test_an_old_file_is_replaced(tmp_path):
    path = tmp_path / "a.gpkg"
    path.write_bytes(b"something else")
    assert write_features(path, [batch(1)], spec()) == 1
    assert len(read_polygons(str(path))) == 1


def test_errors_of_the_batches_come_through_and_leave_no_file(tmp_path):
    def batches():
        yield batch(3)
        raise JobCancelled

    with pytest.raises(JobCancelled):
        write_features(tmp_path / "a.gpkg", batches(), spec())
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_and_folder_in_the_way_are_disk_errors(tmp_path):
    with pytest.raises(DiskError, match="create the folder"):
        write_features(tmp_path / "none" / "a.gpkg", [batch(1)], spec())
    (tmp_path / "b.gpkg").mkdir()
    with pytest.raises(DiskError, match=r"b\.gpkg cannot be written"):
        write_features(tmp_path / "b.gpkg", [batch(1)], spec())


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from tests.engine.geo.test_vector_write import batch, spec
from engine.errors import DiskError
from engine.geo.vector import write_features
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
try:
    write_features(Path(sys.argv[1]), [batch(3000, i * 3000) for i in range(10)], spec())
except DiskError as error:
    print("DiskError", error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes on Windows")
def test_no_room_on_the_disk_is_a_disk_error(tmp_path):
    """A limit on the size of files is to SQLite what a full disk is."""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "a.gpkg")],
        cwd=root, capture_output=True, text=True, check=True, timeout=100,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert "DiskError" in done.stdout and "a.gpkg cannot be written" in done.stdout
    assert not (tmp_path / "a.gpkg").exists()


def test_a_locked_file_is_a_disk_error(tmp_path):
    path = tmp_path / "a.gpkg"
    write_features(path, [batch(1)], spec())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(DiskError, match="locked"):
            write_run(path, {"run_id": "a"})
    finally:
        other.close()


def test_style_and_runs_are_attribute_tables_and_can_be_replaced(tmp_path):
    path = tmp_path / "a.gpkg"
    write_features(path, [batch(1)], spec())
    for text in ("<old/>", "<new/>"):
        write_style(path, "classes", text, name="A title that is longer than thirty characters")
    for seconds in (1, 2):
        write_run(path, {"run_id": "a", "started": "2024", "seconds": seconds, "name": "é"})
    write_run(path, {"run_id": "b"})
    assert [run.get("seconds") for run in read_runs(path)] == [2, None]
    database = sqlite3.connect(path)
    styles = "SELECT f_table_name, f_geometry_column, styleQML, useAsDefault FROM layer_styles"
    assert database.execute(styles).fetchall() == [("classes", "geom", "<new/>", 1)]
    kinds = dict(database.execute("SELECT table_name, data_type FROM gpkg_contents").fetchall())
    created = database.execute("SELECT created FROM rs_segment_runs WHERE run_id = 'a'").fetchone()
    database.close()
    assert kinds == {
        "classes": "features", "layer_styles": "attributes", "rs_segment_runs": "attributes",
    }  # fmt: skip
    assert created == ("2024",)
    assert {str(name) for name, _ in pyogrio.list_layers(path)} >= {"classes", "rs_segment_runs"}


def test_reading_runs_of_other_files(tmp_path):
    path = tmp_path / "a.gpkg"
    write_features(path, [], spec())
    assert read_runs(path) == []
    (tmp_path / "b.gpkg").write_text("no database at all, but long enough to be one" * 10)
    for name in ("b.gpkg", "none.gpkg"):
        with pytest.raises(EngineError, match=name.replace(".", r"\.")):
            read_runs(tmp_path / name)
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE rs_segment_runs (id INTEGER, manifest TEXT)")
    database.execute("INSERT INTO rs_segment_runs VALUES (1, ?)", (json.dumps({"a": 1})[:-1],))
    database.commit()
    database.close()
    with pytest.raises(EngineError, match="cannot be read"):
        read_runs(path)


@pytest.mark.skipif(shutil.which("ogrinfo") is None, reason="GDAL's tools are not installed")
def test_gdal_finds_no_fault(tmp_path):
    path = tmp_path / "a.gpkg"
    write_features(path, [batch(3)], spec())
    write_style(path, "classes", "<qgis/>", name="style")
    write_run(path, {"run_id": "a"})
    done = subprocess.run(
        ["ogrinfo", "-ro", "-al", "-so", str(path)], capture_output=True, text=True, check=True
    )
    assert "Feature Count: 3" in done.stdout
    assert "Warning" not in done.stderr and "ERROR" not in done.stderr
