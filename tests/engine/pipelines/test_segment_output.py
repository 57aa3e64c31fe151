"""Rasters and polygons are written beside the network: an error or a cancel of one ends all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from engine.errors import DiskError, JobCancelled, ModelError
from engine.geo.raster import RasterWriter
from engine.jobs import SegmentJob
from engine.pipelines.run_folder import RunFolder
from engine.pipelines.segment import run_segment
from engine.predict.semantic import SemanticPredictor
from engine.predict.strips import PanelStrip
from engine.protocol import Event, Progress
from tests.factories_models import write_identity_model


@pytest.fixture
def job(tmp_path: Path) -> SegmentJob:
    """Return a job on a raster of 301 x 67 class ids with eight rows of tiles."""
    classes = np.random.default_rng(1).integers(0, 4, (43, 10), dtype=np.uint8)
    classes = np.kron(classes, np.ones((7, 7), np.uint8))[:, :67]
    with rasterio.open(
        tmp_path / "in.tif", "w", driver="GTiff", height=301, width=67, count=1, dtype="uint8",
        crs="EPSG:32633", transform=Affine(2, 0, 500_000, 0, -2, 5_000_000),
    ) as raster:  # fmt: skip
        raster.write(classes, 1)
    return SegmentJob(
        raster=str(tmp_path / "in.tif"),
        model=str(write_identity_model(tmp_path / "identity4", 4)),
        output=str(tmp_path / "out.gpkg"),
        class_raster=str(tmp_path / "out.tif"),
        score_raster=str(tmp_path / "score.tif"),
        device="cpu",
        precision="fp32",
        backend="torch",
        tile_px=48,
        overlap_px=8,
    )


def left_behind(folder: Path) -> list[str]:
    """Return what lies in the folder beside input, model and the run to be continued."""
    known = {"in.tif", "identity4", ".out.gpkg.run"}
    return sorted(path.name for path in folder.iterdir() if path.name not in known)


@pytest.mark.parametrize("strip", [0, 3])
def test_error_of_a_raster_is_the_error_of_the_run(
    job: SegmentJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strip: int
) -> None:
    written, write = [], RasterWriter.write_rows

    def fail_at(writer: RasterWriter, rows: np.ndarray) -> None:
        if len(written) == strip:
            raise DiskError(f"cannot write {writer.path}: no space", "free some space")
        written.append(len(rows))
        write(writer, rows)

    threads = threading.active_count()
    monkeypatch.setattr(RasterWriter, "write_rows", fail_at)
    with pytest.raises(DiskError, match="no space"):
        run_segment(job, lambda event: None, lambda: False)
    assert left_behind(tmp_path) == []
    assert threading.active_count() == threads


def test_cancel_while_polygons_are_traced_ends_both(job: SegmentJob, tmp_path: Path) -> None:
    job = replace(job, simplify_m=3.0)  # a second pass over the strips, after the network's
    rows_done = [0]

    def report(event: Event) -> None:
        if isinstance(event, Progress) and event.stage == "vectorize":
            rows_done[0] = event.done

    threads = threading.active_count()
    with pytest.raises(JobCancelled):
        run_segment(job, report, lambda: 100 <= rows_done[0] < 301)
    assert 100 <= rows_done[0] < 301
    assert left_behind(tmp_path) == []
    assert threading.active_count() == threads


@pytest.mark.parametrize("simplify_m", [0.0, 3.0])
def test_rasters_are_whole_whatever_the_number_of_passes_for_polygons(
    job: SegmentJob, simplify_m: float
) -> None:
    fields = {**job.to_dict(), "simplify_m": simplify_m}
    result = run_segment(SegmentJob.from_dict(fields), lambda event: None, lambda: False)
    with rasterio.open(job.raster) as source, rasterio.open(job.class_raster) as found:
        assert np.array_equal(found.read(1), source.read(1))
    with rasterio.open(job.score_raster) as scores:
        assert (scores.read(1) == 254).all()
    assert result.counts["features"] > 20


def watch_calls(monkeypatch: pytest.MonkeyPatch, before: Callable[[int], None]) -> list[int]:
    """Let ``before`` be called with the number of each call of the network; returns the numbers."""
    numbers: list[int] = []
    call = SemanticPredictor.__call__

    def watched(predictor: SemanticPredictor, tiles: np.ndarray) -> Any:
        numbers.append(len(numbers))
        before(numbers[-1])
        return call(predictor, tiles)

    monkeypatch.setattr(SemanticPredictor, "__call__", watched)
    return numbers


def test_strips_are_written_while_the_network_is_at_later_tiles(
    job: SegmentJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, write = threading.Event(), RasterWriter.write_rows

    def write_and_tell(writer: RasterWriter, rows: np.ndarray) -> None:
        write(writer, rows)
        written.set()

    monkeypatch.setattr(RasterWriter, "write_rows", write_and_tell)
    late = 12  # of the sixteen tiles, one by one
    calls = watch_calls(monkeypatch, lambda n: None if n < late else assert_set(written))
    result = run_segment(replace(job, batch=1), lambda event: None, lambda: False)
    assert len(calls) == result.counts["tiles"] == 16


def assert_set(event: threading.Event) -> None:
    """Fail if an event does not come to pass."""
    assert event.wait(30)


def test_an_error_of_a_raster_spares_the_network_the_later_tiles(
    job: SegmentJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def fail(writer: RasterWriter, rows: np.ndarray) -> None:
        failed.set()
        raise DiskError(f"cannot write {writer.path}: no space", "free some space")

    monkeypatch.setattr(RasterWriter, "write_rows", fail)
    calls = watch_calls(monkeypatch, lambda n: None if n < 8 else time.sleep(0.5))
    with pytest.raises(DiskError, match="no space"):
        run_segment(replace(job, batch=1), lambda event: None, lambda: False)
    assert failed.is_set()
    assert len(calls) < 16
    assert left_behind(tmp_path) == []


def test_an_error_of_the_network_ends_the_writing(
    job: SegmentJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_late(number: int) -> None:
        if number == 10:
            raise ModelError("the network does not like this tile", "take another")

    watch_calls(monkeypatch, fail_late)
    threads = threading.active_count()
    with pytest.raises(ModelError, match="does not like"):
        run_segment(replace(job, batch=1), lambda event: None, lambda: False)
    assert left_behind(tmp_path) == []
    assert threading.active_count() == threads


def test_an_error_of_saving_is_not_taken_for_a_cancel(
    job: SegmentJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = RunFolder.end

    def end_and_wait(folder: RunFolder) -> None:
        end(folder)
        time.sleep(0.3)  # the writing thread, which waits for a strip, is cancelled meanwhile

    def fail(folder: RunFolder, strip: PanelStrip) -> None:
        raise DiskError(f"cannot write {folder.path}: no space", "free some space")

    monkeypatch.setattr(RunFolder, "end", end_and_wait)
    monkeypatch.setattr(RunFolder, "save", fail)
    with pytest.raises(DiskError, match="no space"):
        run_segment(job, lambda event: None, lambda: False)


def test_stages_are_reported_one_after_the_other(job: SegmentJob) -> None:
    stages: list[str] = []
    run_segment(
        job, lambda e: stages.append(e.stage) if isinstance(e, Progress) else None, lambda: False
    )
    assert stages.index("vectorize") == stages.count("predict")
    assert stages[-1] == "vectorize"
