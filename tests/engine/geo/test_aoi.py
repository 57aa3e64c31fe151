"""The area of interest holds exactly the pixels whose centres lie in a polygon."""

import numpy as np
import pyproj
import pytest
import shapely

from engine.errors import LabelError
from engine.geo.aoi import AoiMask
from engine.geo.grid import Grid
from engine.geo.windows import Window
from tests.factories import (
    DEGREES,
    NORTH_UP_2X1_M,
    ROTATED_1_M,
    SOUTH_UP_1_M,
    make_polygons,
)

UTM = pyproj.CRS(32645).to_wkt()
SHAPE = (137, 161)


def blobs(grid, count=12, seed=0):
    """Return overlapping stars with holes, some partly or fully beside the grid."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        row, col = rng.uniform(-20, grid.height + 20), rng.uniform(-20, grid.width + 20)
        angle = np.sort(rng.uniform(0, 2 * np.pi, 15))
        reach = rng.uniform(8, 40, 15)
        rings = [
            np.column_stack(
                grid.pixel_to_map(row + f * reach * np.sin(angle), col + f * reach * np.cos(angle))
            )
            for f in (1, 0.4)
        ]
        found.append(shapely.make_valid(shapely.Polygon(rings[0], [rings[1]])))
    return found


def centres_inside(polygons, grid):
    rows, cols = np.mgrid[: grid.height, : grid.width] + 0.5
    xs, ys = grid.pixel_to_map(rows, cols)
    inside = np.zeros(xs.shape, bool)
    for polygon in polygons:
        inside |= shapely.contains_xy(polygon, xs, ys)
    return inside


@pytest.mark.parametrize("transform", [NORTH_UP_2X1_M, SOUTH_UP_1_M, ROTATED_1_M, DEGREES])
def test_pixel_centres_decide_on_every_kind_of_grid(tmp_path, transform):
    crs = "EPSG:4326" if transform is DEGREES else "EPSG:32645"
    grid = Grid(*SHAPE, transform, pyproj.CRS(crs).to_wkt())
    polygons = blobs(grid)
    path = make_polygons(tmp_path / "a.gpkg", polygons, crs=crs)
    expected = centres_inside(polygons, grid)
    assert 0.1 < expected.mean() < 0.9
    mask = AoiMask(str(path), "", grid)
    np.testing.assert_array_equal(mask.rows(0, SHAPE[0]), expected)
    for step in (1, 7, 50):
        parts = [mask.rows(r, min(r + step, SHAPE[0])) for r in range(0, SHAPE[0], step)]
        np.testing.assert_array_equal(np.concatenate(parts), expected)


def test_the_same_polygons_in_another_crs(tmp_path):
    grid = Grid(*SHAPE, NORTH_UP_2X1_M, UTM)
    polygons = blobs(grid)
    to_degrees = pyproj.Transformer.from_crs(32645, 4326, always_xy=True)
    moved = [shapely.transform(p, to_degrees.transform, interleaved=False) for p in polygons]
    path = make_polygons(tmp_path / "a.gpkg", moved, crs="EPSG:4326")
    found = AoiMask(str(path), "areas", grid).rows(0, SHAPE[0])
    assert (found != centres_inside(polygons, grid)).mean() < 1e-3


def test_neighbours_share_no_pixel_and_leave_none_out(tmp_path):
    grid = Grid(*SHAPE, NORTH_UP_2X1_M, UTM)
    x0, y0, x1, y1 = grid.bounds
    cut = x0 + 2 * 80 + 1.0  # through pixel centres
    halves = [shapely.box(x0, y0, cut, y1), shapely.box(cut, y0, x1, y1)]
    masks = [
        AoiMask(str(make_polygons(tmp_path / f"{i}.gpkg", [half])), "", grid).rows(0, SHAPE[0])
        for i, half in enumerate(halves)
    ]
    np.testing.assert_array_equal(masks[0] ^ masks[1], np.ones(SHAPE, bool))


@pytest.mark.parametrize("transform", [NORTH_UP_2X1_M, SOUTH_UP_1_M, ROTATED_1_M])
def test_the_window_is_the_smallest_that_holds_the_polygons(tmp_path, transform):
    grid = Grid(*SHAPE, transform, UTM)
    corners = [(20.25, 30.5), (20.25, 60.0), (45.75, 60.0), (45.75, 30.5)]
    inner = shapely.Polygon([tuple(map(float, grid.pixel_to_map(*corner))) for corner in corners])
    path = make_polygons(tmp_path / "a.gpkg", [inner])
    assert AoiMask(str(path), "", grid).window == Window(20, 30, 26, 30)


def test_polygons_larger_than_the_raster_hold_all_of_it(tmp_path):
    grid = Grid(*SHAPE, ROTATED_1_M, UTM)
    path = make_polygons(tmp_path / "a.gpkg", [shapely.box(0, 0, 1e6, 1e7)])
    mask = AoiMask(str(path), "", grid)
    assert mask.window == Window(0, 0, *SHAPE)
    assert mask.rows(0, SHAPE[0]).all()


def test_a_sliver_between_centres_holds_no_pixel(tmp_path):
    grid = Grid(*SHAPE, NORTH_UP_2X1_M, UTM)
    sliver = shapely.box(330_002.1, 3_059_900, 330_002.9, 3_059_999)
    mask = AoiMask(str(make_polygons(tmp_path / "a.gpkg", [sliver])), "", grid)
    assert mask.window == Window(1, 1, 99, 1)
    assert not mask.rows(0, SHAPE[0]).any()


def test_polygons_elsewhere_are_refused_with_a_hint(tmp_path):
    path = make_polygons(tmp_path / "a.gpkg", [shapely.box(0, 0, 10, 10)])
    with pytest.raises(LabelError, match="touches the raster") as caught:
        AoiMask(str(path), "", Grid(*SHAPE, NORTH_UP_2X1_M, UTM))
    assert "CRS" in caught.value.hint


def test_a_missing_file_is_refused():
    with pytest.raises(LabelError, match=r"nowhere\.gpkg"):
        AoiMask("nowhere.gpkg", "", Grid(*SHAPE, NORTH_UP_2X1_M, UTM))
