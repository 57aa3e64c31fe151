"""Label polygons on a pixel grid: class masks and one mask per object, cut at the chip's edges.

Polygons are kept in pixel coordinates (x is the column, y the row), where every grid is upright.
A pixel belongs to a polygon if its centre does. One polygon of the layer, with all its parts and
holes, is one object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from ..geo.grid import Grid
from ..geo.windows import Window
from .chip_folder import IGNORE_INDEX
from .labels import BACKGROUND_ID, rasterize_polygons

LEAST_OBJECT_PX = 4
LEAST_OBJECT_RATIO = 0.1
MANY_VERTICES = 400
_POLYGON = shapely.GeometryType.POLYGON
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class ObjectMask:
    """One object of a chip.

    Attributes:
        class_id: Its class.
        crowd: Whether it is a remainder that must neither be learnt nor counted.
        row: First row of the mask in the chip.
        col: First column of the mask in the chip.
        mask: Its pixels, ``bool[h, w]``.
    """

    class_id: int
    crowd: bool
    row: int
    col: int
    mask: BoolArray


class PixelPolygons:
    """Polygons on one grid.

    Args:
        polygons: Shapely polygons in the CRS of the grid, ``[n]``.
        class_ids: Class of each, 255 for ignored ground.
        grid: The grid.
    """

    def __init__(self, polygons: NDArray[Any], class_ids: Sequence[int], grid: Grid) -> None:
        def to_pixels(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
            rows, cols = grid.map_to_pixel(x, y)
            return cols, rows

        moved = _valid(shapely.transform(polygons, to_pixels, interleaved=False))
        inside = shapely.intersects(moved, shapely.box(0, 0, grid.width, grid.height))
        self.polygons: NDArray[Any] = moved[inside]
        self.class_ids = np.asarray(class_ids, np.int64)[inside]
        self._areas_px = shapely.area(self.polygons)
        self._large = shapely.get_num_coordinates(self.polygons) > MANY_VERTICES
        self._tree = shapely.STRtree(self.polygons)

    def __len__(self) -> int:
        return len(self.polygons)

    def touching(self, window: Window) -> list[int]:
        """Return the numbers of the polygons whose boxes touch a window, in their order."""
        return sorted(int(i) for i in self._tree.query(_box(window)))

    def area_in(self, window: Window) -> dict[int, float]:
        """Return the area in square pixels of each class inside a window."""
        found = np.array(self.touching(window), np.int64)
        if not len(found):
            return {}
        areas = shapely.area(shapely.intersection(self.polygons[found], _box(window)))
        ids = self.class_ids[found]
        return {int(i): float(areas[ids == i].sum()) for i in np.unique(ids)}

    def covered(self, window: Window) -> BoolArray:
        """Return the pixels of a window that lie in any polygon, ``[h, w]``."""
        shapes = [self._shape(index, window) for index in self.touching(window)]
        place = Affine.translation(window.col_off, window.row_off)
        return rasterize_polygons(shapes, place, (window.height, window.width)) > 0

    def cut(self, window: Window, background: int) -> tuple[NDArray[np.uint8], list[PolygonPart]]:
        """Return the classes in a window and the part of each polygon in it.

        Args:
            window: The window.
            background: Id of ground outside all polygons.

        Returns:
            Class ids ``uint8[h, w]``, later polygons over earlier ones, and the parts in the
            order of the polygons, without those that hold no pixel centre.
        """
        found = (self._part(index, window) for index in self.touching(window))
        parts = [part for part in found if part is not None]
        return paint_parts(parts, (window.height, window.width), background), parts

    def _shape(self, index: int, window: Window) -> Any:
        """Return a polygon, without its far parts if it is large."""
        polygon = self.polygons[index]
        if not self._large[index]:
            return polygon
        near = shapely.get_parts(shapely.intersection(polygon, _box(window, 2)))
        return shapely.multipolygons(near[shapely.get_type_id(near) == _POLYGON])

    def _part(self, index: int, window: Window) -> PolygonPart | None:
        shape = self._shape(index, window)
        if shape.is_empty:
            return None
        x0, y0, x1, y1 = shape.bounds
        top, left = max(int(y0), window.row_off), max(int(x0), window.col_off)
        bottom, right = min(int(y1) + 1, window.row_end), min(int(x1) + 1, window.col_end)
        if bottom <= top or right <= left:
            return None
        place = Affine.translation(left, top)
        mask = rasterize_polygons([shape], place, (bottom - top, right - left)) > 0
        if not mask.any():
            return None
        row, col = top - window.row_off, left - window.col_off
        return PolygonPart(int(self.class_ids[index]), float(self._areas_px[index]), row, col, mask)


@dataclass(frozen=True)
class PolygonPart:
    """The pixels of one polygon or mask in a window.

    Attributes:
        class_id: Its class, 255 for ignored ground.
        area_px: Area of all of it.
        row: First row of the mask in the window.
        col: First column of the mask in the window.
        mask: Its pixels, ``bool[h, w]``.
        crowd: Whether it must neither be learnt nor counted.
    """

    class_id: int
    area_px: float
    row: int
    col: int
    mask: BoolArray
    crowd: bool = False


def paint_parts(
    parts: Sequence[PolygonPart], shape_px: tuple[int, int], background: int
) -> NDArray[np.uint8]:
    """Return class ids ``uint8[H, W]``; later parts lie over earlier ones."""
    mask = np.full(shape_px, background, np.uint8)
    for part in parts:
        height, width = part.mask.shape
        place = mask[part.row : part.row + height, part.col : part.col + width]
        place[part.mask] = part.class_id
    return mask


def cut_parts(parts: Sequence[PolygonPart], window: Window) -> list[PolygonPart]:
    """Return what lies in a window of an image; parts without a pixel there are left out."""
    found = []
    for part in parts:
        whole = Window(part.row, part.col, *part.mask.shape)
        common = whole.intersection(window)
        if common is None:
            continue
        rows = slice(common.row_off - part.row, common.row_end - part.row)
        cols = slice(common.col_off - part.col, common.col_end - part.col)
        mask = part.mask[rows, cols]
        if mask.any():
            place = (common.row_off - window.row_off, common.col_off - window.col_off)
            found.append(replace(part, row=place[0], col=place[1], mask=mask))
    return found


def objects_of(parts: Sequence[PolygonPart], known: BoolArray) -> list[ObjectMask]:
    """Return the objects of a chip.

    Pixels of unknown ground are taken off. An object of which less than a tenth or fewer than
    four pixels are left is a crowd; one without any pixel is dropped.

    Args:
        parts: Parts of polygons from :meth:`PixelPolygons.cut`.
        known: Pixels whose class is known, ``[H, W]``.
    """
    objects = []
    for part in parts:
        if part.class_id in (BACKGROUND_ID, IGNORE_INDEX):
            continue
        height, width = part.mask.shape
        mask = part.mask & known[part.row : part.row + height, part.col : part.col + width]
        left = int(mask.sum())
        if left:
            rest = left < LEAST_OBJECT_PX or left < LEAST_OBJECT_RATIO * part.area_px
            objects.append(ObjectMask(part.class_id, rest or part.crowd, part.row, part.col, mask))
    return objects


def _valid(polygons: NDArray[Any]) -> NDArray[Any]:
    """Return polygons of which none was made invalid by the rounding of its coordinates."""
    wrong = ~shapely.is_valid(polygons)
    if wrong.any():
        polygons[wrong] = shapely.make_valid(
            polygons[wrong], method="structure", keep_collapsed=False
        )
    return polygons


def _box(window: Window, more_px: int = 0) -> shapely.Polygon:
    return shapely.box(
        window.col_off - more_px,
        window.row_off - more_px,
        window.col_end + more_px,
        window.row_end + more_px,
    )
