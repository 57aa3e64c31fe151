"""Rows of tiles: each row of the raster is read once; errors and early ends are clean."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from engine.errors import RasterReadError
from engine.predict.bands import Prefetcher, iter_tile_rows, pad_tile
from engine.predict.plan import plan_tiles


class CountingSource:
    """A raster in memory that notes how often each row is read."""

    def __init__(self, height: int, width: int, broken_row: int = -1) -> None:
        self.data = np.arange(height * width, dtype=np.uint16).reshape(1, height, width)
        self.reads = np.zeros(height, int)
        self.broken_row = broken_row

    def read_rows(self, row0: int, row1: int) -> tuple[np.ndarray, np.ndarray]:
        if row0 <= self.broken_row < row1:
            raise RasterReadError(f"row {self.broken_row} is damaged", "copy the file again")
        self.reads[row0:row1] += 1
        part = self.data[:, row0:row1]
        return part, np.ones(part.shape[1:], bool)


@pytest.mark.parametrize(("tile", "overlap"), [(16, 0), (16, 5), (16, 15), (64, 8), (7, 3)])
def test_each_row_is_read_once_and_the_pixels_are_right(tile: int, overlap: int) -> None:
    source = CountingSource(37, 61)
    plan = plan_tiles((37, 61), tile_px=tile, overlap_px=overlap, stride=1, column_bytes=1)
    for row in iter_tile_rows(source, plan, 0):
        top = plan.row_starts[row.index]
        assert np.array_equal(row.pixels, source.data[:, top : top + plan.tile_px[0]])
    assert np.all(source.reads == 1)


def test_error_of_the_reader_reaches_the_consumer() -> None:
    source = CountingSource(40, 5, broken_row=30)
    plan = plan_tiles((40, 5), tile_px=8, overlap_px=2, stride=1, column_bytes=1)
    seen = []
    with (
        pytest.raises(RasterReadError, match="row 30"),
        Prefetcher(iter_tile_rows(source, plan, 0)) as rows,
    ):
        for row in rows:
            seen.append(row.index)
    assert seen == [0, 1, 2, 3]  # the fifth row of tiles starts at row 24 and holds row 30


def test_leaving_early_ends_the_thread() -> None:
    source = CountingSource(400, 5)
    plan = plan_tiles((400, 5), tile_px=8, overlap_px=2, stride=1, column_bytes=1)
    before = threading.active_count()
    with Prefetcher(iter_tile_rows(source, plan, 0)) as rows:
        assert next(rows).index == 0
    assert threading.active_count() == before
    assert source.reads[-1] == 0


def test_padding_repeats_the_edge() -> None:
    tile = np.array([[[1, 2], [3, 4]]], np.float32)
    assert pad_tile(tile, (3, 4)).tolist() == [[[1, 2, 2, 2], [3, 4, 4, 4], [3, 4, 4, 4]]]
    assert pad_tile(tile, (2, 2)) is tile
