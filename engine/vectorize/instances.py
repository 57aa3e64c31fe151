"""From masks of objects to polygons: one feature per object, whatever its number of parts.

Objects may touch and overlap, so they cannot share one raster of labels. They are set out side by
side on a canvas instead, with room between them, and the polygoniser runs over the canvas; its
regions are moved back to their places. Outlines, holes, simplification and squaring are thus the
same as those of class rasters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import shapely
from numpy.typing import NDArray

from ..geo.features import FeatureBatch
from ..geo.grid import Grid, measure
from ..geo.mask_runs import MaskRuns, paint
from .polygonize import Regions
from .stream import (
    Strip,
    VectorOptions,
    finished_polygons,
    finished_regions,
    simplification,
    without_conflicts,
)

CANVAS_PX = 1 << 22
"""Most pixels of a canvas for several objects; a larger object has one of its own, in strips."""
CANVAS_WIDTH_PX = 2048
BATCH_OBJECTS = 20_000
OBJECT = 1

Indices = NDArray[np.int64]
Polygons = NDArray[np.object_]


def instance_features(
    masks: MaskRuns,
    class_id: NDArray[np.int32],
    score: NDArray[np.float32],
    grid: Grid,
    options: VectorOptions,
) -> Iterator[FeatureBatch]:
    """Yield objects as multipolygons in map coordinates, in their order.

    Outlines are exact if nothing is simplified: every object covers its own pixels and no
    others. Parts that meet at a corner only are parts of a multipolygon.

    Args:
        masks: Masks in pixels of the grid.
        class_id: Class of each.
        score: Score of each, in [0, 1].
        grid: Grid of the raster.
        options: Smallest area, simplification and squaring, each object by itself.

    Yields:
        Batches of at most 20 000 objects.
    """
    for first, stop in _chunks(masks.box):
        index = np.arange(first, stop)
        polygons = _valid_polygons(masks.take(index), grid, options)
        area_m2, perimeter_m = measure(polygons, grid.crs_wkt)
        kept = area_m2 >= options.min_area_m2
        if kept.any():
            yield FeatureBatch(
                wkb=shapely.to_wkb(polygons[kept]),
                class_id=class_id[index][kept],
                score=score[index][kept],
                area_m2=area_m2[kept],
                perimeter_m=perimeter_m[kept],
            )


def _chunks(box: NDArray[np.int32]) -> Iterator[tuple[int, int]]:
    """Cut objects into groups that fit on one canvas each; a very large one is alone."""
    sides = (box[:, 2:] - box[:, :2]).astype(np.int64) + 1
    filled = np.concatenate([[0], np.cumsum(sides[:, 0] * sides[:, 1])])
    first = 0
    while first < len(box):
        stop = int(np.searchsorted(filled, filled[first] + CANVAS_PX, side="right")) - 1
        stop = min(max(stop, first + 1), first + BATCH_OBJECTS, len(box))
        yield first, stop
        first = stop


@dataclass(frozen=True)
class _Canvas:
    """Where objects are set out, in rows (shelves) of similar heights.

    Attributes:
        height: Rows of the canvas.
        width: Columns of the canvas.
        places: Row and column of the first corner of each object, ``int64[n, 2]``.
        shelf_tops: First row of each shelf.
        order: Objects shelf by shelf, from left to right.
        keys: Shelf times ``width`` plus column of the objects in this order, ascending.
    """

    height: int
    width: int
    places: Indices
    shelf_tops: Indices
    order: Indices
    keys: Indices

    def objects_at(self, row: Indices, column: Indices) -> Indices:
        """Return the objects whose closed boxes hold these corners."""
        shelf = np.searchsorted(self.shelf_tops, row, side="right") - 1
        found = np.searchsorted(self.keys, shelf * self.width + column, side="right") - 1
        return self.order[found]

    def strips(self, masks: MaskRuns) -> Iterator[Strip]:
        """Yield the painted canvas from the top."""
        rows = max(1, CANVAS_PX // self.width)
        for top in range(0, self.height, rows):
            canvas = np.zeros((min(rows, self.height - top), self.width), np.uint8)
            paint(masks, self.places, canvas, top)
            yield Strip(top, canvas, canvas)


def _set_out(box: NDArray[np.int32]) -> _Canvas:
    """Place objects on shelves, the highest ones first, with an empty pixel around each."""
    sides = (box[:, 2:] - box[:, :2]).astype(np.int64)
    order = np.lexsort((-sides[:, 1], -sides[:, 0]))
    width = max(CANVAS_WIDTH_PX, int(sides[:, 1].max()) + 2)
    places = np.empty((len(box), 2), np.int64)
    tops, keys = [1], []
    column, bottom = 1, 1
    for k, (high, wide) in zip(order.tolist(), sides[order].tolist(), strict=True):
        if column + wide + 1 > width:
            tops.append(bottom)
            column = 1
        if column == 1:
            bottom = tops[-1] + high + 1
        places[k] = tops[-1], column
        keys.append((len(tops) - 1) * width + column)
        column += wide + 1
    return _Canvas(bottom, width, places, np.array(tops), order, np.array(keys))


def _valid_polygons(masks: MaskRuns, grid: Grid, options: VectorOptions) -> Polygons:
    """Return one multipolygon per object, less simplified where its parts would overlap."""
    polygons = _polygons(masks, grid, options)
    for less in (replace(options, square=False), VectorOptions()):
        wrong = np.flatnonzero(~shapely.is_valid(polygons))
        if not len(wrong):
            break
        polygons[wrong] = _polygons(masks.take(wrong), grid, less)
    return polygons


def _polygons(masks: MaskRuns, grid: Grid, options: VectorOptions) -> Polygons:
    """Return one multipolygon per object; only its parts are valid in themselves."""
    canvas = _set_out(masks.box)
    flat = Grid(canvas.height, canvas.width, grid.transform, grid.crs_wkt)
    how = simplification(grid, options)
    width_m, height_m = (float(np.float32(step)) for step in how.steps)
    how = replace(how, steps=(width_m, height_m))  # short numbers: places times steps are exact
    strips = partial(canvas.strips, masks)
    if how.tolerance > 0:
        how = without_conflicts(strips, flat, [OBJECT], how, check_void=False)
        how = replace(how, mark_only=options.square)
    parts: list[Polygons] = []
    owners: list[Indices] = []
    for regions in finished_regions(strips, flat, [OBJECT], how, check_void=False):
        if len(regions):
            moved, owner = _moved_back(regions, masks.box, canvas)
            parts.append(finished_polygons(moved, grid, options, how.tolerance))
            owners.append(owner)
    return _collected(np.concatenate(parts), np.concatenate(owners))


def _moved_back(
    regions: Regions, box: NDArray[np.int32], canvas: _Canvas
) -> tuple[Regions, Indices]:
    """Return regions in pixels of the raster, and the object that each belongs to."""
    starts = regions.ring_offsets[regions.region_offsets]
    corner = regions.xy[starts[:-1]].astype(np.int64)
    owner = canvas.objects_at(corner[:, 1], corner[:, 0])
    shift = (box[owner, :2] - canvas.places[owner])[:, ::-1].astype(np.int32)
    xy = regions.xy + np.repeat(shift, np.diff(starts), axis=0)
    return replace(regions, xy=xy), owner


def _collected(parts: Polygons, owner: Indices) -> Polygons:
    """Return the parts of each object as one multipolygon."""
    order = np.argsort(owner, kind="stable")
    polygons: Polygons = shapely.multipolygons(parts[order], indices=owner[order])
    return polygons
