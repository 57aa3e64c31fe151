"""Normalisation equals the formula, in float32, without NaN."""

import numpy as np
import pytest

from engine.geo.normalize import gains_and_shifts, normalize, normalize_tile
from engine.geo.windows import Window
from engine.zoo.card import BandSpec
from tests.factories import random_pixels

BANDS = [
    BandSpec("red", 1 / 255, 0.0, 0.485, 0.229),
    BandSpec("nir", 1e-4, -0.1, 0.3, 0.15),
    BandSpec("height", 1.0, 0.0, 100.0, 20.0),
]


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int32", "uint64", "float32", "float64"]
)
@pytest.mark.parametrize("lead", [(), (2,), (2, 1)])
def test_the_formula(dtype, lead):
    pixels = random_pixels((3, 37, 61), dtype)
    result = normalize(np.broadcast_to(pixels, (*lead, 3, 37, 61)), BANDS)
    assert result.dtype == np.float32 and result.shape == (*lead, 3, 37, 61)
    for index, band in enumerate(BANDS):
        exact = (pixels[index].astype(np.float64) * band.scale + band.offset - band.mean) / band.std
        error = np.abs(result[..., index, :, :] - exact)
        assert (error <= 2e-6 * np.maximum(np.abs(exact), 10)).all()


def test_the_mean_becomes_zero_and_one_deviation_one():
    pixels = np.array([100.0, 120.0, 60.0], np.float32).reshape(1, 1, 3)
    np.testing.assert_allclose(normalize(pixels, BANDS[2:])[0, 0], [0, 1, -2])


def test_nan_infinity_overflow_and_missing_pixels_become_zero():
    pixels = np.array([np.nan, np.inf, -np.inf, 1e300, 140.0, 140.0]).reshape(1, 1, 6)
    valid = np.array([[True, True, True, True, True, False]])
    result = normalize(pixels, BANDS[2:], valid)
    np.testing.assert_array_equal(result[0, 0], [0, 0, 0, 0, 2, 0])


def test_the_pixels_are_left_alone():
    pixels = random_pixels((3, 5, 5), "float32")
    before = pixels.copy()
    normalize(pixels, BANDS, np.zeros((5, 5), bool))
    np.testing.assert_array_equal(pixels, before)


def test_a_wrong_number_of_bands_is_a_programming_error():
    with pytest.raises(ValueError, match="2 bands of pixels for 3"):
        normalize(np.zeros((2, 4, 4), np.uint8), BANDS)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">f4"])
def test_a_tile_holds_the_same_numbers_with_the_bands_last(dtype):
    pixels = random_pixels((3, 9, 31), "uint16").astype(dtype)
    if pixels.dtype.kind == "f":
        pixels[1, 2, 20] = np.nan
    valid = np.random.default_rng(1).random((9, 31)) > 0.2
    tile = np.full((12, 16, 3), 7, np.float32)
    normalize_tile(tile, (pixels, valid), Window(50, 18, 8, 13), gains_and_shifts(BANDS))
    exact = normalize(pixels, BANDS, valid)[:, :8, 18:31].transpose(1, 2, 0)
    assert np.array_equal(tile[:8, :13], exact)
    assert np.array_equal(tile, np.pad(exact, ((0, 4), (0, 3), (0, 0)), mode="edge"))


def test_a_tile_with_other_bands_is_refused():
    source = (np.zeros((2, 4, 4), np.uint8), np.ones((4, 4), bool))
    with pytest.raises(ValueError, match="2 bands of pixels for 3"):
        tile = np.zeros((4, 4, 3), np.float32)
        normalize_tile(tile, source, Window(0, 0, 4, 4), gains_and_shifts(BANDS))
