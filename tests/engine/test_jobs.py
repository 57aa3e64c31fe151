"""Jobs refuse what they do not know, and equal jobs have equal fingerprints."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import JobError
from engine.jobs import JOBS, DoctorJob, ExportModelJob, SegmentJob, job_from_dict

LEAST = {"raster": "a.tif", "model": "m", "output": "o.gpkg"}


def segment(**fields: Any) -> SegmentJob:
    return SegmentJob.from_dict({**LEAST, **fields})


@given(
    tile_px=st.integers(1, 8192),
    bands=st.lists(st.integers(1, 300), max_size=5),
    score=st.floats(-1, 1),
    area_m2=st.floats(0, 1e12) | st.integers(0, 10**9),
    corner=st.tuples(st.floats(-1e7, 1e7), st.floats(-1e7, 1e7)),
    size=st.tuples(st.floats(0.5, 1e6), st.floats(0.5, 1e6)),
    square=st.booleans(),
)
def test_a_job_survives_json(
    tile_px: int,
    bands: list[int],
    score: float,
    area_m2: float,
    corner: tuple[float, float],
    size: tuple[float, float],
    square: bool,
) -> None:
    extent = (*corner, corner[0] + size[0], corner[1] + size[1])
    job = segment(
        tile_px=tile_px, bands=bands, score=score, min_area_m2=area_m2, extent=extent, square=square
    )
    again = SegmentJob.from_dict(json.loads(json.dumps(job.to_dict())))
    assert again == job
    assert again.fingerprint() == job.fingerprint()


def test_whole_and_broken_numbers_give_the_same_job() -> None:
    assert segment(min_area_m2=4, extent=[0, 0, 10, 10]) == segment(
        min_area_m2=4.0, extent=(0.0, 0.0, 10.0, 10.0)
    )
    assert segment(min_area_m2=4).fingerprint() == segment(min_area_m2=4.0).fingerprint()


def test_fingerprints_differ_with_any_field() -> None:
    jobs = [segment(), segment(tile_px=64), segment(square=True), segment(bands=[3, 2, 1])]
    assert len({job.fingerprint() for job in jobs}) == len(jobs)


def test_identity_forgets_only_resume_and_overwrite() -> None:
    assert segment(resume=True, overwrite=True).identity() == segment()
    assert segment(tta=True).identity() != segment()


def test_a_job_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        segment().raster = "b.tif"  # type: ignore[misc]


def test_an_unknown_field_names_the_near_one() -> None:
    with pytest.raises(JobError, match="unknown job field 'tile_size_px'") as caught:
        segment(tile_size_px=3)
    assert "did you mean 'tile_px'?" in caught.value.hint


@pytest.mark.parametrize("missing", ["raster", "model", "output"])
def test_a_missing_field_is_named(missing: str) -> None:
    record = {name: value for name, value in LEAST.items() if name != missing}
    with pytest.raises(JobError, match=f"'{missing}' is missing"):
        SegmentJob.from_dict(record)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("raster", "", "'raster' is empty"),
        ("raster", 5, "'raster' is 5"),
        ("output", "o.shp", "is not a GeoPackage"),
        ("class_raster", "o.png", "is not a GeoTIFF"),
        ("tile_px", "512", "'tile_px' is '512'"),
        ("tile_px", 12.5, "'tile_px' is 12.5"),
        ("tile_px", True, "'tile_px' is True"),
        ("tile_px", -1, "tile_px is -1"),
        ("tile_px", 9000, "tile_px is 9000"),
        ("score", 1.5, "score is 1.5"),
        ("score", float("nan"), "score is nan"),
        ("score", None, "'score' is None"),
        ("min_area_m2", -1, "min_area_m2 is -1"),
        ("bands", 3, "'bands' is 3"),
        ("bands", ["1"], "'bands' is"),
        ("bands", [0], "below 1"),
        ("square", 1, "'square' is 1"),
        ("precision", "fp16", "precision 'fp16' is unknown"),
        ("extent", [1, 2, 3], "'extent' is"),
        ("extent", [1, 2, 1, 4], "has no area"),
        ("extent", [3, 2, 1, 4], "has no area"),
        ("extent", [1, 2, float("inf"), 4], "not finite"),
    ],
)
def test_a_wrong_value_is_named_with_a_hint(field: str, value: Any, words: str) -> None:
    with pytest.raises(JobError, match=words) as caught:
        segment(**{field: value})
    assert caught.value.hint


def test_an_overlap_as_large_as_the_tile_is_refused() -> None:
    with pytest.raises(JobError, match="overlap_px 64 is not smaller than tile_px 64"):
        segment(tile_px=64, overlap_px=64)
    assert segment(tile_px=64, overlap_px=63).overlap_px == 63


def test_jobs_are_built_by_name() -> None:
    assert job_from_dict("segment", LEAST) == segment()
    assert job_from_dict("doctor", {}) == DoctorJob()
    with pytest.raises(JobError, match="unknown job 'segmnt'") as caught:
        job_from_dict("segmnt", LEAST)
    assert "segment" in caught.value.hint


def test_every_job_has_a_function_of_both_doors() -> None:
    from engine.runner import JOB_FUNCTIONS

    assert set(JOB_FUNCTIONS) == set(JOBS)


def test_export_knows_four_formats() -> None:
    record = {"model": "m", "output": "x", "format": "pmml"}
    with pytest.raises(JobError, match="format 'pmml' is unknown"):
        ExportModelJob.from_dict(record)


@pytest.mark.parametrize("name", ["chips", "train", "pretrain"])
@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_numpy_does_not_take_is_refused(name: str, seed: int) -> None:
    least = {
        "chips": {"rasters": ["a.tif"], "labels": "l.gpkg", "output": "c"},
        "train": {"chips": "c", "network": "unet", "output": "m"},
        "pretrain": {"images": "i", "network": "unet", "output": "w.safetensors"},
    }[name]
    with pytest.raises(JobError, match="seed"):
        job_from_dict(name, {**least, "seed": seed})
    assert job_from_dict(name, {**least, "seed": 2**32 - 1}).to_dict()["seed"] == 2**32 - 1
