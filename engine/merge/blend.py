"""Kernels of merging: softmax and weighted sum of a tile in one pass, labels in another.

The arrays have the classes last, ``[h, w, K]``, which is how networks in channels-last layout
leave them: each pixel's scores lie together and nothing is rearranged in between.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..geo.jit import as_index, hot, inner, kernel

NODATA_LABEL = 255
SCORE_SCALE = 254

_LOG2_E = np.float32(np.log2(np.e))
_LOWEST = np.float32(-80.0)
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)
# Taylor coefficients of 2^x: within 1.3e-7 of it on [-0.5, 0.5].
_C1, _C2, _C3, _C4, _C5, _C6 = (
    np.float32(c) for c in np.cumprod(np.full(6, np.log(2.0))) / np.cumprod(np.arange(1.0, 7.0))
)


class Scratch:
    """Working memory of :func:`add_softmax` for rows of up to ``length`` numbers."""

    def __init__(self, length: int) -> None:
        bits = np.empty(length, np.int32)
        self.arrays = (np.empty(length, np.float32), bits, bits.view(np.float32))


@kernel
def add_scores(
    sums: NDArray[np.float32],
    total: NDArray[np.float32],
    scores: NDArray[np.float32],
    weights: tuple[NDArray[np.float32], NDArray[np.float32]],
    place: tuple[int, int],
) -> None:
    """Add ``scores [h, w, K]`` times the outer product of the weights at ``place``."""
    rows, columns = weights
    top, left = place
    for r in range(len(rows)):
        for c in range(len(columns)):
            weight = rows[r] * columns[c]
            total[top + r, left + c] += weight
            for k in range(sums.shape[2]):
                sums[top + r, left + c, k] += scores[r, c, k] * weight


@inner
def _exponential(
    values: NDArray[np.float32],
    bits: NDArray[np.int32],
    powers: NDArray[np.float32],
    length: int,
) -> None:
    """Replace the first values, in [-80, 80], by their exponentials."""
    for i in range(length):
        exponent = values[i] * _LOG2_E
        whole = np.floor(exponent + _HALF)
        x = exponent - whole
        values[i] = _ONE + x * (_C1 + x * (_C2 + x * (_C3 + x * (_C4 + x * (_C5 + x * _C6)))))
        bits[i] = (np.int32(whole) + np.int32(127)) << np.int32(23)
    for i in range(length):
        values[i] *= powers[i]


@inner
def _add_two_classes(
    sums: NDArray[np.float32],
    total: NDArray[np.float32],
    logits: NDArray[np.float32],
    weights: tuple[NDArray[np.float32], NDArray[np.float32]],
    place: tuple[int, int],
    scratch: tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]],
) -> None:
    """Add the softmax of two classes: one exponential a pixel, of the difference."""
    rows, columns = weights
    top, left = place
    values, bits, powers = scratch
    width = as_index(len(columns))
    for r in range(len(rows)):
        for c in range(width):
            difference = logits[r, c, 1] - logits[r, c, 0]
            values[c] = min(max(difference, _LOWEST), -_LOWEST)
        _exponential(values, bits, powers, width)
        for c in range(width):
            weight = rows[r] * columns[c]
            share = weight / (_ONE + values[c])
            total[top + r, left + c] += weight
            sums[top + r, left + c, 0] += share
            sums[top + r, left + c, 1] += weight - share


@kernel
def add_softmax(
    sums: NDArray[np.float32],
    total: NDArray[np.float32],
    logits: NDArray[np.float32],
    weights: tuple[NDArray[np.float32], NDArray[np.float32]],
    place: tuple[int, int],
    scratch: tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]],
) -> None:
    """Add the softmax of ``logits [h, w, K]`` times the weights at ``place`` (row, column).

    The exponential is 2 to a whole number, made from its bits, times a polynomial: its relative
    error is below 4e-7, and a row of it runs in vector registers.
    """
    rows, columns = weights
    top, left = place
    values, bits, powers = scratch
    classes = sums.shape[2]
    if classes == 2:
        _add_two_classes(sums, total, logits, weights, place, scratch)
        return
    length = as_index(len(columns) * classes)
    for r in range(len(rows)):
        for c in range(len(columns)):
            highest = logits[r, c, 0]
            for k in range(1, classes):
                if logits[r, c, k] > highest:
                    highest = logits[r, c, k]
            for k in range(classes):
                value = logits[r, c, k] - highest
                values[c * classes + k] = value if value > _LOWEST else _LOWEST
        _exponential(values, bits, powers, length)
        for c in range(len(columns)):
            norm = values[c * classes]
            for k in range(1, classes):
                norm += values[c * classes + k]
            weight = rows[r] * columns[c]
            total[top + r, left + c] += weight
            share = weight / norm
            for k in range(classes):
                sums[top + r, left + c, k] += values[c * classes + k] * share


@hot
def _best_of(
    sums: NDArray[np.float32], ids: NDArray[np.int64], r: int, c: int
) -> tuple[int, np.float32]:
    """Return the id with the highest sum at a pixel, the first of equal ones, and the sum."""
    label, best = ids[0], sums[r, c, ids[0]]
    for i in range(1, len(ids)):
        value = sums[r, c, ids[i]]
        if value > best:
            label, best = ids[i], value
    return label, best


@kernel
def choose_labels(
    sums: NDArray[np.float32],
    total: NDArray[np.float32],
    classes: tuple[NDArray[np.int64], NDArray[np.int64]],
    threshold: np.float32,
    labels: NDArray[np.uint8],
    scores: NDArray[np.uint8],
) -> None:
    """Write label and quantised score of the first rows.

    Args:
        sums: Weighted sums of scores ``[H, W, K]``.
        total: Sums of weights ``[H, W]``; 0 where no tile lies.
        classes: Ids that compete with a threshold, and those that take what is left.
        threshold: The best of the first ids wins where its score reaches this.
        labels: uint8 ``[h, W]``, written.
        scores: uint8 ``[h, W]``, written.
    """
    front_ids, back_ids = classes
    height, width = labels.shape
    for r in range(height):
        for c in range(width):
            weight = total[r, c]
            labels[r, c] = NODATA_LABEL
            scores[r, c] = NODATA_LABEL
            if weight <= 0:
                continue
            label, best = _best_of(sums, front_ids, r, c)
            value = best / weight
            if value < threshold:
                if len(back_ids) == 0:
                    continue
                label, best = _best_of(sums, back_ids, r, c)
                value = best / weight
            labels[r, c] = label
            value = min(max(value, np.float32(0)), _ONE)
            scores[r, c] = np.uint8(np.rint(value * np.float32(SCORE_SCALE)))
