"""Overviews that are made while rows are written equal those that GDAL makes afterwards."""

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling

from engine.geo import pyramid
from engine.geo.grid import Grid
from engine.geo.pyramid import Halving, warm_up_halving
from engine.geo.tiff_overviews import Overviews
from engine.geo.writer import RasterWriter
from tests.factories import NORTH_UP_2X1_M

NODATA = 255
SHAPES = [(514, 1028), (513, 1030), (771, 259), (1, 700), (500, 1), (257, 1), (1025, 1023)]


def noisy(height, width, values=4, seed=0):
    """Values without any order, so that ties are everywhere, and places without data."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, values, (height, width), dtype=np.uint8)
    pixels[rng.random(pixels.shape) < 0.2] = NODATA
    pixels[height // 3 : height // 2, : width // 2] = NODATA
    return pixels


def ours(path, pixels, rule, rows=100):
    grid = Grid(*pixels.shape, NORTH_UP_2X1_M, "")
    with RasterWriter(path, grid, nodata=NODATA, overviews=rule) as writer:
        for row in range(0, len(pixels), rows):
            writer.write_rows(pixels[row : row + rows])
    return path


def of_gdal(path, pixels, factors, rule):
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "nodata": NODATA, "tiled": True}
    height, width = pixels.shape
    with rasterio.open(
        path, "w", height=height, width=width, transform=NORTH_UP_2X1_M, **profile
    ) as dataset:
        dataset.write(pixels, 1)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews(factors, Resampling[rule])
    return path


def levels(path):
    with rasterio.open(path) as dataset:
        count = len(dataset.overviews(1))
    for level in range(count):
        with rasterio.open(path, overview_level=level) as overview:
            yield overview.read(1)


def compare(tmp_path, pixels, rule):
    path = ours(tmp_path / "ours.tif", pixels, rule)
    longest = max(pixels.shape)
    factors = [2**n for n in range(1, 12) if longest * 2 > 256 * 2**n]
    with rasterio.open(path) as dataset:
        found = dataset.overviews(1)
        np.testing.assert_array_equal(dataset.read(1), pixels)
    # rasterio tells factors by the width, which a column cannot show
    assert len(found) == len(factors) if pixels.shape[1] == 1 else found == factors
    theirs = of_gdal(tmp_path / "gdal.tif", pixels, factors, rule)
    return list(zip(levels(path), levels(theirs), strict=True))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("values", [2, 4, 250])
def test_mode_equals_gdal_with_ties_nodata_and_odd_sizes(tmp_path, shape, values):
    pairs = compare(tmp_path, noisy(*shape, values=values), "mode")
    assert pairs
    for mine, theirs in pairs:
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("shape", SHAPES)
def test_average_equals_gdal_but_for_rounding(tmp_path, shape):
    """GDAL rounds each level, as we do, but holds shares of pixels in float32."""
    for mine, theirs in compare(tmp_path, noisy(*shape, values=250), "average"):
        np.testing.assert_array_equal(mine == NODATA, theirs == NODATA)
        assert np.abs(mine.astype(int) - theirs).max() <= 1


def test_mode_of_ties_is_the_one_that_comes_first():
    pixels = np.array([[1, 2, 2, 1], [2, 1, 9, 9]], np.uint8)
    assert Halving(2, 4, "mode", None).push(pixels).tolist() == [[2, 9]]


def test_average_takes_parts_of_pixels_on_odd_sizes():
    """Three pixels become two of one and a half: (0 + 30 / 2) / 1.5 and (30 / 2 + 90) / 1.5."""
    pixels = np.array([[0, 30, 90]], np.uint8)
    assert Halving(1, 3, "average", None).push(pixels).tolist() == [[10, 70]]
    pixels[0, 1] = NODATA
    assert Halving(1, 3, "average", NODATA).push(pixels).tolist() == [[0, 90]]


@pytest.mark.parametrize("rule", ["mode", "average"])
def test_the_rows_per_call_do_not_show(rule):
    pixels = noisy(301, 77, values=250)
    whole = Halving(301, 77, rule, NODATA).push(pixels)
    halving = Halving(301, 77, rule, NODATA)
    parts = [halving.push(pixels[row : row + 7]) for row in range(0, 301, 7)]
    assert whole.shape == (151, 39)
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_warming_up_compiles_every_kernel_for_the_types_of_a_run():
    warm_up_halving()
    kernels = (pyramid._mode, pyramid._average)
    compiled = [len(kernel.signatures) for kernel in kernels]
    for rule in pyramid.RULES:
        Halving(500, 301, rule, None).push(noisy(500, 301))
    assert [len(kernel.signatures) for kernel in kernels] == compiled == [1, 1]


def test_overviews_go_into_a_bigtiff_too(tmp_path):
    pixels = noisy(700, 900)
    path = tmp_path / "big.tif"
    with rasterio.open(
        path, "w", driver="GTiff", dtype="uint8", count=1, nodata=NODATA, bigtiff="yes",
        height=700, width=900, compress="deflate", tiled=True, transform=NORTH_UP_2X1_M,
    ) as dataset:  # fmt: skip
        dataset.write(pixels, 1)
    assert path.read_bytes()[2] == 43
    overviews = Overviews(path, 700, 900, "mode", NODATA)
    overviews.write_rows(pixels)
    overviews.append_to(path)
    overviews.close()
    with rasterio.open(path) as dataset:
        assert dataset.overviews(1) == [2, 4]
        np.testing.assert_array_equal(dataset.read(1), pixels)
    theirs = of_gdal(tmp_path / "gdal.tif", pixels, [2, 4], "mode")
    for mine, other in zip(levels(path), levels(theirs), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_tiles_without_data_take_no_room(tmp_path):
    empty = np.full((3000, 3000), NODATA, np.uint8)
    assert ours(tmp_path / "empty.tif", empty, "mode").stat().st_size < 6000
    assert all((level == NODATA).all() for level in levels(tmp_path / "empty.tif"))
