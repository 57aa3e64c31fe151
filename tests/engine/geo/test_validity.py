"""Which pixels count as missing: nodata, NaN, alpha and masks."""

import numpy as np
import pytest
import rasterio

from engine.geo.raster import RasterReader
from engine.geo.validity import value_in
from tests.factories import make_raster, random_pixels

SHAPE = (37, 61)


def read(path, **options):
    with RasterReader(str(path), **options) as reader:
        return reader.read_rows(0, reader.grid.height)


def holes(seed=1):
    return np.random.default_rng(seed).random(SHAPE) < 0.3


def test_a_pixel_is_missing_only_if_all_bands_are_nodata(tmp_path):
    pixels = random_pixels((3, *SHAPE)).clip(1)
    one, both = holes(1), holes(2)
    pixels[0][one] = 0
    pixels[:, both] = 0
    path = make_raster(tmp_path / "a.tif", pixels, nodata=0)
    np.testing.assert_array_equal(read(path)[1], ~both)
    np.testing.assert_array_equal(read(path, bands=(1,))[1], ~(one | both))


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("int16", -9999),
        ("uint16", 65535),
        ("int8", -128),
        ("int64", -(2**53)),
        ("float32", -3.4028234663852886e38),
        ("float64", -1e300),
    ],
)
def test_nodata_of_all_types(tmp_path, dtype, nodata):
    pixels = random_pixels((2, *SHAPE), dtype).clip(1, 100)
    missing = holes()
    pixels[:, missing] = nodata
    path = make_raster(tmp_path / "a.tif", pixels, nodata=nodata)
    np.testing.assert_array_equal(read(path)[1], ~missing)


@pytest.mark.parametrize("declared", [np.nan, None, -1.0])
def test_nan_and_infinity_are_missing_whether_declared_or_not(tmp_path, declared):
    pixels = random_pixels((2, *SHAPE), "float32")
    missing = holes()
    pixels[:, missing] = np.nan
    pixels[:, 3, 4] = np.inf
    missing[3, 4] = True
    path = make_raster(tmp_path / "a.tif", pixels, nodata=declared)
    np.testing.assert_array_equal(read(path)[1], ~missing)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (-9999.0, "uint8", None),
        (256.0, "uint8", None),
        (0.5, "int16", None),
        (np.nan, "uint8", None),
        (255.0, "uint8", 255),
        (None, "float32", None),
        (0.1, "float32", float(np.float32(0.1))),
    ],
)
def test_a_nodata_value_that_the_type_cannot_hold_is_none(value, dtype, expected):
    assert value_in(value, dtype) == expected


def test_a_vrt_may_declare_nodata_outside_the_type_and_differing_by_band(tmp_path):
    pixels = random_pixels((2, *SHAPE)).clip(10)
    missing = holes()
    pixels[0][missing], pixels[1][missing] = 3, 5
    pixels[0][0, 0] = 5
    missing[0, 0] = False
    make_raster(tmp_path / "a.tif", pixels)
    vrt = tmp_path / "a.vrt"

    def write(values):
        bands = "".join(
            f'<VRTRasterBand dataType="Byte" band="{i}"><NoDataValue>{value}</NoDataValue>'
            f'<SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename>'
            f"<SourceBand>{i}</SourceBand></SimpleSource></VRTRasterBand>"
            for i, value in enumerate(values, 1)
        )
        vrt.write_text(
            f'<VRTDataset rasterXSize="{SHAPE[1]}" rasterYSize="{SHAPE[0]}">'
            f"<GeoTransform>0,1,0,0,0,-1</GeoTransform>{bands}</VRTDataset>"
        )
        return read(vrt)[1]

    np.testing.assert_array_equal(write((3, 5)), ~missing)
    assert write((-9999, 300)).all()


def test_alpha_zero_is_missing_and_alpha_is_no_data_band(tmp_path):
    pixels, alpha = random_pixels((3, *SHAPE)), random_pixels((1, *SHAPE), seed=4)[0] // 128
    path = make_raster(tmp_path / "a.tif", pixels, alpha=alpha)
    found, valid = read(path)
    np.testing.assert_array_equal(found, pixels)
    np.testing.assert_array_equal(valid, alpha > 0)
    with RasterReader(str(path)) as reader:
        assert (reader.count, reader.data_band_count, reader.bands) == (4, 3, (1, 2, 3))
        assert reader.band_names[3] == "alpha"


def test_alpha_that_is_asked_for_is_data(tmp_path):
    pixels, alpha = random_pixels((3, *SHAPE)), random_pixels((1, *SHAPE), seed=4)[0] // 128
    path = make_raster(tmp_path / "a.tif", pixels, alpha=alpha)
    found, valid = read(path, bands=(1, 2, 3, 4))
    np.testing.assert_array_equal(found[3], alpha)
    assert valid.all()


def test_alpha_and_nodata_count_both(tmp_path):
    pixels, missing = random_pixels((3, *SHAPE)).clip(1), holes()
    pixels[:, missing] = 0
    alpha = np.full(SHAPE, 255, np.uint8)
    alpha[:, :10] = 0
    valid = read(make_raster(tmp_path / "a.tif", pixels, alpha=alpha, nodata=0))[1]
    assert not valid[:, :10].any()
    np.testing.assert_array_equal(valid[:, 10:], ~missing[:, 10:])


@pytest.mark.parametrize("internal", [True, False])
def test_a_mask_band_inside_or_beside_the_file(tmp_path, internal):
    missing = holes()
    mask = np.where(missing, 0, 255).astype(np.uint8)
    path = make_raster(
        tmp_path / "a.tif", (3, *SHAPE), mask=mask, internal_mask=internal, block_px=16
    )
    assert (tmp_path / "a.tif.msk").exists() != internal
    with RasterReader(str(path)) as reader:
        parts = [reader.read_rows(row, min(row + 5, 37))[1] for row in range(0, 37, 5)]
    np.testing.assert_array_equal(np.concatenate(parts), ~missing)


def test_a_mask_follows_window_and_columns(tmp_path):
    mask = random_pixels((1, *SHAPE), seed=3)[0] // 128 * 255
    path = make_raster(tmp_path / "a.tif", (3, *SHAPE), mask=mask)
    with RasterReader(str(path)) as reader:
        valid = reader.read_rows(5, 20, col0=7, col1=33)[1]
    np.testing.assert_array_equal(valid, mask[5:20, 7:33] > 0)


def test_agrees_with_gdals_own_dataset_mask(tmp_path):
    pixels = random_pixels((3, *SHAPE)) // 100
    path = make_raster(tmp_path / "a.tif", pixels, nodata=0)
    with rasterio.open(path) as dataset:
        expected = dataset.dataset_mask() > 0
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(read(path)[1], expected)
