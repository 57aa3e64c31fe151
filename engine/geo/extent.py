"""From an extent on the map to a window of pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyproj
from pyproj.exceptions import CRSError, ProjError

from ..errors import RasterError
from .grid import FloatArray, Grid
from .windows import Window

POINTS_PER_SIDE = 33
SLACK_PX = 1e-4
"""An extent may end this far outside a pixel's edge without taking in the next pixel."""


def extent_window(grid: Grid, extent: Sequence[float], extent_crs: str = "") -> Window:
    """Return the pixels of a grid that an extent touches.

    The extent is covered with a mesh of points, because its straight sides become curves in
    another CRS; on a rotated grid the window holds the whole extent.

    Args:
        grid: The grid.
        extent: ``(x_min, y_min, x_max, y_max)``.
        extent_crs: CRS of the extent, ``EPSG:n`` or WKT; empty means the grid's.

    Raises:
        RasterError: If the extent is empty, reversed, not finite or outside the grid, or if
            its CRS is unknown or cannot be related to the grid's.
    """
    _check(extent)
    xs, ys = _mesh(extent)
    if extent_crs:
        xs, ys = _reproject(xs, ys, extent_crs, grid.crs_wkt)
    rows, cols = grid.map_to_pixel(xs, ys)
    row0, row1 = _pixel_range(rows, grid.height)
    col0, col1 = _pixel_range(cols, grid.width)
    if row0 >= row1 or col0 >= col1:
        bounds = ", ".join(f"{value:.10g}" for value in grid.bounds)
        raise RasterError(
            f"the extent {_text(extent)} lies outside the raster, which covers {bounds}",
            "choose an extent that overlaps the raster, and check its CRS",
        )
    return Window(row0, col0, row1 - row0, col1 - col0)


def intersect(first: Window, second: Window) -> Window | None:
    """Return the pixels that both windows have, or None if there are none."""
    return first.intersection(second)


def _check(extent: Sequence[float]) -> None:
    if not np.isfinite(extent).all():
        raise RasterError(f"the extent {_text(extent)} is not finite", "draw the extent again")
    x_min, y_min, x_max, y_max = extent
    if x_min > x_max or y_min > y_max:
        raise RasterError(
            f"the extent {_text(extent)} is reversed", "give it as x_min, y_min, x_max, y_max"
        )
    if x_min == x_max or y_min == y_max:
        raise RasterError(f"the extent {_text(extent)} has no area", "draw a larger extent")


def _text(extent: Sequence[float]) -> str:
    return ", ".join(f"{value:.10g}" for value in extent)


def _mesh(extent: Sequence[float]) -> tuple[FloatArray, FloatArray]:
    """Return the corners of a mesh over an extent."""
    x_min, y_min, x_max, y_max = extent
    x = np.linspace(x_min, x_max, POINTS_PER_SIDE)
    y = np.linspace(y_min, y_max, POINTS_PER_SIDE)
    grid_x, grid_y = np.meshgrid(x, y)
    return grid_x.ravel(), grid_y.ravel()


def _reproject(
    xs: FloatArray, ys: FloatArray, extent_crs: str, grid_crs: str
) -> tuple[FloatArray, FloatArray]:
    if not grid_crs:
        raise RasterError(
            "the raster has no CRS, so an extent in a CRS cannot be placed on it",
            "assign a CRS to the raster, or give the extent in the raster's coordinates",
        )
    try:
        source = pyproj.CRS.from_user_input(extent_crs)
        target = pyproj.CRS.from_user_input(grid_crs)
        if source.equals(target, ignore_axis_order=True):
            return xs, ys
        transformer = pyproj.Transformer.from_crs(source, target, always_xy=True)
        moved_x, moved_y = transformer.transform(xs, ys)
    except (CRSError, ProjError) as error:
        reason = str(error).splitlines()[0]
        raise RasterError(
            f"the extent's CRS {extent_crs[:60]!r} cannot be used: {reason}",
            "give it as EPSG:n, or draw the extent in the raster's CRS",
        ) from None
    inside = np.isfinite(moved_x) & np.isfinite(moved_y)
    if not inside.any():
        raise RasterError(
            "the extent cannot be expressed in the raster's CRS",
            "choose an extent near the raster",
        )
    return moved_x[inside], moved_y[inside]


def _pixel_range(places: FloatArray, length_px: int) -> tuple[int, int]:
    low = float(np.floor(places.min() + SLACK_PX))
    high = float(np.ceil(places.max() - SLACK_PX))
    high = max(high, low + 1)
    return int(np.clip(low, 0, length_px)), int(np.clip(high, 0, length_px))
