"""Kernels: which detections meet, and what two tiles say about the pixels that both have seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..geo.jit import as_index, inner, kernel

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


@kernel
def meeting_boxes(box: Int32, kind: Int32, order: Int64, first_new: int, pairs: Int64) -> int:
    """Find pairs of boxes of one kind that share a pixel, at least one of them new.

    The boxes are swept from left to right; each is compared with those that begin inside its
    columns.

    Args:
        box: ``int32[n, 4]`` as (row, column, end row, end column).
        kind: Only boxes of an equal kind meet, ``int32[n]``.
        order: Numbers of the boxes sorted by their first column.
        first_new: Boxes from this number on are new.
        pairs: Takes the pairs, smaller number first, ``int64[room, 2]``.

    Returns:
        The number of pairs; those beyond the room are counted, but not written.
    """
    count = 0
    for i in range(len(order)):
        a = order[i]
        for j in range(i + 1, len(order)):
            b = order[j]
            if box[b, 1] >= box[a, 3]:
                break
            if kind[a] != kind[b] or (a < first_new and b < first_new):
                continue
            if box[a, 0] >= box[b, 2] or box[b, 0] >= box[a, 2]:
                continue
            if count < len(pairs):
                pairs[count, 0], pairs[count, 1] = min(a, b), max(a, b)
            count += 1
    return count


@kernel
def shared_pixels(
    pairs: Int64,
    box: Int32,
    first_line: Int64,
    first_run: Int64,
    runs: Int32,
    window: Int32,
    found: Int64,
) -> None:
    """Count the pixels of each pair that both masks have, and those in the other's window.

    Args:
        pairs: ``int64[p, 2]``.
        box: Boxes of the masks, see :class:`engine.geo.mask_runs.MaskRuns`.
        first_line: Their lines.
        first_run: Their runs.
        runs: Their runs.
        window: The tile of each mask, ``int32[n, 4]`` as a box.
        found: Takes per pair the common pixels, those of the first mask in the tile of the
            second, and those of the second in the tile of the first, ``int64[p, 3]``.
    """
    for i in range(len(pairs)):
        a, b = pairs[i, 0], pairs[i, 1]
        found[i, 0] = common_pixels(a, b, box, first_line, first_run, runs)
        found[i, 1] = pixels_inside(a, box[a], window[b], first_line, first_run, runs)
        found[i, 2] = pixels_inside(b, box[b], window[a], first_line, first_run, runs)


@inner
def common_pixels(
    a: int, b: int, box: Int32, first_line: Int64, first_run: Int64, runs: Int32
) -> int:
    """Return how many pixels two masks have in common."""
    total = as_index(0)
    top, bottom = max(box[a, 0], box[b, 0]), min(box[a, 2], box[b, 2])
    for row in range(top, bottom):
        line_a, line_b = first_line[a] + row - box[a, 0], first_line[b] + row - box[b, 0]
        i, j = first_run[line_a], first_run[line_b]
        while i < first_run[line_a + 1] and j < first_run[line_b + 1]:
            start, stop = max(runs[i, 0], runs[j, 0]), min(runs[i, 1], runs[j, 1])
            if stop > start:
                total += stop - start
            if runs[i, 1] < runs[j, 1]:
                i += 1
            else:
                j += 1
    return int(total)


@inner
def pixels_inside(
    k: int, box: Int32, window: Int32, first_line: Int64, first_run: Int64, runs: Int32
) -> int:
    """Return how many pixels of a mask lie in a window."""
    total = as_index(0)
    top, bottom = max(box[0], window[0]), min(box[2], window[2])
    if bottom <= top:
        return int(total)
    first, last = first_line[k] + top - box[0], first_line[k] + bottom - box[0]
    if box[1] >= window[1] and box[3] <= window[3]:
        for i in range(first_run[first], first_run[last]):
            total += runs[i, 1] - runs[i, 0]
        return int(total)
    for i in range(first_run[first], first_run[last]):
        start, stop = max(runs[i, 0], window[1]), min(runs[i, 1], window[3])
        if stop > start:
            total += stop - start
    return int(total)


@kernel
def pixels_in_windows(
    box: Int32, first_line: Int64, first_run: Int64, runs: Int32, window: Int32, found: Int64
) -> None:
    """Count the pixels of each mask in a window of its own, ``int32[n, 4]``."""
    for k in range(len(box)):
        found[k] = pixels_inside(k, box[k], window[k], first_line, first_run, runs)


@kernel
def suppress(order: Int64, first_edge: Int64, other: Int64) -> NDArray[np.bool_]:
    """Keep items in order unless one that is kept removes them.

    Args:
        order: Numbers of the items, the best first.
        first_edge: Where the edges of each item begin, ``int64[n + 1]``.
        other: The item that each edge removes if its own item is kept.

    Returns:
        Which items are kept, ``bool[n]``; False for those that are not in ``order``.
    """
    count = len(first_edge) - 1
    gone, kept = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    for item in order:
        if gone[item]:
            continue
        kept[item] = True
        for i in range(first_edge[item], first_edge[item + 1]):
            gone[other[i]] = True
    return kept
