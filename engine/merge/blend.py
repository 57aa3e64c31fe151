"""Kernels of merging: softmax, weighted sum and labels of tiles, a row of pixels at a time.

Scores arrive with the classes last, ``[h, w, K]``, which is how networks in channels-last layout
leave them. A run of pixels is rearranged into one line per class, small enough for the first
cache, and everything after that is done line by line in vector registers. Sums lie as
``[h, K, w]``, so that the lines of a row of pixels lie together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..geo.jit import as_index, inner, kernel

NODATA_LABEL = 255
SCORE_SCALE = 254
RUN_PX = 128
"""Pixels that are worked on together."""
LINE_GAP = 16
"""Numbers between lines: lines a power of two apart would push each other out of the cache."""
_CACHE_WAY = 1024
"""Numbers from one place of the first cache to the next that shares its set."""
DECIDED = np.float32(-1)
"""Mark in the sums of weights of a pixel whose label stands already."""

_LOG2_E = np.float32(np.log2(np.e))
_LOWEST = np.float32(-80.0)
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)
_SCALE = np.float32(SCORE_SCALE)
# Taylor coefficients of 2^x: within 1.3e-7 of it on [-0.5, 0.5].
_C1, _C2, _C3, _C4, _C5, _C6 = (
    np.float32(c) for c in np.cumprod(np.full(6, np.log(2.0))) / np.cumprod(np.arange(1.0, 7.0))
)

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


class Strip(NamedTuple):
    """Rows that are being merged.

    Attributes:
        sums: Weighted sums of scores ``[h, K, w]`` or wider, see :func:`line_length`; without
            meaning where ``total`` is not positive.
        total: Sums of weights ``[h, w]``: 0 where no tile lies, ``DECIDED`` where the label
            stands.
        labels: ``[h, w]``, of the decided pixels.
        scores: ``[h, w]``, likewise, in steps of 1/254.
    """

    sums: Floats
    total: Floats
    labels: Bytes
    scores: Bytes


class Scratch(NamedTuple):
    """Working memory for a run of pixels: one line per class, and single lines."""

    lines: Floats
    bits: NDArray[np.int32]
    powers: Floats
    highest: Floats
    norm: Floats
    best: Floats
    label: NDArray[np.int32]


class Rule(NamedTuple):
    """Ids that compete with a threshold, ids that take what is left, and the threshold."""

    front: NDArray[np.int64]
    back: NDArray[np.int64]
    threshold: np.float32


class Place(NamedTuple):
    """Where a tile lies in a strip, and its rows and columns that no other tile covers."""

    top: int
    left: int
    alone_top: int
    alone_bottom: int
    alone_left: int
    alone_right: int


def line_length(width_px: int) -> int:
    """Return the length of a line of sums for so many pixels, away from a power of two."""
    beyond = width_px % _CACHE_WAY
    near = min(beyond, _CACHE_WAY - beyond) < LINE_GAP
    return width_px + RUN_PX if near else width_px


def new_scratch(classes: int) -> Scratch:
    """Return working memory for scores of some classes."""
    lines = np.empty((classes, RUN_PX + LINE_GAP), np.float32)
    highest, norm, best = (np.empty(RUN_PX, np.float32) for _ in range(3))
    bits, label = np.empty(RUN_PX, np.int32), np.empty(RUN_PX, np.int32)
    return Scratch(lines, bits, bits.view(np.float32), highest, norm, best, label)


@inner
def _exponential(values: Floats, bits: NDArray[np.int32], powers: Floats, count: int) -> None:
    """Replace the first values, in [-80, 0], by their exponentials.

    The exponential is 2 to a whole number, made from its bits, times a polynomial: its relative
    error is below 4e-7.
    """
    for i in range(count):
        exponent = values[i] * _LOG2_E
        whole = np.floor(exponent + _HALF)
        x = exponent - whole
        values[i] = _ONE + x * (_C1 + x * (_C2 + x * (_C3 + x * (_C4 + x * (_C5 + x * _C6)))))
        bits[i] = (np.int32(whole) + np.int32(127)) << np.int32(23)
    for i in range(count):
        values[i] *= powers[i]


@inner
def _softmax_lines(scratch: Scratch, count: int) -> None:
    """Turn lines of logits into exponentials, and their sums into ``norm``."""
    lines, highest, norm = scratch.lines, scratch.highest, scratch.norm
    bits, powers = scratch.bits, scratch.powers
    for c in range(count):
        highest[c] = lines[0, c]
        norm[c] = 0
    for k in range(1, lines.shape[0]):
        line = lines[k]
        for c in range(count):
            value, most = line[c], highest[c]
            highest[c] = value if value > most else most
    for k in range(lines.shape[0]):
        line = lines[k]
        for c in range(count):
            value = line[c] - highest[c]
            line[c] = value if value > _LOWEST else _LOWEST
        _exponential(line, bits, powers, count)
        for c in range(count):
            norm[c] += line[c]


@inner
def _take_lines(values: Floats, logits: bool, scratch: Scratch) -> None:
    """Rearrange some pixels ``[w, K]`` into lines; ``norm`` becomes their sum."""
    lines, norm = scratch.lines, scratch.norm
    count = as_index(values.shape[0])
    for c in range(count):
        for k in range(lines.shape[0]):
            lines[k, c] = values[c, k]
    if logits:
        _softmax_lines(scratch, count)
    else:
        for c in range(count):
            norm[c] = _ONE


@inner
def _add_lines(
    sums: Floats, total: Floats, start: int, weight: tuple[np.float32, Floats], scratch: Scratch
) -> None:
    """Add lines, divided by their norm, times the weights to a row ``[K, w]`` of sums."""
    lines, norm = scratch.lines, scratch.norm
    row_weight, columns = weight
    count = as_index(len(columns))
    covered = total[start : start + count]
    for c in range(count):
        norm[c] = row_weight * columns[c] / norm[c]
    for k in range(lines.shape[0]):
        line, row = lines[k], sums[k, start : start + count]
        for c in range(count):
            before = row[c] if covered[c] > 0 else np.float32(0)
            row[c] = before + line[c] * norm[c]
    for c in range(count):
        covered[c] += row_weight * columns[c]


@inner
def _best_line(ids: NDArray[np.int64], scratch: Scratch, count: int) -> None:
    """Write the first id with the highest value of each pixel, and that value."""
    best, label = scratch.best, scratch.label
    for i in range(len(ids)):
        line, k = scratch.lines[ids[i]], np.int32(ids[i])
        if i == 0:
            for c in range(count):
                best[c], label[c] = line[c], k
        for c in range(count):
            higher = line[c] > best[c]
            best[c] = line[c] if higher else best[c]
            label[c] = k if higher else label[c]


@inner
def _write_best(labels: Bytes, scores: Bytes, scratch: Scratch) -> None:
    """Write the ids of :func:`_best_line` and the share of their values in the norm."""
    norm, best, label = scratch.norm, scratch.best, scratch.label
    for c in range(len(labels)):
        value = min(max(best[c] / norm[c], np.float32(0)), _ONE)
        scores[c] = np.uint8(np.rint(value * _SCALE))
        labels[c] = np.uint8(label[c])


@inner
def _decide(rule: Rule, labels: Bytes, scores: Bytes, scratch: Scratch) -> None:
    """Write label and score of some pixels from their lines and norms."""
    norm, highest, count = scratch.norm, scratch.highest, as_index(len(labels))
    _best_line(rule.front, scratch, count)
    if rule.threshold <= 0:
        _write_best(labels, scores, scratch)
        return
    front, found = scratch.bits, scratch.label
    for c in range(count):
        highest[c] = scratch.best[c]
        front[c] = found[c]
    if len(rule.back) > 0:
        _best_line(rule.back, scratch, count)
    for c in range(count):
        if highest[c] / norm[c] >= rule.threshold:
            scratch.best[c] = highest[c]
            found[c] = front[c]
        elif len(rule.back) == 0:
            found[c] = NODATA_LABEL
    _write_best(labels, scores, scratch)
    if len(rule.back) == 0:
        for c in range(count):
            scores[c] = NODATA_LABEL if labels[c] == NODATA_LABEL else scores[c]


@kernel
def add_tile(
    strip: Strip,
    values: Floats,
    logits: bool,
    weights: tuple[Floats, Floats],
    place: Place,
    rule: Rule,
    scratch: Scratch,
) -> None:
    """Merge one tile into a strip.

    Args:
        strip: Changed in place.
        values: Logits or scores ``[h, w, K]``, at least as large as the tile.
        logits: Whether their softmax is merged.
        weights: Weights of the tile's rows and columns.
        place: Where it lies; what no other tile covers is decided at once.
        rule: How scores become labels.
        scratch: Of :func:`new_scratch`.
    """
    rows, columns = weights
    left, width = as_index(place.left), as_index(len(columns))
    for r in range(len(rows)):
        row = as_index(place.top + r)
        inside = place.alone_top <= r < place.alone_bottom
        alone_left = as_index(place.alone_left) if inside else width
        alone_right = as_index(place.alone_right) if inside else width
        start = as_index(0)
        while start < width:
            alone = alone_left <= start < alone_right
            end = alone_right if alone else (alone_left if start < alone_left else width)
            count = min(end - start, as_index(RUN_PX))
            at = left + start
            _take_lines(values[r, start : start + count], logits, scratch)
            if alone:
                strip.total[row, at : at + count] = DECIDED
                labels, scores = strip.labels[row], strip.scores[row]
                _decide(rule, labels[at : at + count], scores[at : at + count], scratch)
            else:
                weight = (rows[r], columns[start : start + count])
                _add_lines(strip.sums[row], strip.total[row], at, weight, scratch)
            start += count


@kernel
def choose_labels(strip: Strip, rule: Rule, labels: Bytes, scores: Bytes, scratch: Scratch) -> None:
    """Write label and quantised score of the first rows of a strip.

    Args:
        strip: Not changed.
        rule: How scores become labels.
        labels: uint8 ``[h, w]``, written; 255 where there is no label.
        scores: uint8 ``[h, w]``, written; 255 where there is no label.
        scratch: Of :func:`new_scratch`.
    """
    height, width = labels.shape
    for r in range(height):
        for start in range(0, width, RUN_PX):
            stop = min(start + RUN_PX, width)
            total = strip.total[r, start:stop]
            summed = decided = as_index(0)
            for c in range(len(total)):
                summed += total[c] > 0
                decided += total[c] == DECIDED
            chosen, quality = labels[r, start:stop], scores[r, start:stop]
            if decided == len(total):
                chosen[:] = strip.labels[r, start:stop]
                quality[:] = strip.scores[r, start:stop]
                continue
            if summed > 0:
                _take_sums(strip.sums[r, :, start:stop], total, scratch)
                _decide(rule, chosen, quality, scratch)
            if summed == len(total):
                continue
            for c in range(len(total)):
                if total[c] == DECIDED:
                    chosen[c] = strip.labels[r, start + c]
                    quality[c] = strip.scores[r, start + c]
                elif total[c] <= 0:
                    chosen[c] = quality[c] = NODATA_LABEL


@inner
def _take_sums(sums: Floats, total: Floats, scratch: Scratch) -> None:
    """Copy sums ``[K, w]`` into lines and the sums of weights into ``norm``."""
    norm = scratch.norm
    for c in range(len(total)):
        norm[c] = total[c] if total[c] > 0 else _ONE
    for k in range(sums.shape[0]):
        line, row = scratch.lines[k], sums[k]
        for c in range(len(total)):
            line[c] = row[c]
