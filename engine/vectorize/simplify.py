"""Kernels: outlines are simplified so that neighbours keep the same common border.

A ring is a sequence of arcs from junction to junction (corners where three or more regions
meet, pinches, and corners of the raster; these stay). The border between two regions is the
same arc in both their rings, walked in opposite directions. Each ring is simplified by itself,
but the vertices that stay depend on the arc only: it is read in one direction (from the end
that is higher up, then farther left), so both sides get the same vertices.

The method is that of Douglas and Peucker (Cartographica 10(2), 1973) with distances to
segments. A closed arc keeps at least three vertices. A ring without junctions starts at the
vertex that is farthest from its top left corner.

An arc is named by its first half-edge in reading direction: the start and the direction of the
first step. Arcs that would meet others have a level (``State.levels``): their tolerance is
divided by ``LEVEL_RATIO`` at each, and at ``MAX_LEVEL`` they keep all their vertices.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..geo.jit import as_index, hot, inner
from .state import (
    ARC_BACKWARDS,
    ARC_DIRECTION_SHIFT,
    ARC_START,
    CORNER,
    KEPT,
    KIND_MASK,
    State,
)
from .vertices import free_vertex

LEVEL_RATIO = 3.0
MAX_LEVEL = 2
_STACK = 64


@hot
def step_direction(dx: float, dy: float) -> int:
    """Return 0, 1, 2, 3 for a step to the east, south, west, north."""
    if dy == 0:
        return 0 if dx > 0 else 2
    return 1 if dy > 0 else 3


@hot
def arc_key(x: int, y: int, direction: int, width: int) -> int:
    """Return the number of the half-edge that leaves a corner in a direction."""
    return int((np.int64(y) * (width + 1) + x) * 4 + direction)


@inner
def arc_level(state: State, key: int) -> int:
    """Return the level of an arc, 0 for most."""
    low, high = 0, len(state.arcs)
    while low < high:
        middle = (low + high) // 2
        if state.arcs[middle] < key:
            low = middle + 1
        else:
            high = middle
    if low < len(state.arcs) and state.arcs[low] == key:
        return int(state.levels[low])
    return 0


@inner
def simplify_ring(state: State, first: int, count: int, shell: bool) -> tuple[int, int]:
    """Remove vertices of a closed ring and mark where its arcs start.

    Args:
        state: The state.
        first: A vertex of the ring.
        count: Number of its vertices.
        shell: Whether its area is positive.

    Returns:
        The new first vertex and the number of vertices left.
    """
    vertices, counts = state.vertices, state.counts[0]
    start = first
    for _ in range(count):
        if vertices[start].kind & KIND_MASK != CORNER:
            break
        start = vertices[start].next
    closed = vertices[start].kind & KIND_MASK == CORNER
    if closed:
        start = isolated_anchor(state, first, count, shell)
    nodes = np.empty(count + 1, np.int32)
    xs, ys = np.empty(count + 1, np.float64), np.empty(count + 1, np.float64)
    node = start
    for i in range(count + 1):
        nodes[i] = node
        xs[i] = vertices[node].x * counts.x_step
        ys[i] = vertices[node].y * counts.y_step
        node = vertices[node].next
    keep = np.zeros(count + 1, np.bool_)
    low = 0
    for high in range(1, count + 1):
        if high == count or (not closed and vertices[nodes[high]].kind & KIND_MASK != CORNER):
            arc = slice(low, high + 1)
            simplify_arc(state, nodes[arc], xs[arc], ys[arc], keep[arc])
            low = high
    if counts.mark_only:
        for i in range(count):
            if keep[i]:
                vertices[nodes[i]].kind |= KEPT
        return start, count
    return start, relink(state, nodes, keep)


@inner
def isolated_anchor(state: State, first: int, count: int, shell: bool) -> int:
    """Return the vertex of a ring without junctions that is farthest from its top left one."""
    vertices, counts = state.vertices, state.counts[0]
    corner = node = first
    for _ in range(count):
        node = vertices[node].next
        higher = vertices[node].y < vertices[corner].y
        level = vertices[node].y == vertices[corner].y
        if higher or (level and vertices[node].x < vertices[corner].x):
            corner = node
    best, farthest = -1.0, corner
    node = corner
    for _ in range(count):
        dx = (vertices[node].x - vertices[corner].x) * counts.x_step
        dy = (vertices[node].y - vertices[corner].y) * counts.y_step
        distance = dx * dx + dy * dy
        if distance > best or (shell and distance == best):
            best, farthest = distance, node
        node = vertices[node].next
    return int(farthest)


@inner
def simplify_arc(
    state: State,
    nodes: NDArray[np.int32],
    xs: NDArray[np.float64],
    ys: NDArray[np.float64],
    keep: NDArray[np.bool_],
) -> None:
    """Choose the vertices of one arc that stay and mark its start.

    Args:
        state: The state.
        nodes: Vertices of the arc, the first one of the next arc included.
        xs: Their places in the unit of the tolerance.
        ys: Their places in the unit of the tolerance.
        keep: To be set where a vertex stays.
    """
    tolerance2, width = state.counts[0].tolerance2, state.counts[0].width
    last = len(nodes) - 1
    start, end = state.vertices[nodes[0]], state.vertices[nodes[last]]
    ahead = step_direction(xs[1] - xs[0], ys[1] - ys[0])
    back = step_direction(xs[last - 1] - xs[last], ys[last - 1] - ys[last])
    closed = nodes[0] == nodes[last]
    end_is_first = end.y < start.y or (end.y == start.y and end.x < start.x)
    backwards = back < ahead if closed else end_is_first
    keep[0] = True
    if backwards:
        key, direction = arc_key(end.x, end.y, back, width), back
    else:
        key, direction = arc_key(start.x, start.y, ahead, width), ahead
    start.kind |= ARC_START | (direction << ARC_DIRECTION_SHIFT)
    if backwards:
        start.kind |= ARC_BACKWARDS
    level = arc_level(state, key)
    tolerance2 /= LEVEL_RATIO ** (2 * level)
    if level >= MAX_LEVEL:
        for i in range(last):
            keep[i] = True
    elif closed:
        keep_closed(xs, ys, keep, backwards, tolerance2)
    else:
        keep_far(xs, ys, keep, as_index(0), last, backwards, tolerance2)


@inner
def farthest_from_segment(
    xs: NDArray[np.float64], ys: NDArray[np.float64], low: int, high: int, backwards: bool
) -> tuple[int, float]:
    """Return the vertex between two others that is farthest from their segment.

    The segment is read from ``high`` to ``low`` if ``backwards``, so that the rounding, and
    the choice among equals, is the same for both readings of an arc.

    Returns:
        Its index, ``low`` if there is none, and its squared distance.
    """
    begin, end = (high, low) if backwards else (low, high)
    x0, y0 = xs[begin], ys[begin]
    dx, dy = xs[end] - x0, ys[end] - y0
    length2 = dx * dx + dy * dy
    best, index = -1.0, low
    for i in range(low + 1, high):
        px, py = xs[i] - x0, ys[i] - y0
        along = px * dx + py * dy
        if along >= length2:
            px, py = px - dx, py - dy
        elif along > 0:
            px, py = px - dx * (along / length2), py - dy * (along / length2)
        distance = px * px + py * py
        if distance > best or (backwards and distance == best):
            best, index = distance, i
    return index, best


@inner
def keep_far(
    xs: NDArray[np.float64],
    ys: NDArray[np.float64],
    keep: NDArray[np.bool_],
    low: int,
    high: int,
    backwards: bool,
    tolerance2: float,
) -> None:
    """Keep the vertices between two others that Douglas and Peucker's method keeps.

    The larger part of each split waits on the stack, so its depth is logarithmic.
    """
    stack = np.empty((_STACK, 2), np.int64)
    depth = 0
    while True:
        index, distance = farthest_from_segment(xs, ys, low, high, backwards)
        if index > low and distance > tolerance2:
            keep[index] = True
            stack[depth, 0], stack[depth, 1] = low, high
            if high - index > index - low:
                stack[depth, 0], high = index, index
            else:
                stack[depth, 1], low = index, index
            depth += 1
        elif depth == 0:
            return
        else:
            depth -= 1
            low, high = stack[depth, 0], stack[depth, 1]


@inner
def keep_closed(
    xs: NDArray[np.float64],
    ys: NDArray[np.float64],
    keep: NDArray[np.bool_],
    backwards: bool,
    tolerance2: float,
) -> None:
    """Choose the vertices of an arc that ends where it starts; at least three stay."""
    last = len(xs) - 1
    best, far = -1.0, as_index(0)
    for i in range(1, last):
        distance = (xs[i] - xs[0]) ** 2 + (ys[i] - ys[0]) ** 2
        if distance > best or (backwards and distance == best):
            best, far = distance, i
    keep[far] = True
    keep_far(xs, ys, keep, as_index(0), far, backwards, tolerance2)
    keep_far(xs, ys, keep, far, last, backwards, tolerance2)
    kept = 0
    for i in range(last):
        kept += int(keep[i])
    if kept < 3:
        index, distance = farthest_from_segment(xs, ys, as_index(0), far, backwards)
        keep[index] = keep[index] or distance > 0
        index, distance = farthest_from_segment(xs, ys, far, last, backwards)
        keep[index] = keep[index] or distance > 0


@inner
def relink(state: State, nodes: NDArray[np.int32], keep: NDArray[np.bool_]) -> int:
    """Close the ring over the vertices that stay, free the others, return how many stay."""
    kept, before = 0, nodes[0]
    for i in range(1, len(nodes) - 1):
        if keep[i]:
            state.vertices[before].next = nodes[i]
            before = nodes[i]
            kept += 1
        else:
            free_vertex(state, nodes[i])
    state.vertices[before].next = nodes[0]
    return kept + 1
