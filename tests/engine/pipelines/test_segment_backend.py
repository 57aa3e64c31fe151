"""Backends of a segment job: results say which one ran, and a continued run keeps its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from engine.errors import JobCancelled
from engine.geo.vector import read_runs
from engine.jobs import SegmentJob
from engine.pipelines.run_folder import run_folder_for
from engine.pipelines.segment import run_segment
from tests.factories_models import write_identity_model

HEIGHT, WIDTH = 301, 97


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SegmentJob:
    pytest.importorskip("openvino")
    monkeypatch.setenv("RS_SEGMENT_CACHE", str(tmp_path / "cache"))
    classes = np.random.default_rng(5).integers(0, 3, (HEIGHT, WIDTH), dtype=np.uint8)
    with rasterio.open(
        tmp_path / "scene.tif",
        "w",
        driver="GTiff",
        height=HEIGHT,
        width=WIDTH,
        count=1,
        dtype="uint8",
        crs="EPSG:32645",
        transform=Affine(2, 0, 300_000, 0, -1, 3_000_000),
    ) as raster:
        raster.write(classes, 1)
    return SegmentJob(
        raster=str(tmp_path / "scene.tif"),
        model=str(write_identity_model(tmp_path / "identity", 3)),
        output=str(tmp_path / "out.gpkg"),
        class_raster=str(tmp_path / "out.tif"),
        overwrite=True,
    )


def run(job: SegmentJob, **changes: Any) -> dict[str, Any]:
    changed = SegmentJob.from_dict({**job.to_dict(), **changes})
    return run_segment(changed, lambda event: None, lambda: False).details


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_each_backend_gives_the_identity_back_and_is_named(job: SegmentJob, backend: str) -> None:
    details = run(job, backend=backend)
    assert details["backend"] == backend
    record = read_runs(Path(job.output))[-1]
    assert record["backend"] == backend
    assert record["versions"][backend]
    with rasterio.open(job.raster) as truth, rasterio.open(job.class_raster) as found:
        assert np.array_equal(truth.read(1), found.read(1))


def test_a_continued_run_keeps_the_backend_that_it_began_with(
    job: SegmentJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(job, backend="openvino")
    bytes_whole = Path(job.class_raster).read_bytes()
    monkeypatch.setenv("RS_SEGMENT_BACKEND", "openvino:fp32")
    calls = iter(range(1000))
    with pytest.raises(JobCancelled):
        run_segment(job, lambda event: None, lambda: next(calls) > 6)
    assert run_folder_for(Path(job.output)).is_dir()
    monkeypatch.setenv("RS_SEGMENT_BACKEND", "torch:fp32")
    details = run(job, resume=True)
    assert (details["backend"], details["precision"]) == ("openvino", "fp32")
    assert Path(job.class_raster).read_bytes() == bytes_whole
    assert whole["backend"] == "openvino"


def test_backends_are_tried_on_the_raster_and_the_choice_is_told(
    job: SegmentJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RS_SEGMENT_BACKEND", "auto")
    monkeypatch.setattr("engine.predict.probe.PROBE_SECONDS", 0.0)
    events: list[Any] = []
    result = run_segment(job, events.append, lambda: False)
    told = [e.message for e in events if "labels of float32" in getattr(e, "message", "")]
    assert len(told) == 1
    assert f"{result.details['backend']} {result.details['precision']}" in told[0]
    assert Path(job.output).with_name("cache").joinpath("fastest_runtimes.json").is_file()
