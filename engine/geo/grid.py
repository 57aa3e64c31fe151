"""Grids: how pixels lie on the ground, whatever the CRS, rotation or pixel shape."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyproj
from affine import Affine
from pyproj.exceptions import CRSError

from ..errors import JobError
from .measure import arc_lengths, measure, surface_of
from .windows import Window

__all__ = ["Grid", "crs_to_wkt", "measure"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """Rows and columns of pixels and their place on the map.

    Attributes:
        height: Number of rows.
        width: Number of columns.
        transform: Affine map from ``(column, row)`` to ``(x, y)``; ``(0, 0)`` is the outer
            corner of the first pixel and ``(0.5, 0.5)`` its centre.
        crs_wkt: CRS as WKT2, as it was read; empty means no CRS.
    """

    height: int
    width: int
    transform: Affine
    crs_wkt: str

    def pixel_to_map(
        self, rows: npt.ArrayLike, cols: npt.ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        """Return map coordinates ``(xs, ys)`` of places given in rows and columns."""
        row, col = np.asarray(rows, np.float64), np.asarray(cols, np.float64)
        a, b, c, d, e, f = self.transform[:6]
        return a * col + b * row + c, d * col + e * row + f

    def map_to_pixel(self, xs: npt.ArrayLike, ys: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return ``(rows, cols)`` of places given in map coordinates."""
        x, y = np.asarray(xs, np.float64), np.asarray(ys, np.float64)
        a, b, c, d, e, f = self.transform[:6]
        x, y, determinant = x - c, y - f, a * e - b * d
        return (a * y - d * x) / determinant, (e * x - b * y) / determinant

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Smallest ``(x_min, y_min, x_max, y_max)`` of the map that holds all pixels."""
        xs, ys = self.pixel_to_map([0, 0, self.height, self.height], [0, self.width] * 2)
        return float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max())

    @property
    def pixel_size_m(self) -> tuple[float, float]:
        """Height and width in metres of the pixel at the grid's centre.

        Height is the step from row to row, width from column to column. Without a CRS they
        are in map units.
        """
        row, col = self.height / 2, self.width / 2
        xs, ys = self.pixel_to_map(
            [row - 0.5, row + 0.5, row, row], [col, col, col - 0.5, col + 0.5]
        )
        points = surface_of(self.crs_wkt).points(np.column_stack([xs, ys]))
        height, width = arc_lengths(points[0::2], points[1::2])
        return float(height), float(width)

    @property
    def gsd_m(self) -> float:
        """Ground sampling distance: geometric mean of the two sides of the centre pixel."""
        return math.sqrt(math.prod(self.pixel_size_m))

    def window(self, window: Window) -> Grid:
        """Return the grid of a window of this one."""
        a, b, _, d, e, _ = self.transform[:6]
        x, y = self.pixel_to_map(window.row_off, window.col_off)
        transform = Affine(a, b, float(x), d, e, float(y))
        return Grid(window.height, window.width, transform, self.crs_wkt)

    def scaled(self, height: int, width: int) -> Grid:
        """Return a grid of the same ground with another number of rows and columns."""
        a, b, c, d, e, f = self.transform[:6]
        col_step, row_step = self.width / width, self.height / height
        transform = Affine(a * col_step, b * row_step, c, d * col_step, e * row_step, f)
        return Grid(height, width, transform, self.crs_wkt)


def crs_to_wkt(text: str) -> str:
    """Return a CRS given as ``EPSG:n``, WKT or PROJ text as WKT2.

    Raises:
        JobError: If the CRS is unknown.
    """
    try:
        return str(pyproj.CRS.from_user_input(text).to_wkt())
    except CRSError:
        raise JobError(f"the CRS {text[:60]!r} is unknown", "give it as EPSG:n or as WKT") from None
