"""The compare job on layers as files: figures by hand, any CRS, areas, messages, the shell."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from pyproj import Transformer

from engine.errors import DiskError, JobCancelled, LabelError
from engine.jobs import CompareJob
from engine.pipelines.compare import run_compare
from engine.protocol import Log, Result

X, Y = 330_000.0, 3_060_000.0
ROOT = Path(__file__).resolve().parents[3]


def write(
    path: Path, boxes: Sequence[tuple[float, ...]], crs: str = "EPSG:32645", **fields: Any
) -> str:
    """Write boxes given in metres from (X, Y), in another CRS if wanted."""
    polygons = np.array([shapely.box(X + a, Y + b, X + c, Y + d) for a, b, c, d in boxes])
    if crs not in ("EPSG:32645", ""):
        move = Transformer.from_crs("EPSG:32645", crs, always_xy=True)
        polygons = shapely.segmentize(polygons, 1.0)
        polygons = shapely.transform(polygons, move.transform, interleaved=False)
    pyogrio.raw.write(
        str(path), shapely.to_wkb(polygons), [np.asarray(v) for v in fields.values()],
        list(fields), geometry_type="Polygon", crs=crs or None, driver="GPKG", layer="areas",
    )  # fmt: skip
    return str(path)


def compare(cancelled: bool = False, **fields: Any) -> tuple[Result, list[Any]]:
    events: list[Any] = []
    job = CompareJob.from_dict(fields)
    return run_compare(job, events.append, lambda: cancelled), events


TRUTH = [(0, 0, 10, 10), (30, 0, 50, 10), (0, 60, 10, 70)]
FOUND = [(1, 0, 11, 10), (30, 0, 40, 10), (80, 80, 90, 90)]


def test_figures_by_hand(tmp_path: Path) -> None:
    """IoU 9 / 11, 1 / 2 and none; ground 90 + 100 of 400 true and 300 found m²."""
    truth = write(tmp_path / "t.gpkg", TRUTH)
    found = write(tmp_path / "f.gpkg", FOUND, score=[0.9, 0.8, 0.7])
    output = tmp_path / "m.json"
    result, _ = compare(predicted=found, truth=truth, output=str(output))
    metrics = json.loads(output.read_text())
    assert metrics["objects"] == {
        "precision": pytest.approx(2 / 3), "recall": pytest.approx(2 / 3),
        "f1": pytest.approx(2 / 3), "right": 2, "wrong": 1, "missed": 1,
    }  # fmt: skip
    assert metrics["mask"]["AP50"] == pytest.approx(67 / 101)  # recalls 0 to 0.66
    assert metrics["mask"]["AP75"] == pytest.approx(34 / 101)  # recalls 0 to 0.33
    assert metrics["mask"]["APS"] is None
    ground = metrics["ground"]
    assert ground["shared_m2"] == pytest.approx(190, rel=3e-3)
    assert ground["iou"] == pytest.approx(190 / 510, rel=1e-5)
    assert metrics["count"] == result.counts == {"predicted": 3, "truth": 3}
    assert (metrics["split"], metrics["model"], metrics["data"]) == ("all", "", truth)
    assert metrics["seconds"] > 0
    assert "curves" not in result.details
    assert len(metrics["curves"]["classes"][0]["precision50"]) == 101


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
def test_layers_in_another_crs_have_the_same_figures(tmp_path: Path, crs: str) -> None:
    truth = write(tmp_path / "t.gpkg", TRUTH)
    metres = write(tmp_path / "f.gpkg", FOUND, score=[0.9, 0.8, 0.7])
    moved = write(tmp_path / "g.gpkg", FOUND, crs, score=[0.9, 0.8, 0.7])
    moved_truth = write(tmp_path / "u.gpkg", TRUTH, crs)
    expected = compare(predicted=metres, truth=truth)[0].details
    for pair in ((moved, truth), (metres, moved_truth), (moved, moved_truth)):
        details = compare(predicted=pair[0], truth=pair[1], min_iou=0.499)[0].details
        assert details["objects"] == expected["objects"]
        assert details["ground"]["iou"] == pytest.approx(expected["ground"]["iou"], abs=1e-4)
        for key in ("truth_m2", "found_m2", "shared_m2"):
            assert details["ground"][key] == pytest.approx(expected["ground"][key], rel=1e-4)


def test_classes_by_name_and_by_number(tmp_path: Path) -> None:
    truth = write(tmp_path / "t.gpkg", TRUTH, kind=["Roof", "Road", "Roof"], code=[7, 8, 7])
    found = write(
        tmp_path / "f.gpkg", FOUND, class_name=["roof", "roof", "road"], class_id=[7, 7, 8]
    )
    by_name, events = compare(predicted=found, truth=truth, truth_class_field="kind")
    rows = {row["name"]: row["objects"] for row in by_name.details["classes"]}
    assert (rows["Roof"]["right"], rows["Roof"]["wrong"], rows["Roof"]["missed"]) == (1, 1, 1)
    assert (rows["Road"]["right"], rows["Road"]["wrong"], rows["Road"]["missed"]) == (0, 1, 1)
    assert any("no field 'score'" in e.message for e in events if isinstance(e, Log))
    by_code, _ = compare(predicted=found, truth=truth, truth_class_field="code")
    assert [row["objects"] for row in by_code.details["classes"]] == list(
        rows[name] for name in ("Roof", "Road")
    )


def test_an_area_of_interest(tmp_path: Path) -> None:
    truth = write(tmp_path / "t.gpkg", TRUTH)
    found = write(tmp_path / "f.gpkg", FOUND)
    area = write(tmp_path / "a.gpkg", [(-5, -5, 55, 20)])
    details = compare(predicted=found, truth=truth, aoi=area)[0].details
    assert details["count"] == {"predicted": 2, "truth": 2}
    assert details["objects"]["f1"] == 1.0
    assert details["ground"]["truth_m2"] == pytest.approx(300, rel=3e-3)


def test_an_empty_found_layer_is_a_result(tmp_path: Path) -> None:
    truth = write(tmp_path / "t.gpkg", TRUTH)
    empty = write(tmp_path / "e.gpkg", [], class_name=np.array([], dtype=object))
    details = compare(predicted=empty, truth=truth)[0].details
    assert details["mask"]["AP"] == 0.0
    assert details["objects"]["recall"] == 0.0
    assert details["objects"]["precision"] is None
    assert details["ground"]["iou"] == 0.0


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    truth = write(tmp_path / "t.gpkg", TRUTH, kind=["a", "b", None])
    found = write(tmp_path / "f.gpkg", FOUND, class_name=["x", "x", "y"])
    far = write(tmp_path / "far.gpkg", [(5000, 0, 5010, 10)])
    with pytest.raises(LabelError, match=r"1 of 3 polygons of layer 'areas'.* have no class"):
        compare(predicted=found, truth=truth, truth_class_field="kind")
    with pytest.raises(LabelError, match=r"2 classes \(x, y\), the true ones have none"):
        compare(predicted=found, truth=truth)
    with pytest.raises(LabelError, match="no field 'sort'"):
        compare(predicted=found, truth=truth, truth_class_field="sort")
    with pytest.raises(LabelError, match="do not touch each other"):
        compare(predicted=far, truth=truth)
    with pytest.raises(LabelError, match="touches the area"):
        compare(predicted=far, truth=far, aoi=truth)
    with pytest.raises(LabelError, match="other values than numbers"):
        compare(predicted=truth, truth=truth, score_field="kind")
    (tmp_path / "m.json").write_text("{}")
    with pytest.raises(DiskError, match="exists already"):
        compare(predicted=far, truth=far, output=str(tmp_path / "m.json"))
    with pytest.raises(JobCancelled):
        compare(cancelled=True, predicted=far, truth=far)


def test_broken_polygons_are_repaired(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    bow = shapely.Polygon([(X, Y), (X + 10, Y + 10), (X + 10, Y), (X, Y + 10)])
    path = tmp_path / "bow.gpkg"
    pyogrio.raw.write(
        str(path), shapely.to_wkb(np.array([bow])), [], [], geometry_type="Polygon",
        crs="EPSG:32645", driver="GPKG", layer="areas",
    )  # fmt: skip
    details = compare(predicted=str(path), truth=str(path))[0].details
    assert details["ground"]["shared_m2"] == pytest.approx(50, rel=3e-3)
    assert "repaired" in caplog.text


def test_the_command_line(tmp_path: Path) -> None:
    truth = write(tmp_path / "t.gpkg", TRUTH)
    found = write(tmp_path / "f.gpkg", FOUND, score=[0.9, 0.8, 0.7])
    command = [sys.executable, "-m", "engine", "compare", "--predicted", found, "--truth"]
    options = {"cwd": ROOT, "capture_output": True, "text": True, "env": dict(os.environ)}
    figures = tmp_path / "figures"
    done = subprocess.run([*command, truth, "--figures", str(figures)], check=False, **options)
    assert done.returncode == 0, done.stderr
    assert "0.6667" in done.stdout
    assert {p.name for p in figures.iterdir()} == {
        "curves50.png", "curves75.png", "classes.png", "ground.png",
    }  # fmt: skip
    done = subprocess.run([*command, str(tmp_path / "no.gpkg"), "--json"], check=False, **options)
    assert done.returncode == 2
    assert json.loads(done.stdout)["code"] == "labels"


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_a_layer_without_crs_is_taken_to_be_in_that_of_the_other(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}.gpkg", TRUTH) for name in ("found", "truth")]
    bare = write(tmp_path / "bare.gpkg", TRUTH, crs="")
    for found, truth in ((paths[0], bare), (bare, paths[1])):
        result, events = compare(predicted=found, truth=truth)
        assert result.details["objects"]["f1"] == 1.0
        assert result.details["ground"]["truth_m2"] == pytest.approx(400, rel=3e-3)
    result, events = compare(predicted=bare, truth=bare)
    assert any("squared map units" in e.message for e in events if isinstance(e, Log))
    assert result.details["ground"]["truth_m2"] == pytest.approx(400, abs=1e-6)


def test_the_comparison_starts_without_torch() -> None:
    script = (
        "import sys, engine.pipelines.compare; print({'torch', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
