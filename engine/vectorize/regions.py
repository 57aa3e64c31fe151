"""Kernels: rows of pixels become runs, and runs become 4-connected regions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geo.jit import hot
from .state import NONE, OUTSIDE, UNSCORED, State


@hot
def encode_row(labels: NDArray[np.uint8], class_of: NDArray[np.int32], runs: NDArray[Any]) -> int:
    """Write the runs of one row, with a run of ``OUTSIDE`` at both ends.

    Args:
        labels: ``[W]``.
        class_of: ``[256]``: class of each label, negative for pixels that are not traced.
        runs: ``RUN [W + 3]`` to fill; the run after the last one has the start ``W + 1``.

    Returns:
        The number of runs.
    """
    width = len(labels)
    runs[0].start, runs[0].label, runs[0].region = -1, OUTSIDE, NONE
    count, start = 1, 0
    while start < width:
        value = labels[start]
        stop = start + 1
        while stop < width and labels[stop] == value:
            stop += 1
        if runs[count - 1].label != class_of[value]:
            runs[count].start, runs[count].label = start, class_of[value]
            runs[count].region = NONE
            count += 1
        start = stop
    runs[count].start, runs[count].label, runs[count].region = width, OUTSIDE, NONE
    runs[count + 1].start = width + 1
    return count + 1


@hot
def find(regions: NDArray[Any], region: int) -> int:
    """Return the root of a region and halve the way to it."""
    while regions[region].parent != region:
        regions[region].parent = regions[regions[region].parent].parent
        region = regions[region].parent
    return region


@hot
def unite(regions: NDArray[Any], vertices: NDArray[Any], left: int, right: int) -> int:
    """Join two roots; the left one stays the root and its rings stay in front."""
    a, b = regions[left], regions[right]
    b.parent = left
    a.pixels += b.pixels
    a.scored += b.scored
    a.score_sum += b.score_sum
    a.vertices += b.vertices
    a.rings += b.rings
    a.shared = a.shared or b.shared
    if b.first_ring != NONE:
        if a.first_ring == NONE:
            a.first_ring = b.first_ring
        else:
            vertices[a.last_ring].twin = b.first_ring
        a.last_ring = b.last_ring
    return left


@hot
def new_region(regions: NDArray[Any], counts: Any, label: int) -> int:
    """Return a new region without pixels."""
    index = counts.regions
    counts.regions += 1
    region = regions[index]
    region.parent, region.label = index, label
    region.pixels = region.scored = region.score_sum = 0
    region.rings = region.vertices = 0
    region.shared = False
    region.first_ring = region.last_ring = region.next_finished = NONE
    return int(index)


@hot
def add_pixels(region: Any, scores: NDArray[np.uint8], start: int, stop: int) -> None:
    """Add the pixels from ``start`` to before ``stop`` to the sums of a region."""
    total, scored = 0, 0
    for x in range(start, stop):
        if scores[x] != UNSCORED:
            scored += 1
            total += int(scores[x])
    region.pixels += stop - start
    region.scored += scored
    region.score_sum += total


@hot
def join_regions(
    state: State, above: NDArray[Any], here: NDArray[Any], count: int, scores: NDArray[np.uint8]
) -> None:
    """Give each traced run of the current row its region, joining those that now touch.

    Args:
        state: The state.
        above: Runs of the row above.
        here: Runs of the current row; their regions are set.
        count: Number of runs in ``here``.
        scores: Scores of the current row, ``[W]``.
    """
    regions, vertices, counts = state.regions, state.vertices, state.counts[0]
    below = 0  # first run above that reaches beyond the start of the current run
    for k in range(1, count - 1):
        label, start, stop = here[k].label, here[k].start, here[k + 1].start
        if label < 0:
            continue
        while above[below + 1].start <= start:
            below += 1
        region, touching = NONE, below
        shared = here[k - 1].label >= 0 or here[k + 1].label >= 0
        while above[touching].start < stop:
            if above[touching].label != label:
                if above[touching].label >= 0:
                    shared = True
                    regions[find(regions, above[touching].region)].shared = True
            else:
                other = find(regions, above[touching].region)
                if region == NONE:
                    region = other
                elif region != other:
                    region = unite(regions, vertices, region, other)
            touching += 1
        if region == NONE:
            region = new_region(regions, counts, label)
        here[k].region = region
        add_pixels(regions[region], scores, start, stop)
        if shared:
            regions[region].shared = True
