"""Halving of one-byte rasters, row by row, for overviews.

A pixel of the smaller raster covers the same ground in the larger one: two pixels where the size
is even, else the ``n / ceil(n / 2)`` pixels of an even division, which touch up to three. So the
overviews of a raster reach exactly as far as the raster itself, as GDAL's do.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from .jit import as_index, inner, kernel

Bytes = npt.NDArray[np.uint8]
Rule = Literal["mode", "average"]
EDGE = 1e-8
"""Parts of a pixel below this are rounding errors."""
CHUNK_ROWS = 64
RULES: tuple[Rule, ...] = ("mode", "average")


def half_size(size_px: int) -> int:
    """Return the size of the next smaller overview."""
    return -(-size_px // 2)


class Halving:
    """Makes the rows of a raster of half the size as those of the larger one come.

    ``mode`` takes the value that most of the pixels have; of several, the one that reaches that
    number first, read row by row. ``average`` is the mean weighted by the share of each pixel,
    rounded, halves up. Pixels without data do not count; where there are no others, the result
    has none.

    Args:
        height: Rows of the larger raster.
        width: Its columns.
        rule: ``mode`` or ``average``.
        nodata: Value without meaning, None if there is none.
    """

    def __init__(self, height: int, width: int, rule: Rule, nodata: int | None) -> None:
        self.height, self.width = half_size(height), half_size(width)
        self._rows, self._cols = _spans(height), _spans(width)
        self._ratios = height / self.height, width / self.width
        self._rule = rule
        self._nodata = -1 if nodata is None else nodata
        self._kept = np.empty((0, width), np.uint8)
        self._first = self._done = 0

    def push(self, rows: Bytes) -> Bytes:
        """Take further rows ``uint8[h, W]``; returns the rows that are complete ``[h', W']``."""
        parts = [self._push(rows[at : at + CHUNK_ROWS]) for at in range(0, len(rows), CHUNK_ROWS)]
        return np.concatenate(parts) if parts else np.empty((0, self.width), np.uint8)

    def _push(self, rows: Bytes) -> Bytes:
        source = np.concatenate([self._kept, rows])
        stop = int(np.searchsorted(self._rows[1], self._first + len(source), side="right"))
        made = np.empty((stop - self._done, self.width), np.uint8)
        spans = self._rows[:, self._done : stop] - self._first
        if self._rule == "mode":
            _mode(source, spans, self._cols, self._nodata, made)
        else:
            places = (self._done, self._first)
            _average(source, spans, self._cols, self._ratios, places, self._nodata, made)
        needed = int(self._rows[0, stop]) if stop < self.height else self._first + len(source)
        self._kept = source[needed - self._first :].copy()
        self._first, self._done = needed, stop
        return made


def warm_up_halving() -> None:
    """Run every kernel once, so that its machine code lies in the cache folder."""
    for rule in RULES:
        Halving(3, 4, rule, 255).push(np.arange(12, dtype=np.uint8).reshape(3, 4))


def _spans(size_px: int) -> npt.NDArray[np.int64]:
    """Return the first pixel and that after the last for each pixel of half the size, [2, n]."""
    half = half_size(size_px)
    edges = np.arange(half + 1) * (size_px / half)
    first = np.floor(edges[:-1] + EDGE)
    return np.stack([first, np.ceil(edges[1:] - EDGE)]).astype(np.int64)


@kernel
def _mode(
    source: Bytes,
    rows: npt.NDArray[np.int64],
    cols: npt.NDArray[np.int64],
    nodata: int,
    made: Bytes,
) -> None:
    """Fill ``made`` with the most frequent values of the spans of rows and columns."""
    width = source.shape[1]
    flat, pair = np.empty(width, np.bool_), np.empty(width, np.bool_)
    counts = np.zeros(256, np.int64)
    for i in range(made.shape[0]):
        top, last = rows[0, i], rows[1, i] - 1
        mid = min(top + 1, last)
        for col in range(width):
            value = source[top, col]
            flat[col] = (value == source[mid, col]) & (value == source[last, col])
        for col in range(width - 1):
            equal = source[top, col] == source[top, col + 1]
            pair[col] = flat[col] & flat[col + 1] & equal
        pair[width - 1] = flat[width - 1]
        for j in range(made.shape[1]):
            left, right = cols[0, j], cols[1, j]
            if pair[left] & pair[max(left, right - 2)]:
                made[i, j] = source[top, left]
            else:
                area = (top, last + 1, left, right)
                made[i, j] = _most_frequent(source, area, nodata, counts)


@inner
def _most_frequent(
    source: Bytes, area: tuple[int, int, int, int], nodata: int, counts: npt.NDArray[np.int64]
) -> int:
    """Return the value that first reaches the largest count; nodata if there is no other.

    ``counts`` holds 256 zeros, before and afterwards.
    """
    top, bottom, left, right = area
    best, most = nodata, 0
    for row in range(top, bottom):
        for col in range(left, right):
            value = as_index(source[row, col])
            if value != nodata:
                counts[value] += 1
                if counts[value] > most:
                    best, most = value, counts[value]
    for row in range(top, bottom):
        for col in range(left, right):
            counts[source[row, col]] = 0
    return best


@kernel
def _average(
    source: Bytes,
    rows: npt.NDArray[np.int64],
    cols: npt.NDArray[np.int64],
    ratios: tuple[float, float],
    places: tuple[int, int],
    nodata: int,
    made: Bytes,
) -> None:
    """Fill ``made``; ``places`` are the first row of it and of ``source`` in their rasters."""
    for i in range(made.shape[0]):
        low_row = (places[0] + i) * ratios[0] - places[1]
        high_row = low_row + ratios[0]
        for j in range(made.shape[1]):
            low_col = j * ratios[1]
            high_col = low_col + ratios[1]
            total = weights = 0.0
            for row in range(rows[0, i], rows[1, i]):
                share = min(row + 1.0, high_row) - max(float(row), low_row)
                for col in range(cols[0, j], cols[1, j]):
                    value = source[row, col]
                    if value != nodata:
                        weight = share * (min(col + 1.0, high_col) - max(float(col), low_col))
                        total += weight * value
                        weights += weight
            made[i, j] = nodata if weights == 0.0 else math.floor(total / weights + 0.5)
