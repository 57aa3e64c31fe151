"""Which simplified arcs meet where they must not, so that they are simplified less.

The regions of a raster, those without a class included, tile it. If each of them is valid and
its rings have kept their orientation after simplification, then they still tile it: the winding
numbers of all regions add up to one everywhere inside the frame, and none is negative. So it is
enough to look at one region at a time, and the neighbours need not be in memory together.

Rings of one region may touch only at a common vertex; a vertex on another ring's edge is valid
for GEOS, but the neighbour between them would have no width there. All vertices are whole
numbers (grid coordinates), for which the predicates of GEOS are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from .polygonize import Regions
from .state import ARC_BACKWARDS, ARC_DIRECTION_MASK, ARC_DIRECTION_SHIFT, ARC_START

_PIECE_SEGMENTS = 16
_BLOCK_PAIRS = 1 << 20

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Arcs:
    """The arcs of some regions, in the order of their rings.

    Attributes:
        start: First vertex of each arc in ``Regions.xy``.
        stop: Last vertex, the first of the next arc or its copy that closes the ring.
        ring: Ring of each arc.
        region: Region of each arc.
        key: Name of each arc, equal in both regions that share it.
    """

    start: Indices
    stop: Indices
    ring: Indices
    region: Indices
    key: Indices


def bad_arcs(regions: Regions, width: int, *, reach_px: float, whole: bool = False) -> Indices:
    """Return the keys of arcs that must be simplified less.

    Args:
        regions: Simplified regions.
        width: Columns of the raster.
        reach_px: The tolerance of the simplification in pixels, of the shorter side.
        whole: Whether to name all arcs of a region with a conflict, not only those in it.

    Returns:
        Sorted keys; none if all regions are sound.
    """
    if not len(regions):
        return np.zeros(0, np.int64)
    ring_region = _ring_regions(regions)
    wrong_ring = _collapsed_or_turned(regions)
    invalid = np.zeros(len(regions), bool)
    sound = np.bincount(ring_region[wrong_ring], minlength=len(regions)) == 0
    invalid[sound] = ~shapely.is_valid(_polygons(regions, sound))
    suspects = invalid | (sound & (np.diff(regions.region_offsets) > 1))
    arcs = _arcs(regions, ring_region, suspects | ~sound, width)
    bad = wrong_ring[arcs.ring]
    pairs = _conflicts(regions, arcs, suspects[arcs.region])
    bad[pairs] = True
    explained = np.zeros(len(regions), bool)
    explained[arcs.region[bad]] = True
    if whole:
        bad |= (explained | invalid)[arcs.region]
    for region in np.flatnonzero(invalid & ~explained):
        bad |= _misplaced(regions, arcs, int(region), reach_px)
    return np.unique(arcs.key[bad])


def _ring_regions(regions: Regions) -> Indices:
    return np.repeat(np.arange(len(regions)), np.diff(regions.region_offsets))


def _collapsed_or_turned(regions: Regions) -> NDArray[np.bool_]:
    """Return which rings have no area left, or one of the other sign."""
    x, y = regions.xy.T.astype(np.int64)
    cross = np.zeros(len(x), np.int64)
    cross[:-1] = x[1:] * y[:-1] - x[:-1] * y[1:]
    cross[regions.ring_offsets[1:] - 1] = 0  # from the last vertex of a ring to the next ring
    area = np.add.reduceat(cross, regions.ring_offsets[:-1])
    is_shell = np.zeros(len(area), bool)
    is_shell[regions.region_offsets[:-1]] = True
    wrong: NDArray[np.bool_] = np.where(is_shell, area <= 0, area >= 0)
    return wrong


def _polygons(regions: Regions, chosen: NDArray[np.bool_]) -> NDArray[np.object_]:
    """Return the chosen regions as polygons in grid coordinates."""
    rings = np.repeat(chosen, np.diff(regions.region_offsets))
    lengths = np.diff(regions.ring_offsets)
    vertices = np.repeat(rings, lengths)
    polygons: NDArray[np.object_] = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON,
        regions.xy[vertices].astype(np.float64),
        (_offsets(lengths[rings]), _offsets(np.diff(regions.region_offsets)[chosen])),
    )
    return polygons


def _offsets(lengths: Indices) -> Indices:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _arcs(regions: Regions, ring_region: Indices, chosen: NDArray[np.bool_], width: int) -> Arcs:
    """Return the arcs of the chosen regions."""
    start = np.flatnonzero(regions.kinds & ARC_START)
    ring = np.searchsorted(regions.ring_offsets, start, side="right") - 1
    last = regions.ring_offsets[ring + 1] - 1
    stop = np.minimum(np.append(start[1:], len(regions.xy)), last)
    kind = regions.kinds[start]
    x, y = regions.xy[np.where(kind & ARC_BACKWARDS, stop, start)].T.astype(np.int64)
    key = (y * (width + 1) + x) * 4 + ((kind >> ARC_DIRECTION_SHIFT) & ARC_DIRECTION_MASK)
    kept = chosen[ring_region[ring]]
    return Arcs(start[kept], stop[kept], ring[kept], ring_region[ring[kept]], key[kept])


def _lines(regions: Regions, start: Indices, stop: Indices) -> NDArray[np.object_]:
    """Return lines from vertex to vertex, both included."""
    lengths = stop - start + 1
    index = np.repeat(np.arange(len(start)), lengths)
    within = np.arange(len(index)) - np.repeat(_offsets(lengths)[:-1], lengths)
    lines: NDArray[np.object_] = shapely.linestrings(
        regions.xy[start[index] + within].astype(np.float64), indices=index
    )
    return lines


def _conflicts(regions: Regions, arcs: Arcs, chosen: NDArray[np.bool_]) -> Indices:
    """Return the arcs that cross or touch another arc of their region, or themselves.

    Arcs are compared in pieces of a few segments, so that long ones cost no more than others.
    """
    picked = np.flatnonzero(chosen)
    if not len(picked):
        return picked
    counts = -(-(arcs.stop[picked] - arcs.start[picked]) // _PIECE_SEGMENTS)
    owner = np.repeat(picked, counts)
    number = np.arange(len(owner)) - np.repeat(_offsets(counts)[:-1], counts)
    start = arcs.start[owner] + number * _PIECE_SEGMENTS
    pieces = _lines(regions, start, np.minimum(start + _PIECE_SEGMENTS, arcs.stop[owner]))
    a, b = shapely.STRtree(pieces).query(pieces)
    near = (a < b) & (arcs.region[owner[a]] == arcs.region[owner[b]])
    a, b = a[near], b[near]
    meeting = shapely.intersects(pieces[a], pieces[b])
    a, b = a[meeting], b[meeting]
    found = [owner[~shapely.is_simple(pieces)]]
    for block in range(0, len(a), _BLOCK_PAIRS):
        i, j = a[block : block + _BLOCK_PAIRS], b[block : block + _BLOCK_PAIRS]
        common = shapely.intersection(pieces[i], pieces[j])
        wrong = ~_only_shared_vertices(common, pieces[i], pieces[j])
        found += [owner[i[wrong]], owner[j[wrong]]]
    return np.unique(np.concatenate(found))


def _only_shared_vertices(
    common: NDArray[np.object_], first: NDArray[np.object_], second: NDArray[np.object_]
) -> NDArray[np.bool_]:
    """Return where two lines have nothing in common but vertices of both."""
    fine: NDArray[np.bool_] = shapely.get_dimensions(common) == 0
    points, index = shapely.get_coordinates(common, return_index=True)
    fine[index[(points != np.rint(points)).any(axis=1)]] = False
    keys = _vertex_keys(points, index)
    for lines in (first, second):
        vertices = _vertex_keys(*shapely.get_coordinates(lines, return_index=True))
        fine[index[~np.isin(keys, vertices)]] = False
    return fine


def _vertex_keys(points: NDArray[np.float64], line: Indices) -> Indices:
    """Return one number for each vertex of each line: 21 bits each for line, row and column."""
    x, y = np.rint(points).astype(np.int64).T
    keys: Indices = (line << 42) | (y << 21) | x
    return keys


def _misplaced(regions: Regions, arcs: Arcs, region: int, reach_px: float) -> NDArray[np.bool_]:
    """Return the arcs to blame where a hole has left its shell or lies in another hole.

    An arc has then been drawn over the whole hole, and is no farther from it than the
    tolerance. If no such hole is found, all arcs of the region are to blame.
    """
    own: NDArray[np.bool_] = arcs.region == region
    rings = np.arange(regions.region_offsets[region], regions.region_offsets[region + 1])
    polygons = np.array(
        [shapely.Polygon(regions.xy[slice(*regions.ring_offsets[r : r + 2])]) for r in rings]
    )
    lost = ~shapely.covers(polygons[0], polygons)
    inner, outer = shapely.STRtree(polygons[1:]).query(polygons[1:], predicate="covered_by")
    lost[1 + inner[inner != outer]] = True
    if not lost.any():
        return own
    lines = _lines(regions, arcs.start[own], arcs.stop[own])
    _, near = shapely.STRtree(lines).query(polygons[lost], "dwithin", reach_px * 1.01 + 1e-6)
    blamed = np.zeros(len(own), bool)
    blamed[np.flatnonzero(own)[near]] = True
    return blamed
