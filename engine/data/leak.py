"""Whether training, validation and test ground are apart, measured on the chips themselves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from ..geo.grid import Grid
from ..geo.measure import surface_of
from ..geo.windows import Window

SPLIT_RANK = {"train": 0, "val": 1, "test": 2}
_CORNERS = ((0, 0), (0, 1), (1, 1), (1, 0))


class PlacedChip(NamedTuple):
    """A chip on the ground: number of its source, its window there, its part."""

    source: int
    window: Window
    split: str


def leak_check(grids: Sequence[Grid], chips: Sequence[PlacedChip]) -> dict[str, Any]:
    """Return how many pixels parts share and how far apart they are.

    Args:
        grids: Grid of each source.
        chips: All chips.

    Returns:
        ``shared_pixels``, and ``smallest_distance_m`` between chips of different parts (0 if
        they touch), None if there is one part only.
    """
    footprints = footprints_m(grids, chips)
    shared, distance = 0, math.inf
    for low, high in _pairs_of_parts(chips):
        shared += _shared_pixels(grids, chips, footprints, low, high)
        tree = shapely.STRtree(footprints[high])
        _, near = tree.query_nearest(footprints[low], return_distance=True, all_matches=False)
        distance = min(distance, float(near.min()))
    found = None if math.isinf(distance) else round(distance, 3)
    return {"shared_pixels": shared, "smallest_distance_m": found}


def on_foreign_ground(grids: Sequence[Grid], chips: Sequence[PlacedChip]) -> set[int]:
    """Return the chips to leave out because another raster shows their ground in another part.

    Test keeps its chips, validation gives way to test, and training to both.
    """
    if len(grids) < 2:
        return set()
    footprints = footprints_m(grids, chips)
    dropped: set[int] = set()
    for low, high in _pairs_of_parts(chips):
        tree = shapely.STRtree(footprints[high])
        mine, theirs = tree.query(footprints[low], predicate="intersects")
        for i, j in zip(low[mine], high[theirs], strict=True):
            if chips[i].source != chips[j].source:
                area = shapely.area(shapely.intersection(footprints[i], footprints[j]))
                if area > 0.5 * _pixel_area_m2(grids[chips[i].source]):
                    dropped.add(int(i))
    return dropped


def same_ground(grids: Sequence[Grid], blocks: Sequence[tuple[int, Window]]) -> NDArray[np.int64]:
    """Return a number for each block, equal for blocks of different rasters on the same ground.

    Two blocks lie on the same ground if one has more than half of the other's.

    Args:
        grids: Grid of each raster.
        blocks: Number of the raster and window of each block.
    """
    numbers = np.arange(len(blocks))
    if len(grids) < 2 or not len(blocks):
        return numbers
    footprints = footprints_m(grids, [PlacedChip(s, window, "") for s, window in blocks])
    areas = shapely.area(footprints)
    first, second = shapely.STRtree(footprints).query(footprints, predicate="intersects")
    for i, j in zip(first.tolist(), second.tolist(), strict=True):
        if blocks[i][0] < blocks[j][0] and numbers[i] != numbers[j]:
            common = float(shapely.area(shapely.intersection(footprints[i], footprints[j])))
            if common > 0.5 * min(areas[i], areas[j]):
                numbers[numbers == numbers[j]] = numbers[i]
    return np.unique(numbers, return_inverse=True)[1].astype(np.int64)


def _pairs_of_parts(
    chips: Sequence[PlacedChip],
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the numbers of the chips of each two parts, the less important part first."""
    ranks = np.array([SPLIT_RANK[chip.split] for chip in chips], np.int64)
    parts = [np.flatnonzero(ranks == rank) for rank in range(len(SPLIT_RANK))]
    return [(a, b) for a, b in itertools.combinations(parts, 2) if len(a) and len(b)]


def _shared_pixels(
    grids: Sequence[Grid],
    chips: Sequence[PlacedChip],
    footprints: NDArray[Any],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
) -> int:
    """Return the pixels of ``low`` that lie in ``high`` too; exact inside one raster."""
    mine, theirs = shapely.STRtree(footprints[high]).query(footprints[low], predicate="intersects")
    total = 0
    for i, j in zip(low[mine], high[theirs], strict=True):
        first, second = chips[i], chips[j]
        if first.source == second.source:
            common = first.window.intersection(second.window)
            total += common.height * common.width if common else 0
        else:
            area = float(shapely.area(shapely.intersection(footprints[i], footprints[j])))
            total += round(area / _pixel_area_m2(grids[first.source]))
    return total


def _pixel_area_m2(grid: Grid) -> float:
    return math.prod(grid.pixel_size_m)


def footprints_m(grids: Sequence[Grid], chips: Sequence[PlacedChip]) -> NDArray[Any]:
    """Return the outlines of chips in metres on one plane, ``[n]`` polygons.

    Rasters with a CRS are seen from the plane that touches the Earth in their middle, so
    rasters of different CRS can be compared; those without one use their map units.
    """
    points = np.concatenate([_corners(grids[chip.source], chip.window) for chip in chips])
    if any(grid.crs_wkt for grid in grids):
        center = points.mean(axis=0)
        up = center / np.linalg.norm(center)
        east = np.cross([0.0, 0.0, 1.0], up)
        length = np.linalg.norm(east)
        east = east / length if length > 0 else np.array([1.0, 0.0, 0.0])
        plane = np.column_stack([east, np.cross(up, east)])
        points = (points - center) @ plane
    else:
        points = points[:, :2]
    return np.asarray(shapely.polygons(points.reshape(len(chips), len(_CORNERS), 2)))


def _corners(grid: Grid, window: Window) -> NDArray[np.float64]:
    """Return the corners of a window as points in space, ``[4, 3]``."""
    rows = [window.row_off + down * window.height for down, _ in _CORNERS]
    cols = [window.col_off + right * window.width for _, right in _CORNERS]
    return surface_of(grid.crs_wkt).points(np.column_stack(grid.pixel_to_map(rows, cols)))
