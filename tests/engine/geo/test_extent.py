"""Extents become the pixels that they touch, in any CRS and on any grid."""

import math

import pyproj
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import RasterError
from engine.geo.extent import extent_window, intersect
from engine.geo.grid import Grid
from engine.geo.windows import Window
from tests.factories import DEGREES, NORTH_UP_2X1_M, ROTATED_1_M, SOUTH_UP_1_M, SQUARE_1_M

UTM = pyproj.CRS(32645).to_wkt()
WHOLE = Window(0, 0, 37, 61)


@pytest.mark.parametrize("transform", [NORTH_UP_2X1_M, SOUTH_UP_1_M, SQUARE_1_M, DEGREES])
@settings(max_examples=40)
@given(data=st.data())
def test_the_bounds_of_a_window_give_the_window_back(transform, data):
    grid = Grid(37, 61, transform, UTM)
    row, col = data.draw(st.integers(0, 36)), data.draw(st.integers(0, 60))
    window = Window(
        row, col, data.draw(st.integers(1, 37 - row)), data.draw(st.integers(1, 61 - col))
    )
    assert extent_window(grid, grid.window(window).bounds) == window


def test_touched_pixels_belong_and_the_rest_is_clipped():
    grid = Grid(37, 61, NORTH_UP_2X1_M, UTM)
    x, y = 330_000.0, 3_060_000.0
    assert extent_window(grid, (x + 3, y - 5.5, x + 4.5, y - 2.5)) == Window(2, 1, 4, 2)
    assert extent_window(grid, (x - 100, y - 3, x + 1, y + 100)) == Window(0, 0, 3, 1)
    assert extent_window(grid, (x - 1e9, y - 1e9, x + 1e9, y + 1e9)) == WHOLE
    assert extent_window(grid, (x + 10.1, y - 7.6, x + 10.2, y - 7.5)) == Window(7, 5, 1, 1)


def test_on_a_rotated_grid_the_window_holds_the_extent():
    grid = Grid(400, 400, ROTATED_1_M, UTM)
    x, y = (float(v) for v in grid.pixel_to_map(200, 200))
    window = extent_window(grid, (x - 10, y - 10, x + 10, y + 10))
    half = 10 * (math.cos(math.pi / 6) + math.sin(math.pi / 6))  # half side of the turned square
    assert window.row_off == math.floor(200 - half) and window.row_end == math.ceil(200 + half)
    assert window.col_off == math.floor(200 - half) and window.col_end == math.ceil(200 + half)


def test_another_crs_is_reprojected_with_its_curved_sides():
    grid = Grid(3700, 6100, NORTH_UP_2X1_M, UTM)
    inner = grid.window(Window(1000, 2000, 500, 700))
    to_degrees = pyproj.Transformer.from_crs(32645, 4326, always_xy=True)
    extent = to_degrees.transform_bounds(*inner.bounds)
    window = extent_window(grid, extent, "EPSG:4326")
    assert window.intersection(Window(1000, 2000, 500, 700)) == Window(1000, 2000, 500, 700)
    assert window.height < 540 and window.width < 720
    same = extent_window(grid, inner.bounds, "EPSG:32645")
    assert same == Window(1000, 2000, 500, 700) == extent_window(grid, inner.bounds, UTM)


def test_a_wide_extent_bulges_beyond_its_corners():
    # Along a parallel in the north the middle of the side lies south of its ends in UTM.
    crs = pyproj.CRS(32633)
    to_utm = pyproj.Transformer.from_crs(4326, crs, always_xy=True)
    grid = Grid(40_000, 60_000, Affine(2, 0, 400_000, 0, -1, 7_570_000), crs.to_wkt())
    low = min(to_utm.transform(lon, 68.0)[1] for lon in (14.0, 15.0, 16.0))
    window = extent_window(grid, (14.0, 68.0, 16.0, 68.1), "EPSG:4326")
    assert window.row_end == math.ceil(7_570_000.0 - low)


@pytest.mark.parametrize(
    ("extent", "words"),
    [
        ((5, 0, 1, 9), "reversed"),
        ((0, 9, 5, 1), "reversed"),
        ((1, 1, 1, 5), "no area"),
        ((0, 0, math.nan, 1), "not finite"),
        ((0, 0, math.inf, 1), "not finite"),
        ((0, 0, 10, 10), "outside"),
        ((330_122.001, 3_059_970, 330_130, 3_059_990), "outside"),
    ],
)
def test_impossible_extents_are_refused(extent, words):
    with pytest.raises(RasterError, match=words) as caught:
        extent_window(Grid(37, 61, NORTH_UP_2X1_M, UTM), extent)
    assert caught.value.hint


def test_crs_troubles_are_named():
    inside = (330_000, 3_059_990, 330_010, 3_060_000)
    with pytest.raises(RasterError, match="no CRS"):
        extent_window(Grid(37, 61, NORTH_UP_2X1_M, ""), inside, "EPSG:32645")
    assert extent_window(Grid(37, 61, NORTH_UP_2X1_M, ""), inside) == Window(0, 0, 10, 5)
    with pytest.raises(RasterError, match="EPSG:99"):
        extent_window(Grid(37, 61, NORTH_UP_2X1_M, UTM), inside, "EPSG:99")
    with pytest.raises(RasterError):
        extent_window(Grid(37, 61, NORTH_UP_2X1_M, UTM), (10, 91, 20, 95), "EPSG:4326")


def test_intersect():
    assert intersect(Window(0, 0, 5, 5), Window(4, 4, 5, 5)) == Window(4, 4, 1, 1)
    assert intersect(Window(0, 0, 5, 5), Window(0, 5, 5, 5)) is None
