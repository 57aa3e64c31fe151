"""A network that gives back its input must give back the raster, to the pixel, at any tiling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize
from rasterio.transform import Affine

from engine.geo.vector import read_labels
from engine.jobs import SegmentJob
from engine.pipelines.segment import run_segment
from engine.protocol import Event, Progress, Result
from tests.factories_models import write_identity_model

UTM = "EPSG:32633"
ROTATED = Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(2, -1)
DEGREES = Affine(1e-5, 0, 85.5, 0, -2e-5, 27.6)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_identity_model(tmp_path_factory.mktemp("zoo") / "identity5", 5)


def write_classes(
    path: Path, classes: np.ndarray, transform: Affine = ROTATED, crs: str = UTM
) -> None:
    """Write class ids as a one-band uint8 GeoTIFF with nodata 200."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=classes.shape[0],
        width=classes.shape[1],
        count=1,
        dtype="uint8",
        crs=crs,
        transform=transform,
        nodata=200,
    ) as raster:
        raster.write(classes, 1)


def segment(
    model: Path, raster: Path, folder: Path, **options: object
) -> tuple[Result, np.ndarray, list[Event]]:
    """Run a job and return result, class raster and events."""
    events: list[Event] = []
    job = SegmentJob.from_dict(
        {
            "raster": str(raster),
            "model": str(model),
            "output": str(folder / "out.gpkg"),
            "class_raster": str(folder / "out.tif"),
            "device": "cpu",
            "precision": "fp32",
            "overwrite": True,
            **options,
        }
    )
    result = run_segment(job, events.append, lambda: False)
    with rasterio.open(result.outputs["class_raster"]) as classes:
        return result, classes.read(1), events


def blobs(height: int, width: int, seed: int) -> np.ndarray:
    """Return class ids 0..4 in blocks and single pixels, with some nodata (200)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 5, (height // 7 + 1, width // 5 + 1), dtype=np.uint8)
    classes = np.kron(coarse, np.ones((7, 5), np.uint8))[:height, :width].copy()
    noise = rng.random((height, width))
    classes[noise < 0.1] = rng.integers(0, 5, int((noise < 0.1).sum()), dtype=np.uint8)
    classes[noise > 0.97] = 200
    return classes


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    height=st.sampled_from([1, 2, 31, 37, 64, 130]),
    width=st.sampled_from([1, 3, 61, 64, 127]),
    tile=st.sampled_from([16, 32, 48, 50, 256]),
    overlap=st.sampled_from([0, 1, 7, 15]),
    tta=st.booleans(),
    memory=st.sampled_from([0, 1]),
)
def test_identity_to_the_pixel(
    model: Path,
    tmp_path: Path,
    height: int,
    width: int,
    tile: int,
    overlap: int,
    tta: bool,
    memory: int,
) -> None:
    classes = blobs(height, width, seed=height * 131 + width)
    classes[0, 0] = 3
    write_classes(tmp_path / "in.tif", classes)
    result, found, events = segment(
        model,
        tmp_path / "in.tif",
        tmp_path,
        tile_px=tile,
        overlap_px=overlap,
        tta=tta,
        max_memory_mib=memory,
    )
    assert np.array_equal(found, np.where(classes == 200, 255, classes))
    polygons, ids = read_labels(
        tmp_path / "out.gpkg", layer="classes", crs_wkt="", field="class_id"
    )
    painted = rasterize(
        zip(polygons, [int(i) for i in ids], strict=True),
        out_shape=classes.shape,
        transform=ROTATED,
        fill=99,
        dtype="uint8",
    )
    wanted = np.where((classes == 200) | (classes == 0), 99, classes)
    assert np.array_equal(painted, wanted)
    assert result.counts["features"] == len(polygons)
    steps = [e.done for e in events if isinstance(e, Progress) and e.stage == "predict"]
    assert steps == sorted(steps)


@pytest.mark.parametrize(("transform", "crs"), [(ROTATED, UTM), (DEGREES, "EPSG:4326")])
def test_areas_are_square_metres_in_any_crs(
    model: Path, tmp_path: Path, transform: Affine, crs: str
) -> None:
    classes = np.zeros((40, 60), np.uint8)
    classes[10:20, 5:25] = 2
    write_classes(tmp_path / "in.tif", classes, transform, crs)
    result, _, _ = segment(model, tmp_path / "in.tif", tmp_path, tile_px=32, overlap_px=8)
    area_m2 = next(v["area_m2"] for v in result.details["classes"].values() if v["count"])
    # 200 pixels of 2 m x 1 m on UTM ground (scale 0.9996 near the central meridian), or of
    # 1e-5 degrees x 2e-5 degrees at 27.6 degrees north: 0.98727 m x 2.21622 m
    expected = 400.0 / 0.9996**2 if crs == UTM else 200 * 0.987306 * 2.215983
    assert area_m2 == pytest.approx(expected, rel=2e-3)


def test_extent_and_polygons_limit_the_result(model: Path, tmp_path: Path) -> None:
    classes = np.full((50, 70), 1, np.uint8)
    north_up = Affine(2, 0, 500_000, 0, -1, 5_000_000)
    write_classes(tmp_path / "in.tif", classes, north_up)
    _, found, _ = segment(
        model, tmp_path / "in.tif", tmp_path, extent=[500_020, 4_999_970, 500_060, 4_999_990]
    )
    assert found.shape == (20, 20)
    triangle = (
        '{"type":"FeatureCollection","crs":{"type":"name","properties":{"name":"EPSG:32633"}},'
        '"features":[{"type":"Feature","properties":{},"geometry":{"type":"Polygon",'
        '"coordinates":[[[500000,5000000],[500099,5000000],[500000,4999950.5],[500000,5000000]]]}}]}'
    )
    (tmp_path / "aoi.geojson").write_text(triangle)
    _, found, _ = segment(model, tmp_path / "in.tif", tmp_path, aoi=str(tmp_path / "aoi.geojson"))
    assert found.shape == (50, 50)
    rows, columns = np.mgrid[0:50, 0:50]
    inside = (columns + 0.5) * 2 / 99 + (rows + 0.5) / 49.5 < 1
    assert np.array_equal(found == 1, inside)
    assert np.all(found[~inside] == 255)
