"""A raster is resampled when, and only when, its pixels do not suit the model."""

import pyproj
import pytest
from affine import Affine

from engine.errors import RasterError
from engine.geo.grid import Grid
from engine.geo.resolution import check_dtype, plan_resolution
from engine.zoo.card import Resolution

LOCAL = 'LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'
LOCAL_METRES = pyproj.CRS(LOCAL).to_wkt()
RANGE = Resolution(min=0.1, nominal=0.3, max=0.6)


def grid(width_m, height_m, shape=(100, 200), crs=LOCAL_METRES):
    return Grid(*shape, Affine(width_m, 0, 0, 0, -height_m, 0), crs)


@pytest.mark.parametrize("sides", [(0.1, 0.1), (0.3, 0.3), (0.6, 0.6), (0.2, 0.5)])
def test_inside_the_range_nothing_happens(sides):
    assert plan_resolution(grid(*sides), RANGE) == (None, "")


@pytest.mark.parametrize(
    ("width_m", "height_m", "expected"),
    [
        (0.05, 0.05, (17, 33)),
        (1.2, 1.2, (400, 800)),
        (0.3, 0.9, (300, 200)),
        (0.6, 0.05, (17, 400)),
    ],
)
def test_outside_the_range_both_sides_become_nominal(width_m, height_m, expected):
    shape, note = plan_resolution(grid(width_m, height_m), RANGE)
    assert shape == expected
    assert "30 cm" in note and "10 cm to 60 cm" in note
    assert grid(width_m, height_m).scaled(*shape).gsd_m == pytest.approx(0.3, rel=0.02)


def test_one_pixel_remains():
    assert plan_resolution(grid(0.01, 0.01, (3, 1)), RANGE)[0] == (1, 1)


def test_much_too_coarse_is_refused():
    with pytest.raises(RasterError, match="10 m are too coarse") as caught:
        plan_resolution(grid(10, 10), RANGE)
    assert caught.value.hint


def test_without_a_crs_the_resolution_is_not_known():
    shape, note = plan_resolution(grid(10, 10, crs=""), RANGE)
    assert shape is None and "not known" in note


def test_degrees_are_judged_in_metres():
    wgs84 = pyproj.CRS(4326).to_wkt()
    at_60 = Grid(1000, 1000, Affine(5e-6, 0, 10, 0, -5e-6, 60), wgs84)  # 0.28 m x 0.56 m
    assert plan_resolution(at_60, RANGE)[0] is None
    shape, _ = plan_resolution(Grid(1000, 1000, Affine(1e-5, 0, 10, 0, -1e-5, 60), wgs84), RANGE)
    assert shape == (3714, 1860)  # 1.1141 m and 0.5580 m at 59.995 degrees


def test_data_types():
    assert check_dtype("uint8", ("uint8",)) == [] == check_dtype("uint16", ())
    (warning,) = check_dtype("uint16", ("uint8",))
    assert "uint16" in warning and "0..255" in warning
    (warning,) = check_dtype("float32", ("int16", "uint16"))
    assert "int16 or uint16" in warning
