"""Strips to features: shared borders, simplification, map coordinates, batches."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS
from scipy import ndimage

from engine.geo.grid import Grid
from engine.vectorize import stream
from engine.vectorize.stream import Strip, VectorOptions, vectorize

pytestmark = pytest.mark.timeout(900)  # the first call compiles

UTM = CRS.from_epsg(32645).to_wkt()
NORTH_UP = Affine(2, 0, 500_000, 0, -1, 3_000_000)  # pixels of 2 m by 1 m


def run(labels, options=None, *, scores=None, strip_rows=8, transform=NORTH_UP, crs=UTM, ids=None):
    """Return class ids and polygons, and all batches."""
    scores = np.full_like(labels, 127) if scores is None else scores
    grid = Grid(*labels.shape, transform, crs)

    def strips():
        for row in range(0, len(labels), strip_rows):
            part = slice(row, row + strip_rows)
            yield Strip(row, labels[part], scores[part])

    wanted = [1, 2, 3] if ids is None else ids
    batches = list(vectorize(strips, grid, wanted, options or VectorOptions()))
    if not batches:
        return np.zeros(0, int), np.zeros(0, object), batches
    class_id = np.concatenate([batch.class_id for batch in batches])
    return class_id, shapely.from_wkb(np.concatenate([b.wkb for b in batches])), batches


def land_cover(shape, sigma, classes, seed):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), sigma)
    levels = np.quantile(field, np.arange(1, classes) / classes)
    return np.digitize(field, levels).astype(np.uint8)


@settings(max_examples=60)
@given(
    height=st.integers(1, 45),
    width=st.integers(1, 45),
    sigma=st.sampled_from([0.0, 0.8, 1.5, 3.0]),
    classes=st.integers(2, 4),
    simplify_m=st.sampled_from([0.0, 0.6, 1.5, 3.0, 9.0]),
    hole=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_neighbours_share_their_borders(height, width, sigma, classes, simplify_m, hole, seed):
    labels = land_cover((height, width), sigma, classes, seed)
    if hole:
        labels[: height // 3, : width // 3] = 255
    options = VectorOptions(simplify_m=simplify_m)
    _, polygons, _ = run(labels, options, ids=[0, 1, 2, 3], transform=Affine.identity(), crs="")
    assert shapely.is_valid(polygons).all()
    assert shapely.coverage_is_valid(polygons)
    everything = np.where(labels == 255, 4, labels).astype(np.uint8)
    _, filled, _ = run(everything, options, ids=range(5), transform=Affine.identity(), crs="")
    assert shapely.coverage_is_valid(filled)
    assert shapely.area(filled).sum() == pytest.approx(height * width)  # no gap, no overlap


@pytest.mark.parametrize("simplify_m", [1.5, 4.0])
def test_simplified_outlines_stay_within_the_tolerance(simplify_m):
    labels = land_cover((90, 70), 3, 4, 3)
    ids, exact, _ = run(labels)
    simple_ids, simple, _ = run(labels, VectorOptions(simplify_m=simplify_m))
    assert (ids == simple_ids).all()
    assert (
        shapely.get_num_coordinates(simple).sum() < 0.5 * shapely.get_num_coordinates(exact).sum()
    )
    distance = shapely.hausdorff_distance(shapely.boundary(exact), shapely.boundary(simple))
    assert distance.max() <= simplify_m * 1.01


def test_simplified_result_does_not_depend_on_the_strips():
    labels = land_cover((61, 37), 2, 3, 8)
    options = VectorOptions(simplify_m=3, min_area_m2=5)
    expected = [p.wkb for p in run(labels, options, strip_rows=61)[1]]
    for strip_rows in (1, 13):
        assert [p.wkb for p in run(labels, options, strip_rows=strip_rows)[1]] == expected


def test_corners_of_the_raster_stay():
    _, (polygon,), _ = run(np.ones((7, 9), np.uint8), VectorOptions(simplify_m=100))
    assert polygon.equals(shapely.box(500_000, 3_000_000 - 7, 500_018, 3_000_000))


def test_a_single_pixel_keeps_its_four_corners():
    labels = np.zeros((5, 5), np.uint8)
    labels[2, 3] = 1
    _, (polygon,), _ = run(labels, VectorOptions(simplify_m=50))
    assert polygon.equals(shapely.box(500_006, 3_000_000 - 3, 500_008, 3_000_000 - 2))


def test_a_small_island_is_not_swallowed_by_a_simplified_border():
    labels = np.zeros((40, 40), np.uint8)
    labels[20:] = 1
    labels[14:20, 18:22] = 1  # a bump that simplification removes
    labels[17, 15] = 2  # islands beside it, and in it
    labels[16, 20] = 2
    ids, polygons, _ = run(
        labels, VectorOptions(simplify_m=7.9), ids=[0, 1, 2], crs="", transform=Affine.identity()
    )
    assert shapely.coverage_is_valid(polygons)
    assert shapely.area(polygons).sum() == pytest.approx(1600)
    assert sorted(ids) == [0, 1, 2, 2]


ORIGIN = Affine.translation(500_000, 3_000_000)
ROTATED = ORIGIN @ Affine.rotation(30) @ Affine.scale(2, -1)
TURNED = ORIGIN @ Affine.scale(-1, 2)


@pytest.mark.parametrize(
    "transform", [NORTH_UP, Affine(2, 0, 500_000, 0, 1, 3_000_000), ROTATED, TURNED]
)
def test_exteriors_run_counter_clockwise_on_the_map(transform):
    labels = np.ones((37, 61), np.uint8)
    labels[10:20, 10:20] = 0
    _, (polygon,), (batch,) = run(labels, transform=transform)
    assert polygon.exterior.is_ccw
    assert not polygon.interiors[0].is_ccw
    grid = Grid(37, 61, transform, UTM)
    x, y = grid.pixel_to_map([0, 0, 37, 37, 10], [0, 61, 61, 0, 10])
    corners = {tuple(c) for c in np.round(shapely.get_coordinates(polygon), 6).tolist()}
    assert {tuple(c) for c in np.round(np.column_stack([x, y]), 6).tolist()} <= corners
    pixel_m2 = abs(transform.determinant)
    assert batch.area_m2[0] == pytest.approx((37 * 61 - 100) * pixel_m2, rel=2e-3)  # UTM scale


def test_small_polygons_are_left_out_by_their_area_on_the_ground():
    labels = np.zeros((20, 20), np.uint8)
    labels[2:4, 2:4] = 1  # 4 pixels
    labels[10:13, 10:14] = 1  # 12 pixels
    pixel = 1e-5  # degrees: 1.11 m north-south, 0.96 m east-west at 30° north
    degrees = Affine(pixel, 0, 10, 0, -pixel, 30)
    wgs84 = CRS.from_epsg(4326).to_wkt()
    _, polygons, (batch,) = run(labels, VectorOptions(min_area_m2=6), transform=degrees, crs=wgs84)
    assert len(polygons) == 1
    assert batch.area_m2[0] == pytest.approx(12 * 1.1085 * 0.9649, rel=2e-3)
    assert batch.perimeter_m[0] == pytest.approx(6 * 1.1085 + 8 * 0.9649, rel=2e-3)


def test_minimum_area_applies_to_whole_regions_never_to_parts():
    labels = np.zeros((30, 4), np.uint8)
    labels[:, 1] = 1
    _, polygons, _ = run(labels, VectorOptions(min_area_m2=59), strip_rows=1)  # 60 m² in all
    assert len(polygons) == 1


def test_score_is_the_mean_of_the_pixels_with_a_score():
    labels = np.array([[1, 1, 1, 2]], np.uint8)
    scores = np.array([[254, 127, 255, 255]], np.uint8)
    ids, _, (batch,) = run(labels, scores=scores)
    by_class = dict(zip(ids.tolist(), batch.score.tolist(), strict=True))
    assert by_class == {1: pytest.approx(0.75), 2: 0.0}
    assert batch.score.dtype == np.float32 and batch.class_id.dtype == np.int32


def test_batches_are_bounded(monkeypatch):
    monkeypatch.setattr(stream, "BATCH_POLYGONS", 7)
    monkeypatch.setattr(stream, "BATCH_VERTICES", 60)
    labels = np.zeros((30, 30), np.uint8)
    labels[::2, ::2] = 1
    labels[29, :] = 1
    _, polygons, batches = run(labels)
    assert len(polygons) == 225 - 15 + 1
    assert max(len(batch) for batch in batches) == 7
    for batch in batches:
        vertices = shapely.get_num_coordinates(shapely.from_wkb(batch.wkb)).sum()
        assert vertices <= 60 or len(batch) == 1


def test_nothing_found_gives_no_batch():
    assert run(np.zeros((5, 5), np.uint8), VectorOptions(simplify_m=2))[2] == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [([0, 2], "starts at row 2, expected 1"), ([0], "end at row 1 of 3"), ([0, 1, 2, 3], "below")],
)
def test_strips_with_gaps_are_refused(rows, message):
    part = np.ones((1, 4), np.uint8)
    grid = Grid(3, 4, NORTH_UP, UTM)
    with pytest.raises(ValueError, match=message):
        list(vectorize(lambda: (Strip(r, part, part) for r in rows), grid, [1], VectorOptions()))
