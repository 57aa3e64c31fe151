"""Replay: the job of a result is run again, and changed inputs are told."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import EngineError, JobError
from engine.geo.vector import read_runs
from engine.jobs import ReplayJob, SegmentJob
from engine.pipelines.replay import read_manifest, replayed_job, run_replay
from engine.pipelines.segment import run_segment
from engine.protocol import Event, Log, Result
from tests.factories import SQUARE_1_M, make_raster
from tests.factories_models import write_identity_model


@pytest.fixture
def scene(tmp_path: Path) -> SegmentJob:
    """Return a job on a raster of 37 x 61 pixels that is ready to run."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 3, (1, 37, 61), dtype=np.uint8)
    raster = make_raster(tmp_path / "scene.tif", pixels, transform=SQUARE_1_M)
    model = write_identity_model(tmp_path / "identity", 3)
    return SegmentJob(
        raster=str(raster),
        model=str(model),
        output=str(tmp_path / "first.gpkg"),
        class_raster=str(tmp_path / "first.tif"),
        device="cpu",
        min_area_m2=2.0,
    )


def segment(job: SegmentJob) -> Result:
    return run_segment(job, lambda event: None, lambda: False)


def replay(**fields: Any) -> tuple[Result, list[str]]:
    told: list[Event] = []
    result = run_replay(ReplayJob(**fields), told.append, lambda: False)
    return result, [e.message for e in told if isinstance(e, Log) and e.level == "warning"]


def polygons(path: str | Path) -> list[tuple[Any, ...]]:
    with sqlite3.connect(path) as database:
        return database.execute("select geom, class_id, score from classes order by fid").fetchall()


def test_a_replay_gives_the_same_features_elsewhere(scene: SegmentJob, tmp_path: Path) -> None:
    first = segment(scene)
    again, warnings = replay(run=scene.output, output=str(tmp_path / "again.gpkg"))
    assert warnings == []
    assert again.details["same_inputs"] is True
    assert again.details["replay_of"] == first.details["run_id"] == again.details["run_id"]
    assert again.outputs["class_raster"] == str(tmp_path / "again_class_raster.tif")
    assert polygons(again.outputs["output"]) == polygons(scene.output)
    assert Path(again.outputs["class_raster"]).read_bytes() == Path(scene.class_raster).read_bytes()


def test_a_replay_onto_itself_needs_permission(scene: SegmentJob) -> None:
    segment(scene)
    before = polygons(scene.output)
    with pytest.raises(EngineError, match="exists"):
        replay(run=scene.output)
    result, _ = replay(run=scene.output, overwrite=True)
    assert result.outputs["output"] == scene.output
    assert polygons(scene.output) == before


def test_a_manifest_file_can_be_replayed(scene: SegmentJob, tmp_path: Path) -> None:
    segment(scene)
    (manifest,) = read_runs(Path(scene.output))
    (tmp_path / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    for source in (tmp_path / "run.json", tmp_path):
        assert read_manifest(source)["run_id"] == manifest["run_id"]
    result, _ = replay(run=str(tmp_path / "run.json"), output=str(tmp_path / "again.gpkg"))
    assert result.details["same_inputs"] is True


def test_changed_pixels_are_told(scene: SegmentJob, tmp_path: Path) -> None:
    segment(scene)
    other = np.zeros((1, 37, 61), np.uint8)
    make_raster(Path(scene.raster), other, transform=SQUARE_1_M)
    result, warnings = replay(run=scene.output, output=str(tmp_path / "again.gpkg"))
    assert result.details["same_inputs"] is False
    assert any("not those of the earlier run" in text for text in warnings)


def test_changed_weights_are_told(scene: SegmentJob, tmp_path: Path) -> None:
    segment(scene)
    shutil.rmtree(scene.model)
    write_identity_model(Path(scene.model), 4)
    result, warnings = replay(run=scene.output, output=str(tmp_path / "again.gpkg"))
    assert result.details["same_inputs"] is False
    assert any("weights of" in text for text in warnings)


def test_the_latest_of_several_runs_is_taken(scene: SegmentJob, tmp_path: Path) -> None:
    segment(scene)
    runs = read_runs(Path(scene.output))
    assert read_manifest(Path(scene.output), runs[0]["run_id"]) == runs[0]
    assert read_manifest(Path(scene.output)) == runs[-1]
    with pytest.raises(JobError, match="has no run 'nope'"):
        read_manifest(Path(scene.output), "nope")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"job": 3}', "no json"])
def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(JobError, match="no manifest") as caught:
        read_manifest(path)
    assert caught.value.hint


def test_a_path_to_nothing_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.json", tmp_path / "absent.gpkg", tmp_path):
        with pytest.raises(JobError, match="no manifest"):
            read_manifest(path)


def test_a_geopackage_of_somebody_else_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.gpkg") as database:
        database.execute("create table roads (fid integer)")
    with pytest.raises(EngineError):
        read_manifest(tmp_path / "other.gpkg")


def test_a_manifest_of_another_version_is_refused_by_its_unknown_field() -> None:
    manifest = {"run_id": "x", "job": {"raster": "a", "model": "m", "output": "o.gpkg", "new": 1}}
    with pytest.raises(JobError, match="unknown job field 'new'"):
        replayed_job(manifest, ReplayJob("run.json"))
    with pytest.raises(JobError, match="has the job 'train'"):
        replayed_job({**manifest, "job_name": "train"}, ReplayJob("run.json"))
