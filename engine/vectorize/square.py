"""Squaring of buildings on the ground, with the original as judge."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from ..geo.grid import Grid
from ..geo.measure import surface_of
from .polygonize import Regions
from .state import KEPT
from .walls import square_rings

MIN_IOU = 0.8
"""Smallest overlap (intersection over union) of a squared polygon with the pixels' outline."""
_FRAME_STEP_PX = 8

FloatArray = NDArray[np.float64]


def simplified(regions: Regions) -> Regions:
    """Return marked regions (``Simplification.mark_only``) without the unmarked vertices."""
    kept = regions.kinds & KEPT != 0
    kept[regions.ring_offsets[1:] - 1] = True
    return regions.with_vertices(kept)


def square_polygons(
    regions: Regions,
    outlines: NDArray[np.object_],
    simple: NDArray[np.object_],
    grid: Grid,
    tolerance_m: float,
) -> NDArray[np.object_]:
    """Return polygons with right angles where that fits, the simplified ones elsewhere.

    A region that shares an edge with another one keeps its simplified outline, since the
    common border would be common no more. So does one whose squared polygon is not valid or
    overlaps the original by less than :data:`MIN_IOU`.

    Args:
        regions: Marked regions.
        outlines: Their full outlines in map coordinates, ``[n]``.
        simple: Their simplified outlines in map coordinates, ``[n]``.
        grid: Grid of the raster.
        tolerance_m: Tolerance of the simplification.
    """
    squared = _squared(regions, grid, tolerance_m)
    good = ~regions.shared & shapely.is_valid(squared)
    good &= shapely.is_ccw(shapely.get_exterior_ring(squared)) == shapely.is_ccw(
        shapely.get_exterior_ring(outlines)
    )
    common = shapely.area(shapely.intersection(outlines[good], squared[good]))
    union = shapely.area(outlines[good]) + shapely.area(squared[good]) - common
    good[good] = common >= MIN_IOU * union
    return np.where(good, squared, simple)


def _squared(regions: Regions, grid: Grid, tolerance_m: float) -> NDArray[np.object_]:
    """Return all regions with right angles, in map coordinates, good or not."""
    rings_of = np.diff(regions.region_offsets)
    is_shell = np.zeros(len(regions.ring_offsets) - 1, np.bool_)
    is_shell[regions.region_offsets[:-1]] = True
    vertices = regions.ring_offsets[regions.region_offsets]
    index = np.repeat(np.arange(len(regions)), np.diff(vertices))
    origins_px = regions.xy[vertices[:-1]]
    frames = ground_frames(origins_px, grid)
    offset = (regions.xy - origins_px[index]).astype(np.float64) @ _linear(grid).T
    points = np.einsum("vij,vj->vi", frames[index], offset)
    found = np.empty((2 * len(points) + 4 * len(is_shell), 2))
    kept = regions.kinds & KEPT != 0
    offsets = square_rings(points, kept, regions.ring_offsets, is_shell, tolerance_m, found)
    owner = np.repeat(np.arange(len(regions)), np.diff(offsets[regions.region_offsets]))
    x, y = grid.pixel_to_map(origins_px[:, 1], origins_px[:, 0])
    back = np.linalg.inv(frames)
    xy = np.einsum("vij,vj->vi", back[owner], found[: offsets[-1]])
    xy += np.column_stack([x, y])[owner]
    starts = np.concatenate([[0], np.cumsum(rings_of)])
    polygons: NDArray[np.object_] = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON, xy, (offsets, starts)
    )
    return polygons


def _linear(grid: Grid) -> FloatArray:
    """Return the 2 by 2 matrix from steps in (column, row) to steps in map units."""
    a, b, _, d, e, _ = grid.transform[:6]
    return np.array([[a, b], [d, e]])


def ground_frames(places_px: NDArray[np.int32], grid: Grid) -> FloatArray:
    """Return matrices from steps in map units to metres on the ground, one per place.

    Lengths and angles are those on the ellipsoid around the place; the first axis runs along
    the map's x.

    Args:
        places_px: Places as (column, row), ``[n, 2]``.
        grid: Grid of the raster.

    Returns:
        Matrices ``float64[n, 2, 2]``.
    """
    surface = surface_of(grid.crs_wkt)
    x, y = grid.pixel_to_map(places_px[:, 1], places_px[:, 0])
    step = _FRAME_STEP_PX * float(np.abs(_linear(grid)).max())
    ends = [(x + step, y), (x - step, y), (x, y + step), (x, y - step)]
    east, west, north, south = (surface.points(np.column_stack(end)) for end in ends)
    u, v = (east - west) / (2 * step), (north - south) / (2 * step)
    uu, uv, vv = (np.einsum("ni,ni->n", p, q) for p, q in ((u, u), (u, v), (v, v)))
    frames = np.zeros((len(x), 2, 2))
    frames[:, 0, 0] = np.sqrt(uu)
    frames[:, 0, 1] = uv / frames[:, 0, 0]
    frames[:, 1, 1] = np.sqrt(vv - frames[:, 0, 1] ** 2)
    return frames
