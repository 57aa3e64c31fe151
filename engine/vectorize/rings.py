"""Kernels: closed outlines become simple rings, and rings wait for the end of their region.

The shell of a region is the last of its outlines to close: below the lowest pixel around a
hole there is one more line. A region is therefore finished when an outline with a positive
area closes, and no other book-keeping is needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geo.jit import as_index, inner
from .regions import find
from .simplify import simplify_ring
from .state import KIND_MASK, NONE, PINCH, State
from .vertices import measure_ring

_STAMP = -2


@inner
def close_rings(state: State) -> None:
    """Take in all outlines that closed along the current line."""
    counts = state.counts[0]
    for i in range(counts.closed):
        region = find(state.regions, state.closed[i].region)
        close_ring(state, as_index(state.closed[i].first), as_index(region))
    counts.closed = 0


@inner
def close_ring(state: State, first: int, region: int) -> None:
    """Take in a closed outline: cut it at its pinches and hand it to its region.

    Args:
        state: The state.
        first: Any vertex of the outline, whose last vertex leads to it.
        region: Root of the region to its left.
    """
    vertices = state.vertices
    area, _, pinches = measure_ring(vertices, first)
    if pinches < 2:
        store_ring(state, first, region)
    else:
        starts = split_ring(vertices, first, pinches)
        for start in starts:
            if vertices[start].mate < NONE:  # not part of a ring that is stored already
                unstamp(vertices, as_index(start))
                store_ring(state, as_index(start), region)
    if area > 0:
        finish_region(state, region)


@inner
def split_ring(vertices: NDArray[Any], first: int, pinches: int) -> NDArray[np.int32]:
    """Cut a ring where it passes the same corner twice, by exchanging the two ways on.

    All vertices of the ring get a stamp in ``mate``; the twin of a pinch with the same stamp
    is the second passage. Passages are nested like brackets, so each exchange makes one more
    ring.

    Returns:
        Vertices among which every new ring has at least one.
    """
    stamp = _STAMP - first
    starts = np.empty(pinches, np.int32)
    count, node = 0, first
    while True:
        vertices[node].mate = stamp
        if (vertices[node].kind & KIND_MASK) == PINCH:
            starts[count] = node
            count += 1
        node = vertices[node].next
        if node == first:
            break
    for i in range(count):
        node = int(starts[i])
        twin = vertices[node].twin
        if twin == NONE or node > twin or vertices[twin].mate != stamp:
            continue
        if vertices[twin].x == vertices[node].x and vertices[twin].y == vertices[node].y:
            after = vertices[node].next
            vertices[node].next = vertices[twin].next
            vertices[twin].next = after
    return starts


@inner
def unstamp(vertices: NDArray[Any], first: int) -> None:
    """Mark the vertices of a ring as stored."""
    node = first
    while vertices[node].mate != NONE:
        vertices[node].mate = NONE
        node = vertices[node].next


@inner
def store_ring(state: State, first: int, region: int) -> None:
    """Add a simple ring to its region, shells in front, simplified if that is wanted."""
    vertices, owner = state.vertices, state.regions[region]
    area, count, _ = measure_ring(vertices, first)
    if state.counts[0].tolerance2 > 0:
        first, count = simplify_ring(state, first, count, area > 0)
    vertices[first].mate = count
    vertices[first].twin = NONE
    owner.rings += 1
    owner.vertices += count
    if owner.first_ring == NONE:
        owner.first_ring = owner.last_ring = first
    elif area > 0:
        vertices[first].twin = owner.first_ring
        owner.first_ring = first
    else:
        vertices[owner.last_ring].twin = first
        owner.last_ring = first


@inner
def finish_region(state: State, region: int) -> None:
    """Append a region to the list of those that can be collected."""
    counts = state.counts[0]
    if counts.first_finished == NONE:
        counts.first_finished = region
    else:
        state.regions[counts.last_finished].next_finished = region
    counts.last_finished = region
    counts.finished_regions += 1
    counts.finished_rings += state.regions[region].rings
    counts.finished_vertices += state.regions[region].vertices
