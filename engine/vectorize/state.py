"""State of the streaming polygoniser: pools of records that grow, and nothing else.

All records are plain NumPy structured arrays, so that kernels read them by name
(``vertices[i].next``). Indices are -1 (``NONE``) where there is nothing. Freed vertices are
chained through ``next`` and used again, so the pool is as large as the outlines of unfinished
regions at the worst moment, whatever the height of the raster.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..geo.jit import as_index

NONE = as_index(-1)
OUTSIDE = -1
"""Label of everything beyond the raster."""
VOID = -2
"""Label of pixels that become no polygon and whose outline is not traced."""
CHECKED_VOID = 255
"""Label of the same pixels when their outline is traced to check neighbours."""
UNSCORED = 255
"""Score of a pixel without one; other scores are ``round(254 * p)``."""
SCORE_SCALE = 254.0

CORNER, JUNCTION, PINCH = 0, 1, 2
"""Kinds of vertex: a turn between two regions; a meeting of three or more, or a corner of the
raster; a meeting of four at which a region touches itself or its like only diagonally."""
KIND_MASK = 3
ARC_START = 4
ARC_BACKWARDS = 8
ARC_DIRECTION_SHIFT = 4
ARC_DIRECTION_MASK = 3
KEPT = 64
"""Bits of ``kind`` in simplified rings, see :mod:`.simplify`."""

VERTEX = np.dtype(
    [
        ("x", np.int32),
        ("y", np.int32),
        ("next", np.int32),
        ("mate", np.int32),  # end of a chain: its other end; first of a ring: vertex count
        ("twin", np.int32),  # pinch: the vertex across the diagonal; first of a ring: next ring
        ("kind", np.uint8),
    ],
    align=True,
)
REGION = np.dtype(
    [
        ("pixels", np.int64),
        ("scored", np.int64),  # pixels with a score
        ("score_sum", np.int64),
        ("vertices", np.int64),  # of all finished rings
        ("parent", np.int32),
        ("label", np.int32),
        ("rings", np.int32),  # number of closed rings
        ("first_ring", np.int32),  # a vertex
        ("last_ring", np.int32),
        ("next_finished", np.int32),
        ("shared", np.bool_),  # whether another traced region has an edge in common
    ],
    align=True,
)
RUN = np.dtype([("start", np.int32), ("label", np.int32), ("region", np.int32)], align=True)
CLOSED = np.dtype([("first", np.int32), ("region", np.int32)], align=True)
COUNTS = np.dtype(
    [
        ("vertices", np.int64),  # used at least once
        ("free_vertex", np.int64),
        ("open_vertices", np.int64),
        ("regions", np.int64),
        ("first_finished", np.int64),
        ("last_finished", np.int64),
        ("finished_regions", np.int64),
        ("finished_rings", np.int64),
        ("finished_vertices", np.int64),
        ("runs_above", np.int64),
        ("closed", np.int64),  # outlines that closed along the current line
        ("row", np.int64),
        ("width", np.int64),
        ("height", np.int64),
        ("tolerance2", np.float64),  # squared, in the unit of the two steps
        ("x_step", np.float64),
        ("y_step", np.float64),
        ("mark_only", np.bool_),  # whether removed vertices stay, and the others are marked
    ],
    align=True,
)

_FIRST_CAPACITY = 4096


class State(NamedTuple):
    """Everything that the kernels know between two rows.

    Attributes:
        vertices: ``VERTEX`` pool: open outlines, and closed rings of unfinished regions.
        regions: ``REGION`` pool, a union-find forest by ``parent``.
        runs: ``RUN [2, width + 3]``: the row above and the current one, by the row's parity.
        rising: By column, the chain that will be entered from the edge below (its head), for
            the region to the left of that edge.
        sinking: By column, the chain that will leave by the edge below (its tail), for the
            region to the right of that edge.
        closed: ``CLOSED`` records: a vertex of each outline that closed along the current
            line, and its region.
        arcs: Keys of arcs that are simplified less than others, sorted.
        levels: How much less, see :mod:`.simplify`.
        counts: One ``COUNTS`` record.
    """

    vertices: NDArray[Any]
    regions: NDArray[Any]
    runs: NDArray[Any]
    rising: NDArray[np.int32]
    sinking: NDArray[np.int32]
    closed: NDArray[Any]
    arcs: NDArray[np.int64]
    levels: NDArray[np.uint8]
    counts: NDArray[Any]


def new_state(
    height: int, width: int, arcs: NDArray[np.int64] | None, levels: NDArray[np.uint8] | None
) -> State:
    """Return the state above the first row.

    Args:
        height: Rows of the raster.
        width: Columns of the raster.
        arcs: Sorted keys of arcs that are simplified less than others, None for none.
        levels: How much less, see :mod:`.simplify`.
    """
    counts = np.zeros(1, COUNTS)
    for name in ("free_vertex", "first_finished", "last_finished"):
        counts[name] = NONE
    counts["height"], counts["width"] = height, width
    counts["runs_above"] = 1
    runs = np.zeros((2, width + 3), RUN)
    runs["start"][:, 0], runs["start"][:, 1] = -1, width + 1
    runs["label"][:, 0], runs["region"][:, 0] = OUTSIDE, NONE
    return State(
        vertices=np.zeros(_FIRST_CAPACITY, VERTEX),
        regions=np.zeros(_FIRST_CAPACITY, REGION),
        runs=runs,
        rising=np.full(width + 1, NONE, np.int32),
        sinking=np.full(width + 1, NONE, np.int32),
        closed=np.zeros(2 * (width + 1), CLOSED),
        arcs=np.zeros(0, np.int64) if arcs is None else arcs,
        levels=np.zeros(0, np.uint8) if levels is None else levels,
        counts=counts,
    )


def grown(state: State) -> State:
    """Return the state with room for one more row in each pool.

    A row can add four vertices at every corner, and a region at every pixel.
    """
    counts, width = state.counts[0], len(state.rising) - 1
    return state._replace(
        vertices=_roomier(state.vertices, int(counts["open_vertices"]), 4 * (width + 1)),
        regions=_roomier(state.regions, int(counts["regions"]), width),
    )


def _roomier(pool: NDArray[Any], used: int, need: int) -> NDArray[Any]:
    if len(pool) - used >= need:
        return pool
    larger = np.zeros(max(2 * len(pool), used + 2 * need), pool.dtype)
    larger[: len(pool)] = pool
    return larger
