"""Kernels: outlines grow along the line between two rows.

Every region is walked with its pixels on the left-hand side (as seen on a north-up map), so
shells run counter-clockwise and holes clockwise. Corners are visited from left to right and
top to bottom. At a corner the pixels are ``a b`` above and ``c d`` below; an edge runs north
where a and b differ, south where c and d differ, west where a and c differ, east where b and
d differ. Each edge carries two chains, one for the region on each side. A chain end on an edge
that leads south or east waits there (*pending*) for the next corner.

Regions are 4-connected: at a corner where equal labels meet only diagonally, a chain keeps to
its own pixel. Such corners are marked as pinches and rings are cut apart there when they close.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from ..geo.jit import as_index, hot
from .state import CORNER, JUNCTION, NONE, PINCH, State
from .vertices import new_vertex


@hot
def thread(
    vertices: NDArray[Any],
    closed: NDArray[Any],
    counts: Any,
    tail: int,
    head: int,
    vertex: int,
    region: int,
) -> tuple[int, int]:
    """Lead one chain through a corner.

    Args:
        vertices: The pool.
        closed: Where outlines are noted that close.
        counts: The counts of the state.
        tail: End of the chain that arrives, ``NONE`` if it will arrive later.
        head: Start of the chain that departs, ``NONE`` if it will depart later.
        vertex: New vertex at the corner, ``NONE`` if the chain runs straight through.
        region: Region of the chain.

    Returns:
        The tail that waits on the edge of departure and the head that waits on the edge of
        arrival, ``NONE`` where nothing waits.
    """
    if vertex != NONE:
        if tail != NONE:
            start = vertices[tail].mate
            vertices[tail].next = vertex
            vertices[vertex].mate, vertices[start].mate = start, vertex
            tail = vertex
        elif head != NONE:
            end = vertices[head].mate
            vertices[vertex].next = head
            vertices[vertex].mate, vertices[end].mate = end, vertex
            head = vertex
        else:
            return vertex, vertex
    if tail == NONE or head == NONE:
        return tail, head
    start, end = vertices[tail].mate, vertices[head].mate
    vertices[tail].next = head
    if start == head:
        closed[counts.closed].first, closed[counts.closed].region = head, region
        counts.closed += 1
    else:
        vertices[start].mate, vertices[end].mate = end, start
    return NONE, NONE


@hot
def corner_kind(counts: Any, x: int, y: int, labels: tuple[int, int, int, int]) -> int:
    """Return the kind of a corner, ``NONE`` where an outline can only run straight or turn."""
    a, b, c, d = labels
    edges = int(a != b) + int(c != d) + int(a != c) + int(b != d)
    if edges == 4 and (a == d or b == c):
        return PINCH
    on_side = x == 0 or x == counts.width
    if edges > 2 or (on_side and (y == 0 or y == counts.height)):
        return JUNCTION
    return int(NONE)


@hot
def corner_vertices(
    vertices: NDArray[Any], counts: Any, x: int, y: int, labels: tuple[int, int, int, int]
) -> tuple[int, int, int, int]:
    """Make the vertices of the traced regions that turn or meet others at a corner.

    Returns:
        One vertex for each of the four pixels, ``NONE`` where no chain needs one.
    """
    a, b, c, d = labels
    north, south, west, east = a != b, c != d, a != c, b != d
    kind = corner_kind(counts, x, y, labels)
    marked = kind != NONE
    kind = max(kind, CORNER)
    va = vb = vc = vd = NONE
    if a >= 0 and west and (marked or north or not east):
        va = new_vertex(vertices, counts, x, y, kind)
    if b >= 0 and north and (marked or east or not south):
        vb = new_vertex(vertices, counts, x, y, kind)
    if c >= 0 and south and (marked or west or not north):
        vc = new_vertex(vertices, counts, x, y, kind)
    if d >= 0 and east and (marked or south or not west):
        vd = new_vertex(vertices, counts, x, y, kind)
    if kind == PINCH and a == d and va != NONE:
        vertices[va].twin, vertices[vd].twin = vd, va
    if kind == PINCH and b == c and vb != NONE:
        vertices[vb].twin, vertices[vc].twin = vc, vb
    return va, vb, vc, vd


@hot
def visit_corner(
    vertices: NDArray[Any],
    closed: NDArray[Any],
    counts: Any,
    labels: tuple[int, int, int, int],
    regions: tuple[int, int, int, int],
    corners: tuple[int, int, int, int],
    past: tuple[int, int, int, int],
) -> tuple[int, int, int, int]:
    """Lead all traced chains through one corner.

    Args:
        vertices: The pool.
        closed: Where outlines are noted that close.
        counts: The counts of the state.
        labels: Labels of the pixels a, b, c, d.
        regions: Their regions.
        corners: Their vertices at the corner.
        past: What waits on the edges that lead here: from the north the head left of the edge
            and the tail right of it, from the west the tail above and the head below.

    Returns:
        What waits on the edges that lead on: to the south head and tail, to the east tail
        and head, in the same order.
    """
    a, b, c, d = labels
    va, vb, vc, vd = corners
    north, south, west, east = a != b, c != d, a != c, b != d
    north_head, north_tail, west_tail, west_head = past
    south_head = south_tail = east_tail = east_head = NONE
    if west and a >= 0:  # arrives from the west, along the bottom of a
        head = north_head if north else NONE
        tail, _ = thread(vertices, closed, counts, west_tail, head, va, regions[0])
        if not north and east:
            east_tail = tail
        elif not north:
            south_tail = tail
    if north and b >= 0:  # arrives from the north, along the left side of b
        head = NONE if east or south else west_head
        tail, _ = thread(vertices, closed, counts, north_tail, head, vb, regions[1])
        if east:
            east_tail = tail
        elif south:
            south_tail = tail
    if south and c >= 0:  # arrives from the south, along the right side of c
        head = west_head if west else (north_head if north else NONE)
        tail, south_head = thread(vertices, closed, counts, NONE, head, vc, regions[2])
        if not west and not north:
            east_tail = tail
    if east and d >= 0:  # arrives from the east, along the top of d
        head = NONE if south else (west_head if west else north_head)
        tail, east_head = thread(vertices, closed, counts, NONE, head, vd, regions[3])
        if south:
            south_tail = tail
    return south_head, south_tail, east_tail, east_head


@hot
def trace_line(state: State, above: NDArray[Any], here: NDArray[Any], y: int) -> None:
    """Extend all outlines by the corners of the line above row ``y``.

    Outlines that close are noted in ``State.closed``.
    """
    vertices, closed, counts = state.vertices, state.closed, state.counts[0]
    rising, sinking = state.rising, state.sinking
    i = k = 0
    tail = head = NONE  # waiting on the edge west of the next corner, above and below it
    while True:
        x = min(above[i + 1].start, here[k + 1].start)
        if x > counts.width:
            break
        a, c = above[i], here[k]
        if above[i + 1].start == x:
            i += 1
        if here[k + 1].start == x:
            k += 1
        b, d = above[i], here[k]
        labels = (a.label, b.label, c.label, d.label)
        if a.label == c.label and b.label == d.label:
            continue  # both sides run straight down
        corners = corner_vertices(vertices, counts, x, y, labels)
        regions = (a.region, b.region, c.region, d.region)
        past = (as_index(rising[x]), as_index(sinking[x]), tail, head)
        rising[x], sinking[x], tail, head = visit_corner(
            vertices, closed, counts, labels, regions, corners, past
        )
