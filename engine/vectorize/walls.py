"""Right angles for buildings: outlines made of walls in few directions.

The outline of a building in a class raster is a staircase. Its corners are estimated in four
steps, in metres on the ground, so that a right angle is one on the ground for any pixel and CRS:

1. *Direction.* The simplified outline gives edges; the mean of their directions modulo 90°,
   weighted by squared length, is a first guess. It is refined by least-squares lines through
   the staircase below the long edges.
2. *Walls.* Each edge becomes a wall in the nearest of the two main directions, or at 45° to
   them if it is long and clearly oblique. A wall lies where the staircase has equal areas on
   both of its sides; so areas are kept.
3. *Order.* Neighbouring walls in one direction that nearly coincide become one, and the
   shortest walls are dropped, until all are longer than ``SHORT_RATIO`` tolerances. Where
   parallel neighbours remain, a short cross wall joins them.
4. *Corners* are the intersections of neighbouring walls.

Holes take the direction of their shell. Kernels only; :mod:`.square` applies them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..geo.jit import inner, kernel

FloatArray = NDArray[np.float64]

SHORT_RATIO = 1.5
"""Walls shorter than this many tolerances are dropped."""
LONG_RATIO = 3.0
"""Edges longer than this many tolerances refine the direction."""
OBLIQUE_RATIO = 6.0
"""Oblique edges longer than this many tolerances may become walls at 45°."""
OBLIQUE_SHARE = 0.12
"""... if they also are this part of the outline or more."""
_EIGHTH = math.pi / 4
_FIRST, _LAST, _AXIS = 0, 1, 2


@inner
def main_direction(points: FloatArray, kept: NDArray[np.int64], tolerance: float) -> float:
    """Return the direction of the walls of a ring, in radians modulo 90°.

    Args:
        points: Vertices of the staircase ``[n, 2]`` in metres; the last one is the first.
        kept: Indices of the vertices of the simplified outline, from 0 to ``n - 1``.
        tolerance: Tolerance of the simplification in metres.
    """
    cosine = sine = 0.0
    for i in range(len(kept) - 1):
        dx = points[kept[i + 1], 0] - points[kept[i], 0]
        dy = points[kept[i + 1], 1] - points[kept[i], 1]
        angle, weight = 4.0 * math.atan2(dy, dx), dx * dx + dy * dy
        cosine += weight * math.cos(angle)
        sine += weight * math.sin(angle)
    guess = math.atan2(sine, cosine) / 4.0
    turn = total = 0.0
    for i in range(len(kept) - 1):
        dx = points[kept[i + 1], 0] - points[kept[i], 0]
        dy = points[kept[i + 1], 1] - points[kept[i], 1]
        length = math.hypot(dx, dy)
        off = math.atan2(dy, dx) - guess
        off -= math.pi / 2 * round(off / (math.pi / 2))
        if length < LONG_RATIO * tolerance or abs(off) > _EIGHTH / 3:
            continue
        axis = math.atan2(dy, dx) - off
        slope = path_slope(points, kept[i], kept[i + 1], axis)
        if abs(slope) < 0.5:
            turn += length**3 * math.atan(slope)
            total += length**3
    return guess + turn / total if total > 0 else guess


@inner
def path_slope(points: FloatArray, first: int, last: int, axis: float) -> float:
    """Return the slope of the least-squares line through a path, relative to an axis."""
    c, s = math.cos(axis), math.sin(axis)
    x0, y0 = points[first]
    weight = along = across = 0.0
    for step in (0, 1):
        mean_t = along / weight if weight > 0 else 0.0
        mean_n = across / weight if weight > 0 else 0.0
        square = product = 0.0
        for i in range(first, last):
            ta, na = _turned(points[i, 0] - x0, points[i, 1] - y0, c, s)
            tb, nb = _turned(points[i + 1, 0] - x0, points[i + 1, 1] - y0, c, s)
            t, n, length = (ta + tb) / 2, (na + nb) / 2, tb - ta
            if step == 0:
                weight += length
                along += length * t
                across += length * n
            else:
                square += length * ((t - mean_t) ** 2 + length * length / 12)
                product += length * ((t - mean_t) * (n - mean_n) + length * (nb - na) / 12)
        if weight == 0:
            return 0.0
    return product / square if square != 0 else 0.0


@inner
def _turned(x: float, y: float, c: float, s: float) -> tuple[float, float]:
    """Return coordinates along and across an axis."""
    return x * c + y * s, y * c - x * s


@inner
def first_walls(
    points: FloatArray, kept: NDArray[np.int64], direction: float, tolerance: float
) -> NDArray[np.int64]:
    """Return one wall per edge of the simplified outline.

    Returns:
        First vertex, last vertex and axis of each wall, ``[w, 3]``. The axis counts eighths
        of a turn from the main direction, modulo 4.
    """
    count = len(kept) - 1
    walls = np.empty((count, 3), np.int64)
    outline = 0.0
    for i in range(count):
        outline += math.hypot(
            points[kept[i + 1], 0] - points[kept[i], 0],
            points[kept[i + 1], 1] - points[kept[i], 1],
        )
    for i in range(count):
        dx = points[kept[i + 1], 0] - points[kept[i], 0]
        dy = points[kept[i + 1], 1] - points[kept[i], 1]
        angle, length = math.atan2(dy, dx) - direction, math.hypot(dx, dy)
        axis = 2 * round(angle / (2 * _EIGHTH))
        if length > OBLIQUE_RATIO * tolerance and length > OBLIQUE_SHARE * outline:
            axis = round(angle / _EIGHTH)
        walls[i, _FIRST], walls[i, _LAST], walls[i, _AXIS] = kept[i], kept[i + 1], axis % 4
    return walls


@inner
def wall_place(
    points: FloatArray, wall: NDArray[np.int64], direction: float
) -> tuple[float, float]:
    """Return where a wall lies across its axis, and how long it is along it.

    The place leaves equal areas between the wall and the staircase on both sides. The path of
    a wall may run past the end of the ring: ``last < first``.
    """
    angle = direction + wall[_AXIS] * _EIGHTH
    c, s = math.cos(angle), math.sin(angle)
    size = len(points) - 1
    i, last = wall[_FIRST] % size, wall[_LAST] % size
    start, n = _turned(points[i, 0], points[i, 1], c, s)
    t, low, high, area = start, n, n, 0.0
    steps = (last - i) % size
    for _ in range(steps):
        i = (i + 1) % size
        t_next, n_next = _turned(points[i, 0], points[i, 1], c, s)
        area += (n + n_next) / 2 * (t_next - t)
        t, n = t_next, n_next
        low, high = min(low, n), max(high, n)
    length = abs(t - start)
    if length < (high - low) or length == 0:
        return (low + high) / 2, length
    return min(max(area / (t - start), low), high), length


@inner
def order_walls(
    points: FloatArray, walls: NDArray[np.int64], direction: float, tolerance: float
) -> NDArray[np.int64]:
    """Join walls that nearly coincide and drop short ones; see the module."""
    count = len(walls)
    place, length = np.empty(count), np.empty(count)
    for i in range(count):
        place[i], length[i] = wall_place(points, walls[i], direction)
    limit = SHORT_RATIO * tolerance
    while count > 3:
        joined = -1
        for i in range(count):
            j = (i + 1) % count
            if walls[i, _AXIS] == walls[j, _AXIS] and abs(place[i] - place[j]) < limit:
                joined = i
                break
        if joined >= 0:
            i, gone = joined, (joined + 1) % count
            walls[i, _LAST] = walls[gone, _LAST]
        else:
            gone = int(np.argmin(length[:count]))
            if length[gone] >= limit or count <= 4:
                break
            i = (gone - 1) % count
            after = (gone + 1) % count
            if walls[i, _AXIS] == walls[after, _AXIS]:
                walls[i, _LAST] = walls[gone, _LAST]
        place[i], length[i] = wall_place(points, walls[i], direction)
        count -= 1
        for k in range(gone, count):
            walls[k], place[k], length[k] = walls[k + 1], place[k + 1], length[k + 1]
    return walls[:count]


@inner
def corners(points: FloatArray, walls: NDArray[np.int64], direction: float) -> FloatArray:
    """Return the intersections of neighbouring walls ``[k, 2]``, with cross walls where needed."""
    count = len(walls)
    size = len(points) - 1
    found = np.empty((2 * count, 2))
    k = 0
    for i in range(count):
        j = (i + 1) % count
        a, b = walls[i], walls[j]
        na, nb = wall_place(points, a, direction)[0], wall_place(points, b, direction)[0]
        angle_a, angle_b = direction + a[_AXIS] * _EIGHTH, direction + b[_AXIS] * _EIGHTH
        if a[_AXIS] == b[_AXIS]:
            c, s = math.cos(angle_a), math.sin(angle_a)
            last, first = a[_LAST] % size, b[_FIRST] % size
            x = (points[last, 0] + points[first, 0]) / 2
            y = (points[last, 1] + points[first, 1]) / 2
            t = x * c + y * s
            found[k] = t * c - na * s, t * s + na * c
            found[k + 1] = t * c - nb * s, t * s + nb * c
            k += 2
        else:
            sine = math.sin(angle_b - angle_a)
            found[k, 0] = (na * math.cos(angle_b) - nb * math.cos(angle_a)) / sine
            found[k, 1] = (na * math.sin(angle_b) - nb * math.sin(angle_a)) / sine
            k += 1
    return found[:k]


@kernel
def square_rings(
    points: FloatArray,
    kept: NDArray[np.bool_],
    ring_offsets: NDArray[np.int64],
    is_shell: NDArray[np.bool_],
    tolerance: float,
    result: FloatArray,
) -> NDArray[np.int64]:
    """Square rings one after another; a hole takes the direction of the last shell.

    Args:
        points: Vertices of closed rings ``[v, 2]`` in metres.
        kept: Which of them are on the simplified outline.
        ring_offsets: Start of each ring and the end of the last.
        is_shell: Whether a ring is a shell.
        tolerance: Tolerance of the simplification in metres.
        result: Corners of closed rings, to fill; ``[2 v + 4 r, 2]`` is enough.

    Returns:
        Start of each ring in ``result`` and the end of the last; a ring that cannot be squared
        keeps its simplified outline.
    """
    offsets = np.zeros(len(ring_offsets), np.int64)
    direction, end = 0.0, 0
    for r in range(len(is_shell)):
        ring = points[ring_offsets[r] : ring_offsets[r + 1]]
        chosen = kept[ring_offsets[r] : ring_offsets[r + 1]].copy()
        chosen[len(ring) - 1] = True
        index = np.flatnonzero(chosen)
        if is_shell[r]:
            direction = main_direction(ring, index, tolerance)
        walls = first_walls(ring, index, direction, tolerance)
        walls = order_walls(ring, walls, direction, tolerance)
        outline = corners(ring, walls, direction)
        if len(walls) < 3 or len(outline) < 4:
            outline = ring[index[:-1]]
        result[end : end + len(outline)] = outline
        end += len(outline)
        result[end] = outline[0]
        end += 1
        offsets[r + 1] = end
    return offsets
