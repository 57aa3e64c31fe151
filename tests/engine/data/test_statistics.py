"""Statistics of bands in one pass, equal to numpy over all pixels at once."""

from __future__ import annotations

import numpy as np
import pytest

from engine.data.statistics import StatisticsStream
from tests.factories import random_pixels


def parts(dtype: str, bands: int = 3) -> list[tuple[np.ndarray, np.ndarray]]:
    found = []
    for seed in range(4):
        pixels = random_pixels((bands, 37, 61 - seed), dtype, seed)
        found.append((pixels, random_pixels((1, 37, 61 - seed), seed=seed)[0] > 60))
    return found


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "int32", "float32", "float64"]
)
def test_equal_to_numpy(dtype):
    stream, chips = StatisticsStream(3, dtype), parts(dtype)
    for pixels, valid in chips:
        stream.add(pixels, valid)
    for index, found in enumerate(stream.result()):
        values = np.concatenate([p[index][v] for p, v in chips]).astype(np.float64)
        assert found.count == len(values)
        assert (found.min, found.max) == (values.min(), values.max())
        assert found.mean == pytest.approx(values.mean(), rel=1e-9, abs=1e-9)
        assert found.std == pytest.approx(values.std(), rel=1e-9)
        for got, percent in ((found.p2, 2), (found.p98, 98)):
            exact = np.percentile(values, percent, method="inverted_cdf")
            assert got == pytest.approx(exact, rel=0.004, abs=0 if dtype[-1] == "8" else 0.5)


def test_outliers_do_not_spoil_percentiles_and_missing_values_do_not_count():
    values = np.linspace(-1, 1, 10_000).reshape(1, 100, 100)
    values[0, 0, :3] = np.nan, np.inf, 3e38
    stream = StatisticsStream(1, "float64")
    stream.add(values, np.ones((100, 100), dtype=bool))
    found = stream.result()[0]
    assert found.count == 9998 and found.max == 3e38
    assert found.p2 == pytest.approx(-0.96, abs=0.01) and found.p98 == pytest.approx(0.96, abs=0.01)


def test_hand_worked():
    stream = StatisticsStream(1, "int16")
    stream.add(np.array([[[-5, 5], [5, 99]]], np.int16), np.array([[True, True], [True, False]]))
    found = stream.result()[0]
    assert (found.mean, found.min, found.max, found.count) == (5 / 3, -5, 5, 3)
    assert found.std == pytest.approx(np.sqrt(200 / 9))


def test_no_pixel_gives_zeros():
    assert StatisticsStream(1, "uint8").result()[0].count == 0
