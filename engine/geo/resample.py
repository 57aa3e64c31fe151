"""Resampling of rows while they are read: area average downwards, bilinear upwards.

Source and target cover the same ground with parallel axes, so both kernels are separable
and no CRS is involved: rows are weighted first, then columns. A target row depends on its
source rows alone; reading in chunks of any height gives the same numbers as reading at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

Pixels = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]

MIN_VALID_RATIO = 0.5
FULL_RATIO = 1.0 - 1e-5
SOURCE_ROWS_AT_ONCE = 256


class MissingRule(Protocol):
    """Tells where a single band has no value (``validity.Validity``)."""

    def band_missing(self, index: int, band: Pixels) -> BoolArray | None:
        """Return where the band has no value, or None if it always has one."""


class RowSource(Protocol):
    """Whole rows at the source's resolution (``blocks.BlockRows``)."""

    @property
    def validity(self) -> MissingRule:
        """Tells where a single band has no value."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the pixels."""

    def rows(self, row0: int, row1: int) -> tuple[Pixels, BoolArray]:
        """Return pixels ``[C, h, W]`` and validity ``[h, W]``."""


def axis_weights(source_px: int, target_px: int, dtype: npt.DTypeLike) -> sparse.csr_matrix:
    """Return the weights of source pixels in target pixels, ``[target_px, source_px]``.

    Rows sum to 1. A target pixel is the mean of the source length that it covers if there
    are fewer target pixels, and lies between the two nearest source centres if there are
    more; outside the outermost centres it equals the outermost pixel.
    """
    step = source_px / target_px
    if target_px <= source_px:
        edges = np.arange(target_px + 1) * step
        first = np.floor(edges[:-1] + 1e-9).astype(np.int64)
        end = np.minimum(np.ceil(edges[1:] - 1e-9).astype(np.int64), source_px)
        counts = end - first
        target = np.repeat(np.arange(target_px), counts)
        source = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        source += np.repeat(first, counts)
        overlap = np.minimum(source + 1, edges[1:][target]) - np.maximum(source, edges[target])
        weights = np.clip(overlap, 0.0, None) / step
    else:
        place = np.clip((np.arange(target_px) + 0.5) * step - 0.5, 0, source_px - 1)
        low = np.minimum(place.astype(np.int64), max(source_px - 2, 0))
        high = np.minimum(low + 1, source_px - 1)
        target = np.repeat(np.arange(target_px), 2)
        source = np.column_stack([low, high]).ravel()
        weights = np.column_stack([1 - (place - low), place - low]).ravel()
    matrix = sparse.coo_matrix((weights, (target, source)), shape=(target_px, source_px))
    return matrix.tocsr().astype(dtype)


class ResampledRows:
    """Rows of a source at another resolution.

    A target pixel is valid if at least half of its weight is; missing pixels, and missing
    values of single bands, do not enter the mean.

    Args:
        open_source: Returns rows at the source's resolution for a range of its columns.
        source_px: The source's height and width.
        target_px: Wanted height and width.
        columns: The range of target columns that is wanted.
    """

    def __init__(
        self,
        open_source: Callable[[int, int], RowSource],
        source_px: tuple[int, int],
        target_px: tuple[int, int],
        columns: tuple[int, int],
    ) -> None:
        weights = axis_weights(source_px[1], target_px[1], np.float64)[slice(*columns)]
        first, end = int(weights.indices.min()), int(weights.indices.max()) + 1
        source = self._source = open_source(first, end)
        self.dtype = source.dtype
        keep32 = self.dtype.itemsize <= 2 or self.dtype == np.float32
        self._work = np.dtype(np.float32 if keep32 else np.float64)
        self._row_weights = axis_weights(source_px[0], target_px[0], self._work)
        self._col_weights = weights[:, first:end].astype(self._work)
        self._step = max(1, SOURCE_ROWS_AT_ONCE * target_px[0] // source_px[0])
        self._tail: tuple[int, Pixels, BoolArray] | None = None

    def rows(self, row0: int, row1: int) -> tuple[Pixels, BoolArray]:
        """Return pixels ``[C, h, W]`` and validity ``[h, W]`` of target rows."""
        parts = [
            self._part(row, min(row + self._step, row1)) for row in range(row0, row1, self._step)
        ]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([p for p, _ in parts], axis=1), np.concatenate([v for _, v in parts])

    def _part(self, row0: int, row1: int) -> tuple[Pixels, BoolArray]:
        weights = self._row_weights[row0:row1]
        first, end = int(weights.indices.min()), int(weights.indices.max()) + 1
        weights = weights[:, first:end]
        pixels, valid = self._fetch(first, end)
        all_valid = bool(valid.all())
        shape = (row1 - row0, self._col_weights.shape[0])
        share = None if all_valid else self._weigh(weights, valid)
        out = np.empty((len(pixels), *shape), self.dtype)
        for index, band in enumerate(pixels):
            missing = self._source.validity.band_missing(index, band)
            if missing is not None and not missing.any():
                missing = None
            out[index] = self._band(weights, band, valid, missing, share)
        if share is None:
            return out, np.ones(shape, dtype=bool)
        return out, share >= MIN_VALID_RATIO

    def _fetch(self, first: int, end: int) -> tuple[Pixels, BoolArray]:
        """Return source rows; rows that the last call had are not read a second time."""
        start, parts = first, []
        if self._tail is not None and self._tail[0] <= first < self._tail[0] + len(self._tail[2]):
            row, pixels, valid = self._tail
            start = min(row + len(valid), end)
            parts.append((pixels[:, first - row : start - row], valid[first - row : start - row]))
        if start < end:
            parts.append(self._source.rows(start, end))
        pixels = np.concatenate([p for p, _ in parts], axis=1)
        valid = np.concatenate([v for _, v in parts])
        keep = min(2, end - first)
        self._tail = (end - keep, pixels[:, -keep:].copy(), valid[-keep:].copy())
        return pixels, valid

    def _weigh(self, weights: sparse.csr_matrix, values: Pixels) -> Pixels:
        """Return the weighted sums over rows and columns, ``[h, W]``."""
        tall = weights @ values.astype(self._work)
        result: Pixels = (self._col_weights @ np.ascontiguousarray(tall.T)).T
        return result

    def _band(
        self,
        weights: sparse.csr_matrix,
        band: Pixels,
        valid: BoolArray,
        missing: BoolArray | None,
        share: Pixels | None,
    ) -> Pixels:
        """Return the weighted mean of the present pixels of one band, in its data type."""
        if share is not None or missing is not None:
            present = valid if missing is None else valid & ~missing
            band = np.where(present, band, np.zeros(1, band.dtype))
            if missing is not None:
                share = self._weigh(weights, present)
        total = self._weigh(weights, band)
        if share is not None:
            partial = share < FULL_RATIO
            empty = np.nan if self.dtype.kind == "f" else 0
            mean = total[partial] / np.where(share[partial] > 0, share[partial], 1)
            total[partial] = np.where(share[partial] > 0, mean, empty)
        if self.dtype.kind == "f":
            return total
        info = np.iinfo(self.dtype)
        return np.clip(np.rint(total), info.min, info.max).astype(self.dtype)
