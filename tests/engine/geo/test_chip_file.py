"""Chips as GeoTIFF: exact for every data type, readable by GDAL, quick path equal to GDAL's."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import rasterio

from engine.errors import RasterReadError
from engine.geo import chip_file
from engine.geo.chip_file import decode_chip, decode_valid, encode_chip, read_chip
from engine.geo.grid import Grid
from tests.factories import NORTH_UP_2X1_M, ROTATED_1_M, random_pixels

WKT = pyproj.CRS.from_epsg(32645).to_wkt()


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "int32", "float32", "float64"]
)
@pytest.mark.parametrize("bands", [1, 3, 4, 13])
def test_pixels_come_back(dtype, bands, tmp_path):
    pixels = random_pixels((bands, 37, 61), dtype)
    grid = Grid(37, 61, NORTH_UP_2X1_M, WKT)
    names = [f"b{i}" for i in range(bands)]
    data = encode_chip(pixels, grid, names=names)
    assert chip_file._layout(data) is not None, "not laid out for the quick path"
    assert np.array_equal(decode_chip(data, "c"), pixels) and decode_chip(data, "c").dtype == dtype
    path = tmp_path / "c.tif"
    path.write_bytes(data)
    assert np.array_equal(read_chip(path), pixels)
    with rasterio.open(path) as found:
        assert np.array_equal(found.read(), pixels)
        assert found.transform == NORTH_UP_2X1_M and found.crs.to_epsg() == 32645
        assert list(found.descriptions) == names


@pytest.mark.parametrize("transform", [ROTATED_1_M, None])
def test_valid_pixels_and_deflated_masks_come_back(transform):
    pixels = random_pixels((1, 37, 61))
    valid = random_pixels((1, 37, 61), seed=1)[0] > 99
    grid = Grid(37, 61, transform, WKT) if transform else None
    data = encode_chip(pixels, grid, valid=valid)
    assert np.array_equal(decode_valid(data, "c"), valid)
    assert np.array_equal(decode_chip(data, "c"), pixels)
    packed = encode_chip(np.repeat(pixels[:, :, :1], 61, axis=2), grid, deflate=True)
    assert len(packed) < 37 * 61 and chip_file._layout(packed).compression == chip_file.DEFLATE
    assert np.array_equal(decode_chip(packed, "c"), np.repeat(pixels[:, :, :1], 61, axis=2))


@pytest.mark.parametrize("options", [{"compress": "lzw"}, {"tiled": True, "blockxsize": 16}, {}])
def test_files_of_other_programs_are_read_through_gdal(options, tmp_path):
    pixels = random_pixels((3, 48, 64), "uint16")
    path = tmp_path / "c.tif"
    profile = {"driver": "GTiff", "count": 3, "height": 48, "width": 64, "dtype": "uint16"}
    if options.get("tiled"):
        options = {**options, "blockysize": 16}
    with rasterio.open(path, "w", **profile, transform=NORTH_UP_2X1_M, **options) as out:
        out.write(pixels)
    assert np.array_equal(decode_chip(path.read_bytes(), "c"), pixels)
    assert np.array_equal(read_chip(path), pixels)


@pytest.mark.parametrize("data", [b"", b"II*\x00", b"not a tiff at all"])
def test_damaged_files_are_named(data):
    with pytest.raises(RasterReadError, match=r"chip a\.tif cannot be read"):
        decode_chip(data, "a.tif")


def test_cut_files_are_damaged():
    data = encode_chip(random_pixels((3, 37, 61)), None)
    with pytest.raises(RasterReadError, match="cannot be read"):
        decode_chip(data[:3000], "a.tif")


def test_many_bands_are_read(tmp_path):
    """Tags of 224 bands with names do not fit into the first bytes that are read."""
    pixels = random_pixels((224, 9, 11), "float32")
    path = tmp_path / "c.tif"
    path.write_bytes(encode_chip(pixels, None, names=[f"{400 + 10 * i} nm" for i in range(224)]))
    assert np.array_equal(read_chip(path), pixels)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(RasterReadError, match=r"c\.tif"):
        read_chip(path)
