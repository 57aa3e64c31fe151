"""Lengths and areas in metres for coordinates in any CRS.

Points are placed on the ellipsoid and seen as points in space (Earth-centred Cartesian
coordinates): an edge is the chord of its ends, corrected to the arc, and the area of a ring
is the length of its vector area. Both are exact to about ``(size / Earth radius)²`` and have
no trouble at poles and at the date line. Rings of some kilometres are densified first, and
rings too large for a chord are handed to PROJ's geodesic routines.
"""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from pyproj.exceptions import CRSError

from ..errors import RasterError
from .jit import kernel
from .lattice import lattice_points

EARTH_RADIUS_M = 6_371_000.0
LONG_M = 2_000.0
"""Rings that reach farther get more vertices: edges are straight on the map, not in space."""
HUGE_M = 50_000.0
"""Rings that reach farther are measured by PROJ."""
DENSIFY_PARTS = 32
SHORT = 1e-4
"""Chords of up to this part of the Earth's diameter are as long as their arcs."""
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Surface:
    """How coordinates of a CRS become points in space.

    Attributes:
        to_geodetic: Transformer to longitude and latitude, None if they are it already.
        radians: Radians per unit of longitude and latitude.
        geod: The ellipsoid; None for a CRS that is not tied to the Earth.
        metres: Metres per map unit, used only without an ellipsoid.
    """

    to_geodetic: pyproj.Transformer | None
    radians: float
    geod: pyproj.Geod | None
    metres: float = 1.0

    def lonlat(self, xy: FloatArray) -> FloatArray:
        """Return longitude and latitude in radians, ``[n, 2]``, for map coordinates."""
        if self.to_geodetic is None:
            return xy * self.radians
        lon, lat = self.to_geodetic.transform(xy[:, 0], xy[:, 1])
        return np.column_stack([lon, lat]) * self.radians

    def points(self, xy: FloatArray) -> FloatArray:
        """Return points in space in metres, ``[n, 3]``, for map coordinates ``[n, 2]``.

        Many that lie close together are interpolated, see :mod:`.lattice`.
        """
        if self.geod is None:
            return np.column_stack([xy * self.metres, np.zeros(len(xy))])
        found = lattice_points(self.exact_points, xy)
        return self.exact_points(xy) if found is None else found

    def exact_points(self, xy: FloatArray) -> FloatArray:
        """Return points in space of a CRS with an ellipsoid, each computed for itself.

        Coordinates outside of a projection give points that are not finite.
        """
        if self.geod is None:
            raise ValueError("a CRS that is not tied to the Earth has no points in space")
        lon, lat = self.lonlat(xy).T
        lon, lat = (np.where(np.isfinite(angle), angle, np.nan) for angle in (lon, lat))
        sin_lat, cos_lat = np.sin(lat), np.cos(lat)
        normal = self.geod.a / np.sqrt(1.0 - self.geod.es * sin_lat**2)
        return np.column_stack(
            [
                normal * cos_lat * np.cos(lon),
                normal * cos_lat * np.sin(lon),
                normal * (1.0 - self.geod.es) * sin_lat,
            ]
        )


def surface_of(crs_wkt: str) -> Surface:
    """Return the surface of a CRS; without a CRS, a plane whose unit counts as a metre.

    Raises:
        RasterError: If the CRS cannot be understood.
    """
    return _surface(crs_wkt, threading.get_ident())


@functools.lru_cache(maxsize=64)
def _surface(crs_wkt: str, thread_id: int) -> Surface:
    # PROJ's objects must not be shared between threads, hence the thread in the key.
    if not crs_wkt:
        return Surface(None, 1.0, None)
    try:
        crs = pyproj.CRS.from_user_input(crs_wkt)
    except CRSError:
        raise RasterError(
            f"the CRS {crs_wkt[:60]!r} cannot be understood", "assign a known CRS to the layer"
        ) from None
    geodetic, geod = crs.geodetic_crs, crs.get_geod()
    if geodetic is None or geod is None:
        unit = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 1.0
        return Surface(None, 1.0, None, unit or 1.0)
    radians = geodetic.axis_info[0].unit_conversion_factor
    if crs.is_geographic and not crs.is_bound:
        return Surface(None, radians, geod)
    transformer = pyproj.Transformer.from_crs(crs, geodetic, always_xy=True)
    return Surface(transformer, radians, geod)


def arc_lengths(start: FloatArray, end: FloatArray) -> FloatArray:
    """Return distances along the ground in metres between points in space, ``[n, 3]`` each."""
    chord = np.sqrt(((end - start) ** 2).sum(axis=1))
    half = np.minimum(chord / (2.0 * EARTH_RADIUS_M), 1.0)
    arc: FloatArray = np.where(half > SHORT, 2.0 * EARTH_RADIUS_M * np.arcsin(half), chord)
    return arc


def measure(
    polygons: npt.NDArray[np.object_], crs_wkt: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the area in square metres and the perimeter in metres of each polygon.

    Holes are taken off the area and their outlines count in the perimeter. Without a CRS
    the numbers are planar, in map units.

    Args:
        polygons: Shapely Polygons or MultiPolygons, ``[n]``.
        crs_wkt: CRS of their coordinates; empty means a plane.

    Returns:
        Areas ``float64[n]`` and perimeters ``float64[n]``; 0 for empty geometries.

    Raises:
        RasterError: If the CRS cannot be understood.
    """
    count = len(polygons)
    surface = surface_of(crs_wkt)
    rings, ring_polygon, is_hole = _rings(polygons)
    if not len(rings):
        return np.zeros(count), np.zeros(count)
    areas, lengths, reach_m = _ring_measures(rings, surface)
    if surface.geod is not None:
        long = np.flatnonzero(reach_m > LONG_M)
        dense = _densified(rings[long])
        areas[long], lengths[long], _ = _ring_measures(dense, surface)
        for index in np.flatnonzero(reach_m[long] > HUGE_M):
            lon, lat = np.degrees(surface.lonlat(shapely.get_coordinates(dense[index]))).T
            area, lengths[long[index]] = surface.geod.polygon_area_perimeter(lon, lat)
            areas[long[index]] = abs(area)
    signed = np.where(is_hole, -areas, areas)
    return (
        np.bincount(ring_polygon, signed, minlength=count).astype(np.float64),
        np.bincount(ring_polygon, lengths, minlength=count).astype(np.float64),
    )


def _rings(
    polygons: npt.NDArray[np.object_],
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Return all rings, the polygon of each, and whether it is a hole."""
    parts, part_polygon = shapely.get_parts(polygons, return_index=True)
    rings, ring_part = shapely.get_rings(parts, return_index=True)
    is_hole = np.zeros(len(rings), dtype=bool)
    is_hole[1:] = ring_part[1:] == ring_part[:-1]
    return rings, part_polygon[ring_part], is_hole


def _densified(rings: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """Return the rings with edges of at most a 32nd of their extent."""
    x_min, y_min, x_max, y_max = shapely.bounds(rings).T
    steps = np.maximum(x_max - x_min, y_max - y_min) / DENSIFY_PARTS
    dense: npt.NDArray[np.object_] = shapely.segmentize(rings, steps)
    return dense


def _ring_measures(
    rings: npt.NDArray[np.object_], surface: Surface
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return unsigned area, length and reach of each ring; reach is from its first vertex."""
    if not len(rings):
        return np.zeros(0), np.zeros(0), np.zeros(0)
    xy, ring_of = shapely.get_coordinates(rings, return_index=True)
    starts = np.flatnonzero(np.r_[True, ring_of[1:] != ring_of[:-1], True])
    measures = np.empty((3, len(starts) - 1))
    _measure_rings(surface.points(xy), starts, measures)
    return measures[0], measures[1], measures[2]


@kernel
def _measure_rings(points: FloatArray, starts: npt.NDArray[np.int64], found: FloatArray) -> None:
    """Write area, length and reach of rings of points ``[n, 3]`` into ``found [3, rings]``."""
    for ring in range(len(starts) - 1):
        first, stop = starts[ring], starts[ring + 1]
        x0, y0, z0 = points[first, 0], points[first, 1], points[first, 2]
        ax = ay = az = bx = by = bz = length = reach2 = 0.0
        for i in range(first + 1, stop):
            cx, cy, cz = points[i, 0] - x0, points[i, 1] - y0, points[i, 2] - z0
            ax += by * cz - bz * cy
            ay += bz * cx - bx * cz
            az += bx * cy - by * cx
            chord = np.sqrt((cx - bx) ** 2 + (cy - by) ** 2 + (cz - bz) ** 2)
            half = min(chord / (2.0 * EARTH_RADIUS_M), 1.0)
            length += 2.0 * EARTH_RADIUS_M * np.arcsin(half) if half > SHORT else chord
            reach2 = max(reach2, cx * cx + cy * cy + cz * cz)
            bx, by, bz = cx, cy, cz
        found[0, ring] = 0.5 * np.sqrt(ax * ax + ay * ay + az * az)
        found[1, ring] = length
        found[2, ring] = np.sqrt(reach2)
