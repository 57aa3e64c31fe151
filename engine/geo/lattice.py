"""Points in space of very many map coordinates, from a lattice of few.

PROJ and the trigonometry take most of a microsecond per vertex. Vertices of one batch lie close
together, so the points of a lattice with cells of half a kilometre, with parabolas in between,
give the same lengths and areas to about ``(cell / Earth radius)²``, a hundred-millionth. Straight
lines would not do: the scale of Mercator's map changes by 1e-4 within such a cell.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .jit import inner, kernel

FloatArray = npt.NDArray[np.float64]

CELL_M = 500.0
"""Largest cell of the lattice; it has nodes at its corners, halfway between, and in the middle."""
FEWER = 8
"""A lattice has at least so many times fewer nodes than there are coordinates."""
LEAST_RADIUS_M = 500_000.0
"""Lines of the lattice that bend more sharply are near a pole or an edge of the projection."""
MIN_COORDINATES = 1_000


def lattice_points(exact: Callable[[FloatArray], FloatArray], xy: FloatArray) -> FloatArray | None:
    """Return points in space, ``[n, 3]`` in metres, or None where a lattice is of no use.

    That is: for few coordinates, for such that are spread too widely, and where the map bends so
    much that parabolas between the nodes would show.

    Args:
        exact: Gives the points of coordinates ``[k, 2]``.
        xy: Map coordinates ``[n, 2]``.
    """
    if len(xy) < MIN_COORDINATES:
        return None
    low, high = (np.array([end(column) for column in xy.T]) for end in (np.min, np.max))
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return None
    cells = _cells(exact, low, high)
    if cells is None or (2 * cells[0] + 1) * (2 * cells[1] + 1) * FEWER > len(xy):
        return None
    xs, ys = (np.linspace(low[i], high[i], 2 * cells[i] + 1) for i in range(2))
    grid = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1)
    nodes = exact(grid.reshape(-1, 2)).reshape(*grid.shape[:2], 3)
    if not (_is_smooth(nodes) and _is_smooth(nodes.swapaxes(0, 1))):
        return None
    points = np.empty((len(xy), 3))
    spans = np.where(high > low, high - low, 1.0)
    nodes, xy = np.ascontiguousarray(nodes), np.ascontiguousarray(xy)
    interpolate_points(nodes, xy, (low, cells / spans), points)
    return points


def _cells(
    exact: Callable[[FloatArray], FloatArray], low: FloatArray, high: FloatArray
) -> npt.NDArray[np.int64] | None:
    """Return the number of cells in x and y; None where points are not finite."""
    corners = np.array([low, (high[0], low[1]), (low[0], high[1]), high])
    a, b, c, d = exact(corners)
    sides_m = np.array(
        [max(math.dist(a, b), math.dist(c, d)), max(math.dist(a, c), math.dist(b, d))]
    )
    if not np.isfinite(sides_m).all():
        return None
    return np.maximum(np.ceil(sides_m / CELL_M), 1).astype(np.int64)


def _is_smooth(nodes: FloatArray) -> bool:
    """Return whether the lines along the first axis have short steps and bend gently."""
    steps = np.diff(nodes, axis=0)
    lengths = np.sqrt((steps**2).sum(axis=-1))
    bends = np.sqrt((np.diff(steps, axis=0) ** 2).sum(axis=-1))
    allowed = np.maximum(lengths[:-1], lengths[1:]) ** 2 / LEAST_RADIUS_M
    rounding_m = 1e-6
    return bool((lengths <= CELL_M).all() and (bends <= allowed + rounding_m).all())


@kernel
def interpolate_points(
    nodes: FloatArray, xy: FloatArray, scale: tuple[FloatArray, FloatArray], points: FloatArray
) -> None:
    """Fill ``points [n, 3]`` with those at ``xy [n, 2]``, biquadratic in ``nodes [i, j, 3]``.

    ``scale`` holds the coordinates of the first node and the cells per map unit.
    """
    low, rate = scale
    last_i, last_j = nodes.shape[0] // 2 - 1, nodes.shape[1] // 2 - 1
    for k in range(len(xy)):
        u, v = (xy[k, 0] - low[0]) * rate[0], (xy[k, 1] - low[1]) * rate[1]
        i, j = min(int(u), last_i), min(int(v), last_j)
        across, along = _parabola(u - i), _parabola(v - j)
        for axis in range(3):
            total = 0.0
            for a in range(3):
                for b in range(3):
                    total += across[a] * along[b] * nodes[2 * i + a, 2 * j + b, axis]
            points[k, axis] = total


@inner
def _parabola(t: float) -> tuple[float, float, float]:
    """Return the weights of the nodes at 0, 0.5 and 1 for a place between them."""
    return (2.0 * t - 1.0) * (t - 1.0), 4.0 * t * (1.0 - t), t * (2.0 * t - 1.0)
