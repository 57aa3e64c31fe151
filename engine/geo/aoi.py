"""Areas of interest: which pixel centres lie inside the polygons of a vector layer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely

from ..errors import LabelError
from .grid import FloatArray, Grid
from .vector import read_polygons
from .windows import Window

CELLS_AT_ONCE = 16 << 20
SLACK_PX = 1e-6
"""Rounding errors of coordinates; far less than the half pixel from an edge to a centre."""


class AoiMask:
    """Polygons as a mask of the pixels whose centres they contain.

    The outlines are kept as edges in pixel coordinates, where every grid is upright. Each row
    of pixels is cut with the edges that cross the line of its centres; the winding number
    between two cuts says inside or outside. So a row never depends on the others, overlapping
    polygons unite, and neighbours share no pixel and leave none out.

    Args:
        path: Vector file.
        layer: Layer name; empty means the only or first one.
        grid: Grid of the mask.

    Attributes:
        window: Smallest window of the grid that holds the polygons' part of it.

    Raises:
        LabelError: If the layer cannot be used, or no polygon touches the grid.
    """

    def __init__(self, path: str, layer: str, grid: Grid) -> None:
        self.grid = grid
        polygons = read_polygons(path, layer=layer, crs_wkt=grid.crs_wkt)
        self._edges = _pixel_edges(polygons, grid)
        self._low = self._edges[:, [1, 3]].min(axis=1)
        self._high = self._edges[:, [1, 3]].max(axis=1)
        window = _window(self._edges, grid)
        if window is None:
            raise LabelError(
                f"no polygon of {path} touches the raster",
                "check the CRS of both layers, or choose polygons on the raster",
            )
        self.window = window

    def rows(self, row0: int, row1: int) -> npt.NDArray[np.bool_]:
        """Return which pixels of rows ``row0..row1 - 1`` are inside, ``[h, W]``."""
        inside = np.zeros((row1 - row0, self.grid.width), dtype=bool)
        step = max(1, CELLS_AT_ONCE // self.grid.width)
        top, end = max(row0, self.window.row_off), min(row1, self.window.row_end)
        for row in range(top, end, step):
            stop = min(row + step, end)
            inside[row - row0 : stop - row0] = self._strip(row, stop)
        return inside

    def _strip(self, row0: int, row1: int) -> npt.NDArray[np.bool_]:
        """Return which pixel centres of some rows are inside, ``[h, W]``."""
        width = self.grid.width
        row, column, turn = self._cuts(row0, row1)
        place = (row - row0) * (width + 1) + column
        order = np.argsort(place, kind="stable")
        place, winding = place[order], np.cumsum(turn[order])
        # The turns of a row add up to 0, so the sum starts anew with each row.
        last = np.flatnonzero(np.r_[place[1:] != place[:-1], True][: len(place)])
        place, within = place[last], winding[last] != 0
        change = np.diff(within.astype(np.int8), prepend=np.int8(0))
        changes = np.zeros((row1 - row0) * (width + 1), np.int8)
        changes[place] = change
        np.cumsum(changes, dtype=np.int8, out=changes)
        return changes.reshape(row1 - row0, width + 1)[:, :width].view(np.bool_)

    def _cuts(
        self, row0: int, row1: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return where edges cut the centre lines of some rows: row, column and direction.

        The column is the first one whose centre is not left of the cut; the direction is 1
        for an edge that runs down and -1 for one that runs up.
        """
        edges = self._edges[(self._low < row1) & (self._high > row0)]
        x0, y0, x1, y1 = edges.T
        # An edge cuts the centre line y = row + 0.5 if low <= y < high.
        first = np.clip(np.ceil(np.minimum(y0, y1) - 0.5), row0, row1).astype(np.int64)
        stop = np.clip(np.ceil(np.maximum(y0, y1) - 0.5), row0, row1).astype(np.int64)
        counts = stop - first
        edge = np.repeat(np.arange(len(edges)), counts)
        row = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts - first, counts)
        slope = (row + 0.5 - y0[edge]) / (y1 - y0)[edge]
        cut = x0[edge] + slope * (x1 - x0)[edge]
        column = np.clip(np.ceil(cut - 0.5), 0, self.grid.width).astype(np.int64)
        return row, column, np.where(y1 > y0, 1, -1)[edge]


def _pixel_edges(polygons: npt.NDArray[np.object_], grid: Grid) -> FloatArray:
    """Return the edges of all rings as ``(col, row, col, row)``, ``float64[n, 4]``.

    Shells run one way round and holes the other; horizontal edges, which no centre line
    crosses, are left out.
    """
    parts = shapely.orient_polygons(shapely.get_parts(polygons))
    rings = shapely.get_rings(parts)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    rows, cols = grid.map_to_pixel(xy[:, 0], xy[:, 1])
    edges = np.column_stack([cols[:-1], rows[:-1], cols[1:], rows[1:]])
    edges = edges[ring[1:] == ring[:-1]]
    chosen: FloatArray = edges[edges[:, 1] != edges[:, 3]]
    return chosen


def _window(edges: FloatArray, grid: Grid) -> Window | None:
    if not len(edges):
        return None
    row0, row1 = _pixel_range(edges[:, [1, 3]], grid.height)
    col0, col1 = _pixel_range(edges[:, [0, 2]], grid.width)
    if row0 >= row1 or col0 >= col1:
        return None
    return Window(row0, col0, row1 - row0, col1 - col0)


def _pixel_range(places: FloatArray, length_px: int) -> tuple[int, int]:
    first, end = np.floor(places.min() + SLACK_PX), np.ceil(places.max() - SLACK_PX)
    return int(np.clip(first, 0, length_px)), int(np.clip(end, 0, length_px))
