"""Instances from raster to layer, with a network that knows every object of the scene."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from rasterio.features import rasterize, shapes
from rasterio.transform import Affine

from engine.errors import EngineError, JobError
from engine.evaluate.coco_eval import report_of
from engine.evaluate.matching import Objects, overlapping_pairs, precision_recall
from engine.geo.vector import read_labels, read_runs
from engine.jobs import ReplayJob, SegmentJob
from engine.pipelines.replay import run_replay
from engine.pipelines.segment import run_segment
from engine.protocol import Event, Log, Progress, Result
from tests.factories import ROTATED_1_M, SQUARE_1_M, make_polygons, make_raster
from tests.factories_instances import object_scene, write_oracle_model

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "tests.e2e.instance_cli"]
FIELDS = ["class_id", "class_name", "score", "area_m2", "perimeter_m", "model_id", "run_id"]
MISSING = 65_535


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_oracle_model(tmp_path_factory.mktemp("zoo") / "oracle", tile_px=96, overlap_px=32)


def write_scene(path: Path, scene: np.ndarray, transform: Affine = SQUARE_1_M) -> Path:
    return make_raster(path, scene[None], transform=transform, nodata=MISSING)


def job(model: Path, raster: Path, **fields: Any) -> SegmentJob:
    record = {
        "raster": str(raster),
        "model": str(model),
        "output": str(raster.with_suffix(".gpkg")),
        "device": "cpu",
        "overwrite": True,
        **fields,
    }
    return SegmentJob.from_dict(record)


def run(model: Path, raster: Path, **fields: Any) -> tuple[Result, list[Event]]:
    events: list[Event] = []
    return run_segment(job(model, raster, **fields), events.append, lambda: False), events


def polygons(path: str | Path) -> np.ndarray:
    return read_labels(str(path), layer="instances", crs_wkt="", field="class_id")[0]


def check_scene(path: str | Path, scene: np.ndarray, transform: Affine = SQUARE_1_M) -> None:
    """Each object is one feature that covers its pixels and no others: AP is 1 at any IoU."""
    numbers = []
    for polygon in polygons(path):
        drawn = rasterize([polygon], out_shape=scene.shape, transform=transform).astype(bool)
        number = int(scene[drawn][0])
        assert np.array_equal(drawn, scene == number)
        numbers.append(number)
    assert sorted(numbers) == [n for n in np.unique(scene).tolist() if 0 < n < MISSING]


@pytest.mark.parametrize(("tile", "overlap"), [(96, 32), (64, 9), (300, 40)])
def test_every_object_is_one_feature(model: Path, tmp_path: Path, tile: int, overlap: int) -> None:
    scene = object_scene(157, 203, 70, largest_px=150, seed=2)
    raster = write_scene(tmp_path / "scene.tif", scene, ROTATED_1_M)
    result, events = run(model, raster, tile_px=tile, overlap_px=overlap)
    check_scene(result.outputs["output"], scene, ROTATED_1_M)
    assert result.counts["features"] == 70
    assert sum(c["count"] for c in result.details["classes"].values()) == 70
    warned = [e.message for e in events if isinstance(e, Log) and e.level == "warning"]
    assert any("overlap of 9 px is small" in text for text in warned) == (overlap == 9)
    stages = {e.stage for e in events if isinstance(e, Progress)}
    assert stages == {"predict", "vectorize"}


def test_layer_has_fields_measures_styles_and_manifest(model: Path, tmp_path: Path) -> None:
    scene = np.zeros((40, 60), np.uint16)
    scene[10:20, 5:25] = 4
    scene[13:16, 10:14] = 0
    result, _ = run(model, write_scene(tmp_path / "a.tif", scene))
    output = result.outputs["output"]
    info = pyogrio.read_info(output, layer="instances")
    assert list(info["fields"]) == FIELDS
    assert info["geometry_type"] == "MultiPolygon"
    assert info["crs"] == "EPSG:32645"
    with sqlite3.connect(output) as database:
        row = database.execute(f"SELECT {', '.join(FIELDS)} FROM instances").fetchone()
        styles = database.execute(
            "SELECT styleName, useAsDefault, styleQML FROM layer_styles ORDER BY id"
        ).fetchall()
    assert row[:3] == (5, "kind 1", pytest.approx(0.5 + (4 * 37 % 125) / 250, abs=1e-4))
    assert row[3] == pytest.approx(188.0, rel=2e-3)
    assert row[4] == pytest.approx(60 + 14, rel=2e-3)
    assert row[5:] == ("oracle", result.details["run_id"])
    assert [(name, default) for name, default, _ in styles] == [("Oracle", 1), ("one by one", 0)]
    assert "categorizedSymbol" in styles[0][2]
    assert "fillColor" in styles[1][2]
    (manifest,) = read_runs(Path(output))
    assert manifest["features"] == 1
    assert manifest["model_id"] == "oracle"
    assert manifest["precision"] == "fp32"


def test_missing_pixels_and_the_area_of_interest_cut_objects(model: Path, tmp_path: Path) -> None:
    scene = object_scene(130, 140, 40, largest_px=90, seed=3)
    scene[40:50, 20:90] = MISSING
    raster = write_scene(tmp_path / "scene.tif", scene)
    x, y = 330_000.0, 3_060_000.0
    area = shapely.box(x + 10, y - 120, x + 100, y - 15)
    aoi = make_polygons(tmp_path / "aoi.gpkg", [area])
    result, _ = run(model, raster, aoi=str(aoi), tile_px=64)
    wanted = np.zeros(scene.shape, bool)
    wanted[15:120, 10:100] = True
    wanted &= (scene > 0) & (scene < MISSING)
    found = polygons(result.outputs["output"])
    drawn = [
        rasterize([p], out_shape=scene.shape, transform=SQUARE_1_M).astype(bool) for p in found
    ]
    assert np.array_equal(np.sum(drawn, axis=0), wanted.astype(int))
    assert all(len(np.unique(scene[mask])) == 1 for mask in drawn)


def test_a_raster_in_panels_gives_the_same(model: Path, tmp_path: Path) -> None:
    scene = object_scene(70, 3500, 120, largest_px=400, seed=5)
    raster = write_scene(tmp_path / "wide.tif", scene)
    result, _ = run(model, raster, max_memory_mib=1, tile_px=512)
    assert result.counts["tiles"] == 8
    check_scene(result.outputs["output"], scene)


def test_options_of_polygons_apply(model: Path, tmp_path: Path) -> None:
    scene = object_scene(120, 120, 30, largest_px=80, seed=6)
    raster = write_scene(tmp_path / "scene.tif", scene)
    exact, _ = run(model, raster)
    few, _ = run(model, raster, min_area_m2=20.0, simplify_m=1.5, score=0.6)
    assert 0 < few.counts["features"] < exact.counts["features"]
    with sqlite3.connect(few.outputs["output"]) as database:
        query = "SELECT min(area_m2), min(score) FROM instances"
        area_m2, score = database.execute(query).fetchone()
    assert area_m2 >= 20.0
    assert score >= 0.6
    assert shapely.is_valid(polygons(few.outputs["output"])).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"class_raster": "c.tif"}, "writes no class raster"),
        ({"score_raster": "s.tif"}, "writes no score raster"),
        ({"tta": True}, "cannot average over flipped tiles"),
        ({"tile_px": 32, "overlap_px": 0}, "must overlap"),
    ],
)
def test_what_instances_do_not_have_is_a_clear_error(
    model: Path, tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    raster = write_scene(tmp_path / "a.tif", np.ones((60, 60), np.uint16))
    with pytest.raises(JobError, match=message) as caught:
        run(model, raster, **fields)
    assert caught.value.hint


def test_command_line_prints_the_counts(model: Path, tmp_path: Path) -> None:
    scene = object_scene(100, 100, 21, largest_px=60)
    raster, output = write_scene(tmp_path / "a.tif", scene), tmp_path / "found.gpkg"
    line = [*COMMAND, "segment", str(raster), "--model", str(model), "--output", str(output)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "kind 0: 7 features" in done.stdout
    assert "4 tiles in" in done.stdout
    check_scene(output, scene)


def test_replay_gives_the_same_features(model: Path, tmp_path: Path) -> None:
    raster = write_scene(tmp_path / "a.tif", object_scene(100, 100, 20, largest_px=60))
    first, _ = run(model, raster)
    again = run_replay(
        ReplayJob(run=first.outputs["output"], output=str(tmp_path / "again.gpkg")),
        lambda event: None,
        lambda: False,
    )
    assert again.details["same_inputs"] is True
    assert features(Path(again.outputs["output"])) == features(Path(first.outputs["output"]))


def test_damaged_record_is_computed_again(model: Path, tmp_path: Path) -> None:
    raster = write_scene(tmp_path / "a.tif", object_scene(300, 60, 30, largest_px=60))
    whole, _ = run(model, raster)
    wanted = features(Path(whole.outputs["output"]))
    Path(whole.outputs["output"]).unlink()
    wish = job(model, raster, overwrite=False)
    with pytest.raises(EngineError):
        run_segment(wish, lambda event: None, cancelled_after(3))
    records = sorted((tmp_path / ".a.gpkg.run" / "strips").iterdir())
    assert len(records) >= 2
    data = bytearray(records[1].read_bytes())
    data[-1] ^= 255
    records[1].write_bytes(bytes(data))
    result, events = run(model, raster, overwrite=False, resume=True)
    assert any("continuing" in e.message for e in events if isinstance(e, Log))
    assert features(Path(result.outputs["output"])) == wanted


def cancelled_after(calls: int) -> Any:
    """Return a function that says yes from its n-th call on."""
    count = iter(range(10**9))
    return lambda: next(count) >= calls


def features(path: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as database:
        return database.execute("SELECT * FROM instances ORDER BY fid").fetchall()


def command(model: Path, raster: Path, output: Path, *options: str) -> list[str]:
    paths = [str(raster), "--model", str(model), "--output", str(output)]
    tiles = ["--tile", "48", "--overlap", "16", "--device", "cpu", "--json"]
    return [*COMMAND, "segment", *paths, *tiles, *options]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_run_resumes_to_the_same_features(model: Path, tmp_path: Path) -> None:
    scene = object_scene(2600, 130, 300, largest_px=120, seed=8)
    raster = write_scene(tmp_path / "tall.tif", scene)
    whole, torn = tmp_path / "whole.gpkg", tmp_path / "torn.gpkg"
    done = subprocess.run(
        command(model, raster, whole), check=True, cwd=ROOT, capture_output=True, text=True
    )
    assert json.loads(done.stdout)["counts"]["features"] == 300
    child = subprocess.Popen(
        command(model, raster, torn), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    journal = tmp_path / ".torn.gpkg.run" / "journal.jsonl"
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        if journal.exists() and journal.read_text().count("{") >= 10:
            break
        time.sleep(0.002)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    rows = journal.read_text().count("{")
    assert 10 <= rows < 81, "the run was not killed in its middle"
    assert not torn.exists()
    resumed = subprocess.run(
        command(model, raster, torn, "--resume"),
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert "continuing an interrupted run" in resumed.stderr
    assert features(torn) == features(whole)
    check_scene(torn, scene)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("tile", "overlap"), [(160, 40), (200, 64), (128, 16), (256, 130)])
def test_two_thousand_objects_of_up_to_four_tiles(
    model: Path, tmp_path: Path, tile: int, overlap: int
) -> None:
    scene = object_scene(2048, 2048, 2000, largest_px=4 * 160, seed=1)
    raster = write_scene(tmp_path / "mosaic.tif", scene)
    result, _ = run(model, raster, tile_px=tile, overlap_px=overlap, batch=4)
    assert result.counts["features"] == len(np.unique(scene)) - 1 == 2000
    found = polygons(result.outputs["output"])
    numbers = np.arange(1, len(found) + 1)
    painted = rasterize(
        zip(found, numbers.tolist(), strict=True),
        out_shape=scene.shape,
        transform=SQUARE_1_M,
        dtype="int32",
    )
    pairs = np.unique(np.column_stack([scene.ravel(), painted.ravel()]), axis=0)
    assert len(pairs) == len(found) + 1  # one to one, and nothing beside: IoU 1 for each
    assert len(np.unique(pairs[:, 0])) == len(np.unique(pairs[:, 1])) == len(found) + 1
    truth, seen = objects_of(true_polygons(scene)), objects_of(found)
    curves = precision_recall(seen, truth, overlapping_pairs(seen, truth), ["object"])
    assert report_of({"mask": curves})["mask"]["AP"] == 1.0  # the mean up to IoU 0.95


def true_polygons(scene: np.ndarray) -> np.ndarray:
    """One polygon with its holes per object of the scene."""
    parts: dict[int, list[shapely.Geometry]] = {}
    drawn = scene.astype("int32")
    for geometry, number in shapes(drawn, mask=drawn > 0, transform=SQUARE_1_M):
        parts.setdefault(int(number), []).append(shapely.geometry.shape(geometry))
    return np.array([shapely.union_all(pieces) for pieces in parts.values()])


def objects_of(found: np.ndarray) -> Objects:
    count = len(found)
    return Objects(found, np.zeros(count, np.int64), np.ones(count), np.zeros(count, bool))
