"""Polygons to masks: holes, edges of chips, overlaps, and what is left of cut objects."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.ground_blocks import chip_windows
from engine.data.instances import PixelPolygons, cut_parts, objects_of, paint_parts
from engine.geo.grid import Grid
from engine.geo.windows import Window

UNIT = Grid(40, 50, Affine.identity(), "")
KNOWN = np.ones((40, 50), dtype=bool)


def polygons(shapes: list, ids: list[int], grid: Grid = UNIT) -> PixelPolygons:
    return PixelPolygons(np.array(shapes, dtype=object), ids, grid)


def test_hand_worked_hole():
    """A 6 x 6 square with a 2 x 2 hole: 32 pixels, also where a chip's edge cuts the hole."""
    ring = shapely.box(10, 10, 16, 16).difference(shapely.box(12, 12, 14, 14))
    found = polygons([ring], [1])
    mask, parts = found.cut(Window(0, 0, 40, 50), 0)
    assert mask.sum() == 32 and mask[12:14, 12:14].sum() == 0
    left, _ = found.cut(Window(0, 0, 40, 13), 0)
    right, _ = found.cut(Window(0, 13, 40, 37), 0)
    assert left.sum() == right.sum() == 16
    assert (parts[0].row, parts[0].col, parts[0].area_px) == (10, 10, 32.0)


def test_grids_of_any_kind_see_the_same_ground():
    square = shapely.box(0, 0, 8, 8)
    turned = Affine.rotation(30.0) @ Affine.scale(2.0, -1.0)
    ground = shapely.transform(square, lambda xy: np.column_stack(turned @ tuple(xy.T)))
    mask, _ = polygons([ground], [3], Grid(40, 50, turned, "")).cut(Window(0, 0, 40, 50), 0)
    assert (mask[:8, :8] == 3).all() and (mask > 0).sum() == 64


def test_small_remainders_are_crowds():
    found = polygons([shapely.box(0, 0, 10, 10), shapely.box(20, 20, 23, 21)], [1, 1])
    objects = objects_of(found.cut(Window(0, 9, 40, 41), 0)[1], KNOWN[:, 9:])
    assert [o.crowd for o in objects] == [False, True], "a tenth stays; 3 pixels are too few"
    objects = objects_of(found.cut(Window(9, 9, 31, 41), 0)[1], KNOWN[9:, 9:])
    assert objects[0].crowd and objects[0].mask.sum() == 1


def test_unknown_ground_and_ignored_polygons_take_off():
    found = polygons([shapely.box(0, 0, 10, 10), shapely.box(5, 0, 20, 10)], [1, 255])
    mask, parts = found.cut(Window(0, 0, 40, 50), 0)
    assert (mask == 255).sum() == 150 and (mask == 1).sum() == 50
    objects = objects_of(parts, mask != 255)
    assert len(objects) == 1 and objects[0].mask.sum() == 50 and not objects[0].crowd


SHAPES = st.lists(
    st.tuples(*[st.floats(-5, 55, allow_nan=False)] * 2, st.floats(1, 20), st.integers(3, 9)),
    min_size=1, max_size=8,
)  # fmt: skip


@given(SHAPES, st.integers(5, 45), st.integers(0, 4))
@settings(deadline=None, max_examples=60)
def test_chips_conserve_pixels_and_objects_unite_to_the_mask(circles, tile, hole):
    shapes = [
        shapely.Point(x, y).buffer(r, quad_segs=q).difference(shapely.Point(x, y).buffer(hole / 3))
        for x, y, r, q in circles
    ]
    kept = [(i % 3 + 1, s) for i, s in enumerate(shapes) if not s.is_empty]
    if not kept:
        return
    found = polygons([s for _, s in kept], [i for i, _ in kept])
    whole, parts = found.cut(Window(0, 0, 40, 50), 0)
    total = np.zeros_like(whole)
    for window in chip_windows(Window(0, 0, 40, 50), tile):
        mask, own = found.cut(window, 0)
        place = (slice(window.row_off, window.row_end), slice(window.col_off, window.col_end))
        total[place] = mask
        union = np.zeros(mask.shape, dtype=bool)
        for item in objects_of(own, mask != 255):
            h, w = item.mask.shape
            union[item.row : item.row + h, item.col : item.col + w] |= item.mask
        assert np.array_equal(union, mask > 0)
        assert np.array_equal(paint_parts(cut_parts(parts, window), mask.shape, 0), whole[place])
    assert np.array_equal(total, whole), "labelled pixels are neither lost nor doubled"


def test_large_polygons_are_clipped_without_a_difference():
    angles = np.linspace(0, 2 * np.pi, 3000, endpoint=False)
    radius = 15 + 3 * np.sin(40 * angles)
    star = shapely.Polygon(
        np.column_stack([25 + radius * np.cos(angles), 20 + radius * np.sin(angles)])
    )
    found = polygons([star], [1])
    whole, _ = found.cut(Window(0, 0, 40, 50), 0)
    part, _ = found.cut(Window(7, 20, 20, 11), 0)
    assert np.array_equal(part, whole[7:27, 20:31])
    assert found.area_in(Window(0, 0, 40, 50))[1] == pytest.approx(star.area)
