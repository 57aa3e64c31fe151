"""Resampling on read: exact means, nothing made up, the same numbers in any pieces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.geo.raster import RasterReader
from engine.geo.resample import axis_weights
from engine.geo.windows import Window
from tests.factories import ROTATED_1_M, make_raster, random_pixels


def read(path, shape, rows=10**6, **options):
    with RasterReader(str(path), shape_px=shape, **options) as reader:
        rows = min(rows, shape[0])
        parts = [reader.read_rows(r, min(r + rows, shape[0])) for r in range(0, shape[0], rows)]
    return np.concatenate([p for p, _ in parts], axis=1), np.concatenate([v for _, v in parts])


@given(source=st.integers(1, 400), target=st.integers(1, 400))
def test_weights_sum_to_one_and_averages_keep_the_sum(source, target):
    weights = axis_weights(source, target, np.float64).toarray()
    assert weights.shape == (target, source) and (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-9)
    if target <= source:  # every source pixel has the same share in all targets together
        np.testing.assert_allclose(weights.sum(axis=0), target / source, rtol=1e-9)


def test_weights_worked_out_by_hand():
    np.testing.assert_allclose(
        axis_weights(3, 2, np.float64).toarray(), [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]]
    )
    np.testing.assert_allclose(
        axis_weights(2, 4, np.float64).toarray(), [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]]
    )


def test_halving_is_the_mean_of_blocks(tmp_path):
    pixels = random_pixels((3, 74, 122), "uint16")
    path = make_raster(tmp_path / "a.tif", pixels, block_px=32)
    found, valid = read(path, (37, 61))
    blocks = pixels.reshape(3, 37, 2, 61, 2).mean(axis=(2, 4))
    np.testing.assert_array_equal(found, np.rint(blocks))
    assert valid.all() and found.dtype == np.uint16


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("shape", [(20, 33), (37, 61), (61, 140), (20, 140), (1, 1)])
def test_a_constant_stays_and_a_ramp_stays_a_ramp(tmp_path, dtype, shape):
    ramp = np.add.outer(np.arange(37) * 2, np.arange(61)).astype(dtype)
    pixels = np.stack([np.full((37, 61), 77, dtype), ramp])
    path = make_raster(tmp_path / "a.tif", pixels, transform=ROTATED_1_M)
    found, _ = read(path, shape)
    np.testing.assert_allclose(found[0], 77, rtol=1e-6)
    rows = (np.arange(shape[0]) + 0.5) * 37 / shape[0] - 0.5
    cols = (np.arange(shape[1]) + 0.5) * 61 / shape[1] - 0.5
    truth = np.add.outer(2 * rows.clip(0, 36), cols.clip(0, 60))
    # A mean of steps lies up to half a step beside the ramp; between centres it lies on it.
    slack = (1.0 if shape[0] < 37 else 0) + (0.5 if shape[1] < 61 else 0) + 1e-3
    slack += 0.5 if np.dtype(dtype).kind != "f" else 0
    assert np.abs(found[1] - truth).max() <= slack
    assert found[1].mean() == pytest.approx(truth.mean(), abs=0.02 * truth.mean())


@pytest.mark.parametrize("shape", [(113, 77), (80, 200), (299, 181), (450, 181), (31, 401)])
@pytest.mark.parametrize("rows", [1, 13, 64])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_pieces_are_the_whole_to_the_last_bit(tmp_path, shape, rows, dtype):
    pixels = random_pixels((2, 300, 181), dtype)
    pixels[:, 40:90, 30:70] = 0
    pixels[1, 100:120] = 0
    path = make_raster(tmp_path / "a.tif", pixels, nodata=0, block_px=64)
    whole, whole_valid = read(path, shape)
    found, valid = read(path, shape, rows)
    np.testing.assert_array_equal(found, whole)
    np.testing.assert_array_equal(valid, whole_valid)


def test_columns_are_that_part_of_the_whole_to_the_last_bit(tmp_path):
    path = make_raster(tmp_path / "a.tif", (2, 100, 181), dtype="float32", block_px=64)
    for shape in ((60, 91), (150, 301)):
        whole, _ = read(path, shape)
        with RasterReader(str(path), shape_px=shape) as reader:
            for col0, col1 in ((0, 40), (40, 41), (17, shape[1])):
                found, _ = reader.read_rows(5, 55, col0=col0, col1=col1)
                np.testing.assert_array_equal(found, whole[:, 5:55, col0:col1])


def test_missing_pixels_do_not_enter_the_mean(tmp_path):
    pixels = np.full((1, 40, 40), 200, np.uint8)
    pixels[:, :, :21] = 0
    found, valid = read(make_raster(tmp_path / "a.tif", pixels, nodata=0), (20, 20))
    assert (found[0][valid] == 200).all()
    assert valid[:, 10:].all() and not valid[:, :10].any()  # column 20 | 21: half is enough


def test_a_gap_in_one_band_leaves_the_others_alone(tmp_path):
    pixels = np.full((2, 20, 20), 5.0, np.float32)
    pixels[0, :10] = np.nan
    found, valid = read(make_raster(tmp_path / "a.tif", pixels), (10, 10))
    assert valid.all()
    assert np.isnan(found[0, :5]).all() and (found[0, 5:] == 5).all() and (found[1] == 5).all()


def test_a_window_is_cut_out_before_resampling(tmp_path):
    pixels = random_pixels((1, 60, 80), "uint16")
    path = make_raster(tmp_path / "a.tif", pixels, block_px=16)
    found, _ = read(path, (10, 15), window=Window(7, 9, 20, 30))
    part = pixels[0, 7:27, 9:39].reshape(10, 2, 15, 2).mean(axis=(1, 3))
    np.testing.assert_array_equal(found[0], np.rint(part))
