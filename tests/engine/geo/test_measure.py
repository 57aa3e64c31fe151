"""Areas and lengths on the ellipsoid, against PROJ's geodesics and closed formulas."""

import math

import numpy as np
import pyproj
import pytest
import shapely

from engine.geo.grid import measure

PLACES = {
    32645: (330_000.0, 3_060_000.0, 1.0),
    4326: (85.5, 60.0, 1e-5),
    3857: (9.5e6, 8.0e6, 1.0),
    2263: (990_000.0, 200_000.0, 3.3),
    2154: (650_000.0, 6_860_000.0, 1.0),
    4807: (2.5, 54.0, 1e-5),
    3413: (400_000.0, -700_000.0, 1.0),
}
"""x, y and map units per metre, roughly; 4807 is in grads from Paris."""


def stars(x, y, size, count=50, seed=0):
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, (count, 24)), axis=1)
    reach = size * rng.uniform(0.3, 1.0, angle.shape)
    return shapely.polygons(
        np.stack([x + reach * np.cos(angle), y + reach * np.sin(angle)], axis=-1)
    )


def geodesic(polygons, crs):
    to_lonlat = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    degrees = math.degrees(crs.geodetic_crs.axis_info[0].unit_conversion_factor)
    found = []
    for polygon in polygons:
        lon, lat = to_lonlat.transform(*shapely.get_coordinates(polygon).T)
        geod = crs.get_geod()
        found.append(
            geod.polygon_area_perimeter(np.asarray(lon) * degrees, np.asarray(lat) * degrees)
        )
    return np.abs(found).T


@pytest.mark.parametrize("size_m", [10.0, 300.0, 4000.0])
@pytest.mark.parametrize("epsg", PLACES)
def test_polygons_agree_with_geodesics_to_a_ten_thousandth(epsg, size_m):
    x, y, unit = PLACES[epsg]
    crs = pyproj.CRS(epsg)
    polygons = stars(x, y, size_m * unit)
    area, perimeter = measure(polygons, crs.to_wkt())
    true_area, true_perimeter = geodesic(polygons, crs)
    np.testing.assert_allclose(area, true_area, rtol=1e-4)
    np.testing.assert_allclose(perimeter, true_perimeter, rtol=1e-6)


def test_holes_are_taken_off_and_parts_added_up():
    block = shapely.box(0, 0, 10, 10).difference(shapely.box(2, 2, 4, 5))
    two = shapely.union_all([block, shapely.box(20, 0, 21, 2)])
    area, perimeter = measure(np.array([block, shapely.Polygon(), two], dtype=object), "")
    np.testing.assert_allclose(area, [94.0, 0.0, 96.0])
    np.testing.assert_allclose(perimeter, [50.0, 0.0, 56.0])


def test_no_polygons_have_no_measures():
    area, perimeter = measure(np.array([], dtype=object), pyproj.CRS(32645).to_wkt())
    assert area.shape == perimeter.shape == (0,)


def test_a_cap_around_the_pole_has_the_area_of_a_cap():
    crs = pyproj.CRS(3031)
    angle = np.linspace(0, 2 * np.pi, 721)[:-1]
    ring = shapely.polygons(1000.0 * np.column_stack([np.cos(angle), np.sin(angle)]))
    scale = pyproj.Proj(crs).get_factors(0, -89.999).meridional_scale
    area, perimeter = measure(np.array([ring]), crs.to_wkt())
    assert scale == pytest.approx(0.97277, abs=1e-4)
    assert perimeter[0] == pytest.approx(2 * math.pi * 1000 / scale, rel=2e-5)
    assert area[0] == pytest.approx(math.pi * (1000 / scale) ** 2, rel=3e-5)


def test_the_date_line_is_no_edge():
    wkt = pyproj.CRS(4326).to_wkt()
    across = shapely.box(179.99, 10.0, 180.01, 10.02)
    elsewhere = shapely.box(20.0, 10.0, 20.02, 10.02)
    area, perimeter = measure(np.array([across, elsewhere]), wkt)
    assert area[0] == pytest.approx(area[1], rel=1e-9)
    assert perimeter[0] == pytest.approx(perimeter[1], rel=1e-9)


def test_a_large_cell_of_parallels_and_meridians_has_the_closed_formula_area():
    geod = pyproj.Geod(ellps="WGS84")
    e = math.sqrt(geod.es)

    def zone(lat):  # area from the equator to a latitude, per radian of longitude
        s = math.sin(lat)
        return geod.b**2 / 2 * (s / (1 - geod.es * s * s) + math.atanh(e * s) / e)

    for size_degrees in (0.1, 1.0):
        cell = shapely.box(10, 60, 10 + size_degrees, 60 + size_degrees)
        low, high = math.radians(60), math.radians(60 + size_degrees)
        true = math.radians(size_degrees) * (zone(high) - zone(low))
        area, _ = measure(np.array([cell]), pyproj.CRS(4326).to_wkt())
        assert area[0] == pytest.approx(true, rel=1e-5)
