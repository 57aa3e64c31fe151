"""Blocks and chips: every pixel once, parts a buffer apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.ground_blocks import (
    automatic_block_px,
    block_grid,
    chip_windows,
    keep_distance,
    whole_tiles,
)
from engine.geo.windows import Window

SIDES = st.integers(1, 300)


def painted(shape: tuple[int, int], windows: list[Window]) -> np.ndarray:
    hits = np.zeros(shape, np.int32)
    for w in windows:
        assert w.row_off >= 0 and w.col_off >= 0 and w.height > 0 and w.width > 0
        assert w.row_end <= shape[0] and w.col_end <= shape[1]
        hits[w.row_off : w.row_end, w.col_off : w.col_end] += 1
    return hits


@given(SIDES, SIDES, st.integers(1, 90), st.integers(1, 90))
@settings(deadline=None)
def test_blocks_cover_each_pixel_once(height, width, rows, cols):
    blocks = block_grid(Window(0, 0, height, width), rows, cols)
    assert (painted((height, width), blocks) == 1).all()
    assert all(b.height < 1.5 * rows + 1 and b.width < 1.5 * cols + 1 for b in blocks)


@given(SIDES, SIDES, st.integers(4, 90), st.data())
@settings(deadline=None)
def test_chips_cover_a_region(height, width, tile, data):
    overlap = data.draw(st.integers(0, tile - 1))
    chips = chip_windows(Window(0, 0, height, width), tile, overlap)
    hits = painted((height, width), chips)
    assert hits.min() == 1
    assert all(max(c.height, c.width) <= tile for c in chips)
    if not overlap:
        assert hits.max() == 1
        assert all(2 * c.height >= min(tile, height) for c in chips)
        assert all(2 * c.width >= min(tile, width) for c in chips)


def test_hand_worked_chips():
    widths = [w.width for w in chip_windows(Window(5, 7, 10, 1100), 512)]
    assert widths == [512, 294, 294], "a rest of 76 is shared with the chip before it"
    assert [w.col_off for w in chip_windows(Window(5, 7, 10, 1100), 512)] == [7, 519, 813]
    assert [w.width for w in chip_windows(Window(0, 0, 10, 900), 512)] == [512, 388]
    assert [w.col_off for w in chip_windows(Window(0, 0, 9, 25), 10, 5)] == [0, 5, 10, 15]


@given(
    st.tuples(st.integers(20, 120), st.integers(20, 120)),
    st.integers(7, 40),
    st.tuples(st.integers(0, 30), st.integers(0, 30)),
    st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_parts_keep_their_distance(shape, block, buffer, seed):
    blocks = block_grid(Window(0, 0, *shape), block, block)
    parts = np.random.default_rng(seed).integers(0, 3, len(blocks))
    left = keep_distance(blocks, parts, *buffer)
    owner = np.full(shape, -1)
    for whole, kept, part in zip(blocks, left, parts, strict=True):
        if part == 2 or buffer == (0, 0):
            assert kept == whole, "test never gives way"
        if kept is not None:
            assert whole.intersection(kept) == kept
            owner[kept.row_off : kept.row_end, kept.col_off : kept.col_end] = part
    rows, cols = buffer
    places = np.argwhere(owner >= 0)
    for row, col in places[:: max(1, len(places) // 60)]:
        near = owner[max(0, row - rows) : row + rows + 1, max(0, col - cols) : col + cols + 1]
        assert set(np.unique(near)) <= {-1, owner[row, col]}


@pytest.mark.parametrize(
    ("shape", "tile", "side"),
    [
        ((3072, 4096), 512, 512),
        ((250, 250), 512, 62),
        ((20_000, 20_000), 512, 3072),
        ((20, 9), 64, 8),
    ],
)
def test_automatic_blocks(shape, tile, side):
    assert automatic_block_px(*shape, tile) == side
    blocks = block_grid(Window(0, 0, *shape), side, side)
    assert len(blocks) >= 2 if shape == (20, 9) else 12 <= len(blocks) <= 60


def test_blocks_are_whole_tiles():
    assert [whole_tiles(x, 512) for x in (100.4, 511, 700, 800, 5000)] == [
        100,
        511,
        512,
        1024,
        5120,
    ]
