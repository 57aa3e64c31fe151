"""The leak check finds what is shared, on one raster and across rasters and CRS."""

from __future__ import annotations

from dataclasses import replace

import pyproj
import pytest
from affine import Affine

from engine.data.leak import PlacedChip, leak_check, on_foreign_ground
from engine.geo.grid import Grid
from engine.geo.windows import Window
from tests.factories import DEGREES, ROTATED_1_M

UTM = pyproj.CRS.from_epsg(32645).to_wkt()
WGS = pyproj.CRS.from_epsg(4326).to_wkt()
GRIDS = [
    Grid(100, 100, ROTATED_1_M, UTM),
    Grid(100, 100, DEGREES, WGS),
    Grid(100, 100, Affine.identity(), ""),
]


def chip(row: int, col: int, split: str, source: int = 0, side: int = 10) -> PlacedChip:
    return PlacedChip(source, Window(row, col, side, side), split)


@pytest.mark.parametrize("grid", GRIDS)
def test_touching_chips_share_nothing_and_overlapping_ones_do(grid):
    touching = [chip(0, 0, "train"), chip(0, 10, "val"), chip(10, 10, "test")]
    found = leak_check([grid], touching)
    assert found["shared_pixels"] == 0 and found["smallest_distance_m"] == pytest.approx(
        0, abs=1e-3
    )
    overlapping = [chip(0, 0, "train"), chip(7, 8, "test"), chip(50, 50, "train")]
    assert leak_check([grid], overlapping)["shared_pixels"] == 3 * 2


@pytest.mark.parametrize("grid", GRIDS)
def test_distance_is_in_metres(grid):
    found = leak_check([grid], [chip(0, 0, "train"), chip(0, 40, "val"), chip(0, 60, "train")])
    wanted = 10 * (grid.pixel_size_m[1] if grid.crs_wkt else 1.0)
    assert found == {"shared_pixels": 0, "smallest_distance_m": pytest.approx(wanted, rel=2e-3)}


def test_one_part_has_no_distance():
    assert leak_check(GRIDS[:1], [chip(0, 0, "train")])["smallest_distance_m"] is None


def test_rasters_of_the_same_ground():
    finer = replace(GRIDS[0].scaled(200, 200), crs_wkt=UTM)
    chips = [
        chip(0, 0, "train"),
        chip(0, 0, "test", 1, 20),
        chip(50, 50, "val", 0),
        chip(4, 4, "train", 1),
    ]
    assert on_foreign_ground([GRIDS[0], finer], chips) == {0}
    assert leak_check([GRIDS[0], finer], chips[:2])["shared_pixels"] == 100
    assert on_foreign_ground([GRIDS[0]], chips) == set()


def test_rasters_in_different_crs_are_compared_on_the_ground():
    to_wgs = pyproj.Transformer.from_crs(32645, 4326, always_xy=True)
    lon, lat = to_wgs.transform(330_000, 3_060_000)
    other = Grid(100, 100, Affine(1e-5, 0, lon, 0, -1e-5, lat), WGS)
    plain = Grid(100, 100, Affine(1, 0, 330_000, 0, -1, 3_060_000), UTM)
    chips = [chip(0, 0, "train"), chip(0, 0, "test", 1), chip(80, 80, "train")]
    assert on_foreign_ground([plain, other], chips) == {0}
    assert 60 <= leak_check([plain, other], chips)["shared_pixels"] <= 100
