"""From strips of labels to batches of features, with bounded memory."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from ..geo.grid import Grid, measure
from ..geo.vector import FeatureBatch
from .coverage import bad_arcs
from .polygonize import PIECE_PX, Polygonizer, Regions, Simplification
from .simplify import MAX_LEVEL
from .square import simplified, square_polygons
from .state import SCORE_SCALE

__all__ = ["FeatureBatch", "Strip", "VectorOptions", "vectorize"]

logger = logging.getLogger(__name__)

BATCH_POLYGONS = 20_000
BATCH_VERTICES = 500_000
MAX_CHECKS = 16
WHOLE_REGIONS_AT = 8


@dataclass(frozen=True)
class Strip:
    """Finished rows of a raster, in its full width.

    Attributes:
        row_off: First row in the raster.
        labels: Class ids ``uint8[h, W]``, 255 = nodata.
        scores: Scores ``uint8[h, W]``, ``round(254 * p)``, 255 = nodata.
    """

    row_off: int
    labels: NDArray[np.uint8]
    scores: NDArray[np.uint8]


@dataclass(frozen=True)
class VectorOptions:
    """How regions become polygons.

    Attributes:
        min_area_m2: Smaller polygons are left out.
        simplify_m: Largest distance in metres between a removed vertex and the outline, 0
            keeps the outline of the pixels.
        square: Whether polygons get right angles (buildings). Without ``simplify_m``, their
            outlines are first simplified by one pixel diagonal.
    """

    min_area_m2: float = 0.0
    simplify_m: float = 0.0
    square: bool = False


def vectorize(
    strips: Callable[[], Iterator[Strip]],
    grid: Grid,
    class_ids: Collection[int],
    options: VectorOptions,
) -> Iterator[FeatureBatch]:
    """Yield the 4-connected regions of the wanted classes as polygons in map coordinates.

    Polygons are valid, with holes, exterior rings counter-clockwise, and neighbours share
    their borders: where three regions meet, all of them have a vertex. Simplified polygons
    share them too; for that, the strips are read more than once: outlines that would cross or
    touch after simplification are found first, and are simplified less or not at all.

    Args:
        strips: Returns the strips from the top, without gaps; may be called again.
        grid: Grid of the raster.
        class_ids: Classes that become polygons.
        options: How.

    Yields:
        Batches of at most 20 000 polygons, in the order in which regions end. A score is the
        mean of the region's pixels, 0 where no pixel has one.

    Raises:
        ValueError: If the strips do not fit the grid or each other.
        RasterError: If the CRS of the grid cannot be understood.
    """
    how = simplification(grid, options)
    if how.tolerance > 0:
        how = without_conflicts(strips, grid, class_ids, how)
        how = replace(how, mark_only=options.square)
    for regions in finished_regions(strips, grid, class_ids, how, check_void=False):
        for part in _parts(regions):
            yield from _features(part, grid, options, how.tolerance)


def simplification(grid: Grid, options: VectorOptions) -> Simplification:
    """Return the tolerance in metres with the size of the pixels in metres."""
    height_m, width_m = grid.pixel_size_m
    tolerance_m = options.simplify_m
    if options.square and tolerance_m <= 0:
        tolerance_m = math.hypot(height_m, width_m)
    return Simplification(tolerance_m, (width_m, height_m))


def without_conflicts(
    strips: Callable[[], Iterator[Strip]],
    grid: Grid,
    class_ids: Collection[int],
    how: Simplification,
    *,
    check_void: bool = True,
) -> Simplification:
    """Return the simplification with less of it for those arcs that would meet others.

    Everything is simplified, with ``check_void`` pixels without a class included, and each
    region is checked; without it, regions may come to overlap each other.
    Arcs in conflict go up one level, and the new outlines are checked again. Original outlines
    have no conflicts, so this comes to an end; should it take too many passes, nothing is
    simplified.
    """
    reach_px = how.tolerance / min(how.steps)
    arcs, levels = np.zeros(0, np.int64), np.zeros(0, np.uint8)
    for attempt in range(MAX_CHECKS):
        how = replace(how, arcs=arcs, levels=levels)
        found = [
            bad_arcs(regions, grid.width, reach_px=reach_px, whole=attempt >= WHOLE_REGIONS_AT)
            for regions in finished_regions(strips, grid, class_ids, how, check_void=check_void)
        ]
        bad = np.unique(np.concatenate(found))
        if not len(bad):
            return how
        logger.info("check %d: %d arcs would meet others", attempt + 1, len(bad))
        arcs, levels = _raised(arcs, levels, bad)
    logger.warning("outlines are not simplified: %d checks found conflicts", MAX_CHECKS)
    return replace(how, tolerance=0.0)


def _raised(
    arcs: NDArray[np.int64], levels: NDArray[np.uint8], bad: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return sorted arcs and their levels, with the bad ones one level higher."""
    every = np.union1d(arcs, bad)
    level = np.zeros(len(every), np.uint8)
    level[np.searchsorted(every, arcs)] = levels
    level[np.searchsorted(every, bad)] += 1
    return every, np.minimum(level, MAX_LEVEL).astype(np.uint8)


def finished_regions(
    strips: Callable[[], Iterator[Strip]],
    grid: Grid,
    class_ids: Collection[int],
    how: Simplification,
    *,
    check_void: bool,
) -> Iterator[Regions]:
    """Run the polygoniser over all strips."""
    tracer = Polygonizer(grid.height, grid.width, class_ids, how, check_void=check_void)
    rows = max(1, PIECE_PX // max(1, grid.width))
    for strip in strips():
        if strip.row_off != tracer.row:
            raise ValueError(f"strip starts at row {strip.row_off}, expected {tracer.row}")
        for start in range(0, len(strip.labels), rows):
            piece = slice(start, start + rows)
            yield tracer.push(strip.labels[piece], strip.scores[piece])
    if tracer.row != grid.height:
        raise ValueError(f"the strips end at row {tracer.row} of {grid.height}")


def _parts(regions: Regions) -> Iterator[Regions]:
    """Cut regions into parts of bounded size; a region with very many vertices is one part."""
    ends = regions.ring_offsets[regions.region_offsets]
    start = 0
    while start < len(regions):
        stop = int(np.searchsorted(ends, ends[start] + BATCH_VERTICES, side="right")) - 1
        stop = min(max(stop, start + 1), start + BATCH_POLYGONS, len(regions))
        yield regions.part(start, stop)
        start = stop


def _features(
    regions: Regions, grid: Grid, options: VectorOptions, tolerance_m: float
) -> Iterator[FeatureBatch]:
    """Turn finished regions into a batch, without those that are too small."""
    polygons = finished_polygons(regions, grid, options, tolerance_m)
    area_m2, perimeter_m = measure(polygons, grid.crs_wkt)
    kept = area_m2 >= options.min_area_m2
    if not kept.any():
        return
    score = regions.score_sum / (SCORE_SCALE * np.maximum(regions.scored, 1))
    yield FeatureBatch(
        wkb=shapely.to_wkb(polygons[kept]),
        class_id=regions.label[kept],
        score=score[kept].astype(np.float32),
        area_m2=area_m2[kept],
        perimeter_m=perimeter_m[kept],
    )


def finished_polygons(
    regions: Regions, grid: Grid, options: VectorOptions, tolerance_m: float
) -> NDArray[np.object_]:
    """Return the polygons of regions in map coordinates, squared if that is wanted.

    Args:
        regions: Simplified regions, or marked ones that are to be squared.
        grid: Grid of their coordinates.
        options: How.
        tolerance_m: Tolerance of the simplification; 0 if there was none.
    """
    polygons = map_polygons(regions, grid)
    if options.square and tolerance_m > 0:
        simple = map_polygons(simplified(regions), grid)
        polygons = square_polygons(regions, polygons, simple, grid, tolerance_m)
    return polygons


def map_polygons(regions: Regions, grid: Grid) -> NDArray[np.object_]:
    """Return the polygons of regions in map coordinates, exteriors counter-clockwise."""
    xs, ys = grid.pixel_to_map(regions.xy[:, 1], regions.xy[:, 0])
    polygons: NDArray[np.object_] = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON,
        np.column_stack([xs, ys]),
        (regions.ring_offsets, regions.region_offsets),
    )
    if grid.transform.determinant > 0:  # rows run north: the map is a mirror image
        polygons = shapely.reverse(polygons)
    return polygons
