"""The streaming polygoniser against GDAL, hand-worked cases and its own memory."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio import features
from rasterio.transform import IDENTITY
from scipy import ndimage

from engine.vectorize.polygonize import Polygonizer

pytestmark = pytest.mark.timeout(900)  # the first call compiles

CLASSES = (1, 2, 3)
shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14)


def trace(labels, strip_rows, *, scores=None, classes=CLASSES, **options):
    """Return (class, polygon in grid coordinates, pixels, scored, score sum) per region."""
    scores = np.zeros_like(labels) if scores is None else scores
    tracer = Polygonizer(*labels.shape, classes, **options)
    found = []
    for row in range(0, len(labels), strip_rows):
        part = tracer.push(labels[row : row + strip_rows], scores[row : row + strip_rows])
        polygons = shapely.from_ragged_array(
            shapely.GeometryType.POLYGON,
            part.xy.astype(float),
            (part.ring_offsets, part.region_offsets),
        )
        sums = (part.pixels.tolist(), part.scored.tolist(), part.score_sum.tolist())
        found += zip(part.label.tolist(), polygons, *sums, strict=True)
    return found


def gdal_regions(labels):
    pairs = features.shapes(labels, connectivity=4, transform=IDENTITY)
    found = ((int(value), shapely.geometry.shape(shape)) for shape, value in pairs)
    return Counter((v, p.area, p.bounds) for v, p in found if v in CLASSES)


@settings(max_examples=300)
@given(
    labels=hnp.arrays(np.uint8, shapes, elements=st.sampled_from([0, 1, 2, 3, 255])),
    strip_rows=st.integers(1, 14),
)
def test_regions_equal_gdal_and_are_valid(labels, strip_rows):
    found = trace(labels, strip_rows)
    assert Counter((c, p.area, p.bounds) for c, p, *_ in found) == gdal_regions(labels)
    for class_id, polygon, pixels, _, _ in found:
        assert polygon.is_valid and polygon.area == pixels
        inside = polygon.representative_point()
        assert labels[int(inside.y), int(inside.x)] == class_id


@settings(max_examples=100)
@given(
    labels=hnp.arrays(np.uint8, shapes, elements=st.sampled_from([0, 1])),
    strip_rows=st.integers(1, 14),
)
def test_diagonal_neighbours_touch_but_stay_apart(labels, strip_rows):
    found = trace(labels, strip_rows)
    assert len(found) == ndimage.label(labels)[1]
    union = shapely.union_all([p for _, p, *_ in found]) if found else shapely.Polygon()
    assert union.area == labels.sum()


@settings(max_examples=100)
@given(
    labels=hnp.arrays(np.uint8, shapes, elements=st.sampled_from([1, 2, 255])),
    seed=st.integers(0, 1000),
)
def test_sums_are_exact(labels, seed):
    scores = np.random.default_rng(seed).integers(0, 256, labels.shape).astype(np.uint8)
    expected = []
    for class_id in (1, 2):
        regions, count = ndimage.label(labels == class_id)
        for region in range(1, count + 1):
            values = scores[regions == region].astype(int)
            valid = values[values != 255]
            expected.append((class_id, len(values), len(valid), int(valid.sum())))
    found = trace(labels, 3, scores=scores)
    assert sorted((c, *sums) for c, _, *sums in found) == sorted(expected)


def test_order_and_vertices_do_not_depend_on_the_strips():
    rng = np.random.default_rng(5)
    labels = np.digitize(ndimage.gaussian_filter(rng.standard_normal((61, 37)), 1), [-0.1, 0.1])
    labels = labels.astype(np.uint8)
    whole = [(c, p.wkb, n) for c, p, n, *_ in trace(labels, 61)]
    for strip_rows in (1, 2, 7, 60):
        assert [(c, p.wkb, n) for c, p, n, *_ in trace(labels, strip_rows)] == whole


def test_a_larger_noisy_raster_equals_gdal():
    rng = np.random.default_rng(1)
    field = ndimage.gaussian_filter(rng.standard_normal((611, 370)), 1.2)
    labels = np.digitize(field, np.quantile(field, [0.4, 0.6, 0.8])).astype(np.uint8)
    labels[:50, :40] = 255
    found = trace(labels, 17)
    assert Counter((c, p.area, p.bounds) for c, p, *_ in found) == gdal_regions(labels)
    assert shapely.is_valid([p for _, p, *_ in found]).all()


def test_frames_in_frames_across_all_strips():
    size = 41
    rows, cols = np.indices((size, size))
    ring = np.minimum.reduce([rows, cols, size - 1 - rows, size - 1 - cols])
    labels = (ring % 2 + 1).astype(np.uint8)  # 21 nested squares, 1 and 2 in turn
    found = trace(labels, 1)
    assert len(found) == 21
    for _, polygon, _, _, _ in found:
        side = polygon.bounds[2] - polygon.bounds[0]
        assert polygon.area == (4 * (side - 1) if side > 1 else 1)
        assert len(polygon.interiors) == (1 if side > 1 else 0)
    assert [p.bounds[3] for _, p, *_ in found] == sorted(p.bounds[3] for _, p, *_ in found)


def test_a_hole_that_touches_its_shell_at_a_corner_is_a_hole():
    labels = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8)
    ((_, polygon, pixels, _, _),) = trace(labels, 1)
    assert pixels == 7 and polygon.is_valid
    assert [shapely.Polygon(ring).bounds for ring in polygon.interiors] == [(1, 1, 2, 2)]


def test_three_regions_at_a_corner_have_a_common_vertex():
    labels = np.array([[1, 1, 1, 1], [2, 2, 3, 3]], np.uint8)
    polygons = {c: p for c, p, *_ in trace(labels, 1)}
    for polygon in polygons.values():
        assert (2, 1) in polygon.exterior.coords
    assert shapely.coverage_is_valid(list(polygons.values()))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_single_rows_and_columns(shape):
    labels = np.full(shape, 2, np.uint8)
    ((class_id, polygon, pixels, _, _),) = trace(labels, 1)
    assert class_id == 2 and pixels == labels.size
    assert polygon.bounds == (0, 0, shape[1], shape[0])
    assert len(polygon.exterior.coords) == 5


def test_nothing_wanted_gives_nothing():
    assert trace(np.full((5, 4), 255, np.uint8), 2) == []
    assert trace(np.full((5, 4), 9, np.uint8), 2) == []


def test_state_does_not_grow_with_the_height():
    rng = np.random.default_rng(2)
    block = np.digitize(ndimage.gaussian_filter(rng.standard_normal((200, 120)), 2), [0.02])
    block = block.astype(np.uint8)
    block[:, 0], block[:, 1] = 1, 0  # one region spans the whole raster
    tracer = Polygonizer(200 * 60, 120, (1,))
    sizes, opened = [], []
    for _ in range(60):
        tracer.push(block, block)
        sizes.append(tracer.state_bytes)
        opened.append(tracer.open_vertices)
    assert len(set(sizes[1:])) == 1, "the pools grow with the number of rows"
    assert len(set(opened[1:-1])) == 1 and opened[-1] == 0


def test_wrong_rows_are_refused():
    tracer = Polygonizer(4, 3, (1,))
    with pytest.raises(ValueError, match="not 3 wide"):
        tracer.push(np.zeros((1, 4), np.uint8), np.zeros((1, 4), np.uint8))
    with pytest.raises(ValueError, match="below the last row 4"):
        tracer.push(np.zeros((5, 3), np.uint8), np.zeros((5, 3), np.uint8))
    with pytest.raises(ValueError, match="class id 255"):
        Polygonizer(4, 3, (255,))
