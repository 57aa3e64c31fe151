"""Grids place pixels on the map, in metres and back."""

import math

import numpy as np
import pyproj
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import JobError, RasterError
from engine.geo.grid import Grid, crs_to_wkt
from engine.geo.windows import Window
from tests.factories import DEGREES, NORTH_UP_2X1_M, ROTATED_1_M, SOUTH_UP_1_M

UTM = pyproj.CRS(32645).to_wkt()
WGS84 = pyproj.CRS(4326).to_wkt()


def test_the_outer_corner_is_pixel_zero():
    grid = Grid(37, 61, NORTH_UP_2X1_M, UTM)
    assert grid.pixel_to_map(0, 0) == (330_000.0, 3_060_000.0)
    assert grid.pixel_to_map(0.5, 0.5) == (330_001.0, 3_059_999.5)
    assert grid.bounds == (330_000.0, 3_060_000.0 - 37, 330_000.0 + 122, 3_060_000.0)


@given(row=st.floats(-100, 100), col=st.floats(-100, 100))
@pytest.mark.parametrize("transform", [NORTH_UP_2X1_M, SOUTH_UP_1_M, ROTATED_1_M, DEGREES])
def test_map_to_pixel_undoes_pixel_to_map(transform, row, col):
    grid = Grid(37, 61, transform, "")
    rows, cols = grid.map_to_pixel(*grid.pixel_to_map(row, col))
    assert (float(rows), float(cols)) == pytest.approx((row, col), abs=1e-6)


@pytest.mark.parametrize("transform", [NORTH_UP_2X1_M, SOUTH_UP_1_M, ROTATED_1_M, DEGREES])
def test_a_window_and_a_scaled_grid_keep_their_ground(transform):
    grid = Grid(37, 61, transform, UTM)
    part = grid.window(Window(5, 7, 11, 13))
    assert part.pixel_to_map(2, 3) == pytest.approx(grid.pixel_to_map(7, 10))
    assert (part.height, part.width) == (11, 13)
    fine = grid.scaled(74, 61)
    assert fine.bounds == pytest.approx(grid.bounds, rel=1e-12)
    assert fine.pixel_to_map(2, 1) == pytest.approx(grid.pixel_to_map(1, 1))


@pytest.mark.parametrize("epsg", [32645, 2154, 3857, 3031, 2263, 4326])
def test_pixel_size_agrees_with_proj_geodesics(epsg):
    crs = pyproj.CRS(epsg)
    place = {32645: (330e3, 3060e3), 2154: (650e3, 6860e3), 3857: (9.5e6, 6e6),
             3031: (5e5, 3e5), 2263: (990e3, 200e3), 4326: (85.5, 60.0)}[epsg]  # fmt: skip
    step = 1e-6 if epsg == 4326 else 0.3
    grid = Grid(101, 51, Affine(2 * step, 0, place[0], 0, -step, place[1]), crs.to_wkt())
    xs, ys = grid.pixel_to_map([50, 51, 50.5, 50.5], [25.5, 25.5, 25, 26])
    to_lonlat = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    lon, lat = to_lonlat.transform(xs, ys)
    _, _, metres = crs.get_geod().inv(lon[::2], lat[::2], lon[1::2], lat[1::2])
    assert grid.pixel_size_m == pytest.approx(metres, rel=1e-5)
    assert grid.gsd_m == pytest.approx(math.sqrt(metres[0] * metres[1]), rel=1e-5)


def test_degrees_shrink_towards_the_pole():
    grid = Grid(100, 100, Affine(1e-6, 0, 10, 0, -1e-6, 60), WGS84)
    height_m, width_m = grid.pixel_size_m
    assert width_m / height_m == pytest.approx(0.5, rel=0.01)
    assert height_m == pytest.approx(1e-6 * 111_412, rel=1e-3)


def test_without_a_crs_the_unit_is_the_maps():
    grid = Grid(10, 10, Affine.rotation(30) @ Affine.scale(3, -12), "")
    assert grid.pixel_size_m == pytest.approx((12, 3))
    assert grid.gsd_m == pytest.approx(6)


def test_a_local_crs_in_feet_is_planar():
    wkt = 'LOCAL_CS["site",UNIT["foot",0.3048],AXIS["x",EAST],AXIS["y",NORTH]]'
    grid = Grid(10, 10, Affine(10, 0, 0, 0, -10, 0), pyproj.CRS(wkt).to_wkt())
    assert grid.gsd_m == pytest.approx(3.048)


def test_an_unknown_crs_is_named():
    with pytest.raises(RasterError, match="nonsense"):
        _ = Grid(1, 1, NORTH_UP_2X1_M, "nonsense").gsd_m
    with pytest.raises(JobError, match="EPSG:99999999"):
        crs_to_wkt("EPSG:99999999")
    assert pyproj.CRS(crs_to_wkt("EPSG:32645")) == pyproj.CRS(32645)
    assert np.isfinite(Grid(1, 1, NORTH_UP_2X1_M, crs_to_wkt("EPSG:32645")).gsd_m)
