"""Runs of masks against plain boolean arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.geo.mask_runs import (
    MaskRuns,
    join_masks,
    masks_of_boxes,
    masks_of_crops,
    no_masks,
    paint,
    united,
)

SIDE = 40


def crops(seed: int, count: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return random crops, some of them empty, and their boxes inside a 40 x 40 raster."""
    random = np.random.default_rng(seed)
    sides = random.integers(1, 12, (count, 2))
    corners = random.integers(0, SIDE - 12, (count, 2))
    shares = random.choice([0.0, 0.1, 0.5, 1.0], count)
    pixels = [random.random(s) < share for s, share in zip(sides, shares, strict=True)]
    return pixels, np.column_stack([corners, corners + sides]).astype(np.int32)


def runs_of(pixels: list[np.ndarray], box: np.ndarray) -> tuple[MaskRuns, np.ndarray]:
    return masks_of_crops(np.concatenate([p.ravel() for p in pixels]).astype(np.uint8), box)


def drawn(masks: MaskRuns, number: int) -> np.ndarray:
    """Return one mask as a boolean 40 x 40 array."""
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    one = masks.take(np.array([number]))
    paint(one, one.box[:, :2].astype(np.int64), canvas)
    return canvas.astype(bool)


def full(pixels: np.ndarray, box: np.ndarray) -> np.ndarray:
    canvas = np.zeros((SIDE, SIDE), bool)
    canvas[box[0] : box[2], box[1] : box[3]] = pixels
    return canvas


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 12))
def test_masks_are_the_crops_and_their_boxes_are_tight(seed: int, count: int) -> None:
    pixels, box = crops(seed, count)
    masks, kept = runs_of(pixels, box)
    assert kept.tolist() == [k for k in range(count) if pixels[k].any()]
    for number, k in enumerate(kept):
        wanted = full(pixels[k], box[k])
        assert np.array_equal(drawn(masks, number), wanted)
        rows, columns = np.nonzero(wanted)
        tight = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
        assert masks.box[number].tolist() == tight
        assert masks.area_px[number] == wanted.sum()


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), groups=st.integers(1, 5))
def test_union_is_the_or_of_the_masks(seed: int, groups: int) -> None:
    pixels, box = crops(seed, 14)
    masks, _ = runs_of(pixels, box)
    group = np.arange(len(masks)) % groups if len(masks) >= groups else np.arange(len(masks))
    count = min(groups, len(masks))
    found = united(masks, group, count)
    assert len(found) == count
    for number in range(count):
        members = [drawn(masks, k) for k in np.flatnonzero(group == number)]
        wanted = np.logical_or.reduce(members)
        assert np.array_equal(drawn(found, number), wanted)
        assert found.area_px[number] == wanted.sum()


def test_runs_that_touch_become_one() -> None:
    two = masks_of_boxes(np.array([[3, 0, 5, 4], [3, 4, 6, 9]], np.int32))
    one = united(two, np.array([0, 0]), 1)
    assert one.box.tolist() == [[3, 0, 6, 9]]
    assert one.runs.tolist() == [[0, 9], [0, 9], [4, 9]]


def test_taking_joining_and_shifting() -> None:
    pixels, box = crops(3, 9)
    masks, _ = runs_of(pixels, box)
    order = np.arange(len(masks))[::-1]
    twice = join_masks([masks.take(order), no_masks(), masks.shifted(2, 5)])
    for number in range(len(masks)):
        assert np.array_equal(drawn(twice, number), drawn(masks, int(order[number])))
        moved = np.roll(drawn(masks, number), (2, 5), axis=(0, 1))
        assert np.array_equal(drawn(twice, len(masks) + number), moved)
    assert len(join_masks([])) == 0
    assert len(masks.take(np.zeros(0, np.int64))) == 0


@pytest.mark.parametrize("top", [0, 3, 11])
def test_rows_outside_a_part_of_the_canvas_are_left_out(top: int) -> None:
    pixels, box = crops(8, 5)
    masks, _ = runs_of(pixels, box)
    places = masks.box[:, :2].astype(np.int64)
    whole, part = np.zeros((SIDE, SIDE), np.uint8), np.zeros((7, SIDE), np.uint8)
    paint(masks, places, whole)
    paint(masks, places, part, top)
    assert np.array_equal(part, whole[top : top + 7])
