"""From pixels as stored to the numbers that a network sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..zoo.card import BandSpec


def normalize(
    pixels: npt.NDArray[Any],
    bands: Sequence[BandSpec],
    valid: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.float32]:
    """Return ``(pixels * scale + offset - mean) / std`` of each band as float32.

    NaN, infinite and missing pixels become 0, the mean of the training data.

    Args:
        pixels: ``[..., C, h, w]`` of any real data type.
        bands: One per band ``C``.
        valid: Which pixels hold data, ``[..., h, w]``; None means all.

    Raises:
        ValueError: If the number of bands differs.
    """
    if pixels.shape[-3] != len(bands):
        raise ValueError(f"{pixels.shape[-3]} bands of pixels for {len(bands)} of the model")
    result = np.empty(pixels.shape, np.float32)
    for index, band in enumerate(bands):
        gain = np.float32(band.scale / band.std)
        shift = np.float32((band.offset - band.mean) / band.std)
        target = result[..., index, :, :]
        with np.errstate(over="ignore", invalid="ignore"):
            np.copyto(target, pixels[..., index, :, :], casting="unsafe")
            target *= gain
            target += shift
        if pixels.dtype.kind == "f":
            np.copyto(target, 0.0, where=~np.isfinite(target))
        if valid is not None:
            np.copyto(target, 0.0, where=~valid)
    return result
