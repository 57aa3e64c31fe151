"""Statistics of bands over a stream of chips, in one pass and bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXACT_BYTES = 2
_KEY_BITS = 18
_LOW_PERCENT, _HIGH_PERCENT = 2.0, 98.0
_FLOAT_BITS = 32


@dataclass(frozen=True)
class BandStatistics:
    """Numbers of one band in raw units; all 0 if there was no pixel."""

    count: int
    mean: float
    std: float
    min: float
    max: float
    p2: float
    p98: float


class StatisticsStream:
    """Mean, deviation, range and percentiles of each band.

    Whole numbers of 8 and 16 bits are counted value by value: everything is exact. Other values
    are counted in bins of equal relative width (0.2 %), so percentiles are that exact, whatever
    outliers there are; mean and deviation come from sums in double precision, merged chip by chip.

    Args:
        bands: Number of bands.
        dtype: Data type of the pixels.
    """

    def __init__(self, bands: int, dtype: str) -> None:
        kind = np.dtype(dtype)
        self._exact = kind.kind in "iu" and kind.itemsize <= EXACT_BYTES
        self._lowest = int(np.iinfo(kind).min) if self._exact else 0
        size = 1 << (8 * kind.itemsize if self._exact else _KEY_BITS)
        self._histograms = np.zeros((bands, size), np.int64)
        self._moments = np.zeros((bands, 3))  # count, mean, sum of squared differences
        self._ranges = np.tile([np.inf, -np.inf], (bands, 1))

    def add(self, pixels: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Count the finite pixels ``[C, H, W]`` where ``valid[H, W]``."""
        whole = bool(valid.all())
        for index, band in enumerate(pixels):
            values = band.ravel() if whole else band[valid]
            if self._exact:
                places = values.astype(np.int64) - self._lowest
                size = self._histograms.shape[1]
                self._histograms[index] += np.bincount(places, minlength=size)
            else:
                self._add_values(index, values)

    def _add_values(self, index: int, values: NDArray[Any]) -> None:
        values = values[np.isfinite(values)].astype(np.float64)
        if not len(values):
            return
        count, mean, squares = self._moments[index]
        more, more_mean = len(values), float(values.mean())
        delta, total = more_mean - mean, count + more
        squares += float(((values - more_mean) ** 2).sum()) + delta**2 * count * more / total
        self._moments[index] = total, mean + delta * more / total, squares
        low, high = self._ranges[index]
        self._ranges[index] = min(low, values.min()), max(high, values.max())
        places = _keys(values)
        self._histograms[index] += np.bincount(places, minlength=self._histograms.shape[1])

    def result(self) -> list[BandStatistics]:
        """Return the statistics of all bands."""
        return [self._band(index) for index in range(len(self._histograms))]

    def _band(self, index: int) -> BandStatistics:
        histogram = self._histograms[index]
        used = np.flatnonzero(histogram)
        if not len(used):
            return BandStatistics(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        low, high = (_percentile(histogram, percent) for percent in (_LOW_PERCENT, _HIGH_PERCENT))
        if not self._exact:
            count, mean, squares = self._moments[index]
            least, most = (float(value) for value in self._ranges[index])
            p2, p98 = (float(np.clip(_value_of(key), least, most)) for key in (low, high))
            std = float(np.sqrt(squares / count))
            return BandStatistics(int(count), float(mean), std, least, most, p2, p98)
        values, counts = used + self._lowest, histogram[used]
        total = int(counts.sum())
        mean = float((values * counts).sum() / total)
        std = float(np.sqrt((((values - mean) ** 2) * counts).sum() / total))
        p2, p98 = float(low + self._lowest), float(high + self._lowest)
        return BandStatistics(total, mean, std, float(values[0]), float(values[-1]), p2, p98)


def _percentile(histogram: NDArray[np.int64], percent: float) -> int:
    """Return the first bin at which this share of all counts is reached."""
    sums = np.cumsum(histogram)
    return int(np.searchsorted(sums, max(1.0, sums[-1] * percent / 100)))


def _keys(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return bins in the order of the values: the leading bits of single precision numbers."""
    largest = np.finfo(np.float32).max
    bits = np.clip(values, -largest, largest).astype(np.float32).view(np.uint32).astype(np.int64)
    sign = np.int64(1) << (_FLOAT_BITS - 1)
    ordered = np.where(bits & sign, 2 * sign - 1 - bits, bits | sign)
    return ordered >> (_FLOAT_BITS - _KEY_BITS)


def _value_of(key: int) -> float:
    """Return a value in the middle of a bin."""
    sign = 1 << (_FLOAT_BITS - 1)
    ordered = (key << (_FLOAT_BITS - _KEY_BITS)) + (1 << (_FLOAT_BITS - _KEY_BITS - 1))
    bits = ordered - sign if ordered & sign else 2 * sign - 1 - ordered
    return float(np.uint32(bits).view(np.float32))
