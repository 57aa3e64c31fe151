"""From pixels as stored to the numbers that a network sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..zoo.card import BandSpec
from .jit import as_index, kernel
from .windows import Window


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
    for index, (gain, shift) in enumerate(zip(*gains_and_shifts(bands), strict=True)):
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


def gains_and_shifts(
    bands: Sequence[BandSpec],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return what each band is multiplied with, and what is added then, float32 ``[C]``."""
    gains = [band.scale / band.std for band in bands]
    shifts = [(band.offset - band.mean) / band.std for band in bands]
    return np.array(gains, np.float32), np.array(shifts, np.float32)


def normalize_tile(
    tile: npt.NDArray[np.float32],
    source: tuple[npt.NDArray[Any], npt.NDArray[np.bool_]],
    window: Window,
    gains: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
) -> None:
    """Write a tile of :func:`normalize`'s numbers with the bands last.

    The tile's last row and column are repeated where the network's input is larger.

    Args:
        tile: float32 ``[H, W, C]``, written whole.
        source: Pixels ``[C, h, width]`` and their validity ``[h, width]``, from the tile's
            first row on.
        window: The tile; its column counts in ``source``, its row does not matter.
        gains: Of :func:`gains_and_shifts`.

    Raises:
        ValueError: If the number of bands differs.
    """
    pixels, valid = np.ascontiguousarray(source[0]), source[1]
    if not pixels.shape[0] == len(gains[0]) == tile.shape[2]:
        raise ValueError(f"{pixels.shape[0]} bands of pixels for {len(gains[0])} of the model")
    height, width = window.height, window.width
    if pixels.dtype.byteorder == ">" or pixels.dtype == np.float16:
        pixels = pixels.astype(np.float32)
    _normalize_tile(tile[:height, :width], pixels, valid, as_index(window.col_off), gains)
    if pixels.dtype.kind == "f":
        np.copyto(tile, 0.0, where=~np.isfinite(tile))
    tile[:height, width:] = tile[:height, width - 1 : width]
    tile[height:] = tile[height - 1]


@kernel
def _normalize_tile(
    tile: npt.NDArray[np.float32],
    pixels: npt.NDArray[Any],
    valid: npt.NDArray[np.bool_],
    left: int,
    gains: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
) -> None:
    gain, shift = gains
    width = as_index(tile.shape[1])
    for r in range(tile.shape[0]):
        for k in range(tile.shape[2]):
            row = pixels[k, r, left : left + width]
            for c in range(width):
                tile[r, c, k] = np.float32(row[c]) * gain[k] + shift[k]
        known = valid[r, left : left + width]
        whole = True
        for c in range(width):
            whole &= known[c]
        if not whole:
            for c in range(width):
                if not known[c]:
                    tile[r, c] = 0
