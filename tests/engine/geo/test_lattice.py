"""Interpolated points in space: as good as exact ones, and refused where they are not."""

import numpy as np
import pyproj
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.geo.lattice import MIN_COORDINATES, lattice_points
from engine.geo.measure import surface_of

PLACES = {
    32645: (330_000.0, 3_060_000.0, 1.0),
    4326: (85.5, 60.0, 1e-5),
    3857: (9.5e6, 8.0e6, 1.0),
    2263: (990_000.0, 200_000.0, 3.3),
    4807: (2.5, 54.0, 1e-5),
    3413: (400_000.0, -700_000.0, 1.0),
}
"""x, y and map units per metre, roughly."""


def surface(epsg):
    return surface_of(pyproj.CRS(epsg).to_wkt())


def walk(place, size_m, count=5_000, seed=1):
    """Return map coordinates of a random walk whose steps are much smaller than a cell."""
    x, y, unit = place
    steps = np.random.default_rng(seed).normal(size=(count, 2))
    path = np.cumsum(steps, axis=0)
    return np.array([x, y]) + path / np.abs(path).max() * size_m * unit


@pytest.mark.parametrize("size_m", [3.0, 400.0, 2_500.0])
@pytest.mark.parametrize("epsg", PLACES)
def test_steps_are_as_long_as_between_exact_points(epsg, size_m):
    exact, xy = surface(epsg).exact_points, walk(PLACES[epsg], size_m)
    found = lattice_points(exact, xy)
    lengths, truth = (
        np.sqrt((np.diff(points, axis=0) ** 2).sum(axis=1)) for points in (found, exact(xy))
    )
    np.testing.assert_allclose(lengths, truth, rtol=3e-7, atol=2e-8)
    assert abs(lengths.sum() / truth.sum() - 1) < 1e-7


@given(st.floats(-170, 170), st.floats(-75, 75), st.floats(1.0, 3_000.0))
@settings(max_examples=40, deadline=None)
def test_degrees_anywhere_are_interpolated_to_a_tenth_of_a_millimetre(lon, lat, size_m):
    exact, xy = surface(4326).exact_points, walk((lon, lat, 1e-5), size_m)
    assert np.abs(lattice_points(exact, xy) - exact(xy)).max() < 1e-4


def test_the_corners_of_the_extent_are_exact():
    exact = surface(32645).exact_points
    xy = walk(PLACES[32645], 800.0)
    xy[:2] = xy.min(axis=0), xy.max(axis=0)
    np.testing.assert_allclose(lattice_points(exact, xy)[:2], exact(xy[:2]), atol=1e-8)


def test_coordinates_on_a_line_have_points_too():
    exact, xy = surface(32645).exact_points, walk(PLACES[32645], 800.0)
    xy[:, 1] = xy[0, 1]
    np.testing.assert_allclose(lattice_points(exact, xy), exact(xy), atol=1e-4)


@pytest.mark.parametrize(
    ("place", "size_m", "count"),
    [
        ((85.5, 27.6, 1e-5), 100.0, MIN_COORDINATES - 1),  # few
        ((85.5, 27.6, 1e-5), 500_000.0, 5_000),  # far apart
        ((0.0, 89.999, 1e-5), 500.0, 5_000),  # circles around the pole
        ((85.5, np.nan, 1e-5), 100.0, 5_000),
    ],
)
def test_no_lattice_where_it_would_not_pay_or_not_be_right(place, size_m, count):
    assert lattice_points(surface(4326).exact_points, walk(place, size_m, count)) is None


def test_coordinates_outside_of_a_projection_give_no_lattice():
    xy = walk((0.0, 0.0, 1.0), 1_000.0)  # ortho: a metre off the visible half is infinity
    xy[0] = 2e7, 0
    exact = surface_of("+proj=ortho +lat_0=40 +lon_0=10 +type=crs").exact_points
    assert lattice_points(exact, xy) is None
