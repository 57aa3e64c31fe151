"""Rasters as they come: many bands, 16 bits, alpha, nodata, other resolutions, missing CRS."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from engine.errors import JobCancelled, JobError, RasterError
from engine.jobs import SegmentJob
from engine.pipelines.segment import run_segment
from engine.protocol import Event, Log, Progress, Result
from tests.factories_models import write_identity_model

UTM = "EPSG:32645"


def grid(pixel_m: float) -> Affine:
    return Affine(pixel_m, 0, 300_000, 0, -pixel_m, 3_000_000)


def write(path: Path, bands: np.ndarray, **options: object) -> Path:
    """Write ``[C, h, w]`` as a GeoTIFF of 1 m pixels."""
    profile = {"crs": UTM, "transform": grid(1.0), **options}
    count, height, width = bands.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=count,
        height=height,
        width=width,
        dtype=bands.dtype,
        **profile,
    ) as raster:
        raster.write(bands)
    return path


@pytest.fixture
def classes() -> np.ndarray:
    """Return class ids 0..3 of 37 x 61 pixels, in blocks of 2 x 2."""
    rng = np.random.default_rng(3)
    return np.kron(rng.integers(0, 4, (19, 31)), np.ones((2, 2), int))[:37, :61].astype(np.uint8)


def run(tmp_path: Path, raster: Path, **options: object) -> tuple[Result, np.ndarray, list[str]]:
    model = tmp_path / "identity4"
    if not model.exists():
        write_identity_model(model, 4)
    events: list[Event] = []
    job = SegmentJob.from_dict(
        {
            "raster": str(raster),
            "model": str(model),
            "output": str(tmp_path / "out.gpkg"),
            "class_raster": str(tmp_path / "out.tif"),
            "device": "cpu",
            "overwrite": True,
            "tile_px": 32,
            "overlap_px": 8,
            **options,
        }
    )
    result = run_segment(job, events.append, lambda: False)
    with rasterio.open(tmp_path / "out.tif") as found:
        return result, found.read(1), [e.message for e in events if isinstance(e, Log)]


def test_one_band_of_thirteen(tmp_path: Path, classes: np.ndarray) -> None:
    bands = np.full((13, 37, 61), 9, np.uint16)
    bands[6] = classes
    raster = write(tmp_path / "in.tif", bands)
    assert np.array_equal(run(tmp_path, raster, bands=[7])[1], classes)


def test_alpha_hides_pixels_and_is_no_data_band(tmp_path: Path, classes: np.ndarray) -> None:
    alpha = np.full_like(classes, 255)
    alpha[5:20, 7:30] = 0
    raster = write(tmp_path / "in.tif", np.stack([classes, alpha]))
    with rasterio.open(raster, "r+") as dataset:
        dataset.colorinterp = (ColorInterp.gray, ColorInterp.alpha)
    found = run(tmp_path, raster)[1]
    assert np.array_equal(found, np.where(alpha == 0, 255, classes))


def test_nan_is_nodata_in_float_rasters(tmp_path: Path, classes: np.ndarray) -> None:
    values = classes.astype(np.float32)
    values[3:9, 40:] = np.nan
    raster = write(tmp_path / "in.tif", values[None])
    found = run(tmp_path, raster)[1]
    assert np.array_equal(found, np.where(np.isnan(values), 255, classes))


def test_raster_without_a_valid_pixel_gives_an_empty_layer(tmp_path: Path) -> None:
    raster = write(tmp_path / "in.tif", np.full((1, 37, 61), 7, np.int16), nodata=7)
    result, found, _ = run(tmp_path, raster)
    assert np.all(found == 255)
    assert result.counts["features"] == 0
    assert result.counts["tiles"] == 0
    assert result.counts["tiles_skipped"] > 0


def test_finer_raster_is_read_at_the_nominal_resolution(
    tmp_path: Path, classes: np.ndarray
) -> None:
    model = write_identity_model(tmp_path / "identity4", 4)
    card = json.loads((model / "card.json").read_text())
    card["resolution_m"] = {"min": 1.5, "nominal": 2.0, "max": 2.5}
    (model / "card.json").write_text(json.dumps(card))
    raster = write(tmp_path / "in.tif", classes[None, :36, :60])
    _, found, logs = run(tmp_path, raster)
    assert np.array_equal(found, classes[:36:2, :60:2])
    with rasterio.open(tmp_path / "out.tif") as written:
        assert written.transform.a == pytest.approx(2.0)
    assert any("outside the model's range" in line for line in logs)


def test_crs_can_be_given_for_a_raster_without_one(tmp_path: Path, classes: np.ndarray) -> None:
    raster = write(tmp_path / "in.tif", classes[None], crs=None)
    with pytest.raises(RasterError, match="no coordinate reference system"):
        run(tmp_path, raster)
    assert not (tmp_path / "out.gpkg").exists()
    run(tmp_path, raster, crs=UTM)
    with rasterio.open(tmp_path / "out.tif") as written:
        assert written.crs.to_epsg() == 32645


def test_score_raster_holds_the_score_of_the_label(tmp_path: Path, classes: np.ndarray) -> None:
    raster = write(tmp_path / "in.tif", classes[None])
    run(tmp_path, raster, score_raster=str(tmp_path / "score.tif"))
    with rasterio.open(tmp_path / "score.tif") as scores:
        assert scores.scales == pytest.approx((1 / 254,))
        assert np.all(scores.read(1) == 254)


def test_cancel_leaves_no_output_and_can_be_continued(tmp_path: Path, classes: np.ndarray) -> None:
    raster = write(tmp_path / "in.tif", np.tile(classes, (6, 3))[None])
    write_identity_model(tmp_path / "identity4", 4)
    seen: list[Event] = []
    job = SegmentJob.from_dict(
        {
            "raster": str(raster),
            "model": str(tmp_path / "identity4"),
            "device": "cpu",
            "output": str(tmp_path / "out.gpkg"),
            "tile_px": 32,
            "overlap_px": 8,
        }
    )

    def cancelled() -> bool:
        return any(isinstance(e, Progress) and e.done >= 20 for e in seen)

    with pytest.raises(JobCancelled):
        run_segment(job, seen.append, cancelled)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".out.gpkg.run", "identity4", "in.tif"]
    _, found, logs = run(tmp_path, raster)
    assert np.array_equal(found, np.tile(classes, (6, 3)))
    assert not any("continuing" in line for line in logs), "another job must start anew"
    assert not (tmp_path / ".out.gpkg.run").exists()


def test_interrupted_run_is_not_continued_on_an_edited_raster(
    tmp_path: Path, classes: np.ndarray
) -> None:
    raster = write(tmp_path / "in.tif", classes[None])
    write_identity_model(tmp_path / "identity4", 4)
    fields = {
        "raster": str(raster),
        "model": str(tmp_path / "identity4"),
        "output": str(tmp_path / "out.gpkg"),
        "device": "cpu",
        "tile_px": 32,
        "overlap_px": 8,
    }
    with pytest.raises(JobCancelled):
        run_segment(SegmentJob.from_dict(fields), lambda event: None, lambda: True)
    classes[36, 60] += 1
    write(raster, classes[None])
    again = SegmentJob.from_dict({**fields, "resume": True})
    with pytest.raises(JobError, match="another"):
        run_segment(again, lambda event: None, lambda: False)
