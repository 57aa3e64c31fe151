"""Which pixels of a raster hold data: nodata values, NaN, alpha bands and mask bands.

A pixel is missing if *all* chosen bands are missing there, as in GDAL's dataset mask: a
black roof of an RGB image with nodata 0 has one band at 0 now and then, and must not get
holes. A pixel whose alpha is 0, or which the raster's mask excludes, is missing too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window as GdalWindow

BoolArray = npt.NDArray[np.bool_]


class Validity:
    """The rules by which pixels of one dataset count as missing.

    Args:
        dataset: An open raster.
        bands: Bands that are read as data; an alpha band among them is data, not a mask.
        dtype: Data type of the pixels that will be judged.
    """

    def __init__(self, dataset: DatasetReader, bands: Sequence[int], dtype: str) -> None:
        alpha = [i for i, c in enumerate(dataset.colorinterp, 1) if c == ColorInterp.alpha]
        self.alpha_band = alpha[0] if alpha and alpha[0] not in bands else None
        self._dataset = dataset
        nodata = dataset.nodatavals
        self._nodata = [value_in(nodata[band - 1], dtype) for band in bands]
        self._is_float = np.dtype(dtype).kind == "f"
        every = dataset.mask_flag_enums
        flags = [every[band - 1] for band in bands]
        self._mask_bands = [
            band for band, found in zip(bands, flags, strict=True) if _has_mask_band(found)
        ]
        if self._mask_bands and MaskFlags.per_dataset in flags[0]:
            self._mask_bands = self._mask_bands[:1]

    def band_missing(self, index: int, band: npt.NDArray[Any]) -> BoolArray | None:
        """Return where one band has no value, or None if it always has one.

        Args:
            index: Position of the band among the chosen ones, from 0.
            band: Its pixels, any shape.
        """
        nodata = self._nodata[index]
        if not self._is_float:
            return None if nodata is None else np.asarray(band == nodata)
        missing: BoolArray = ~np.isfinite(band)
        if nodata is not None:
            missing |= band == nodata
        return missing

    def valid(
        self,
        pixels: npt.NDArray[Any],
        alpha: npt.NDArray[Any] | None,
        window: GdalWindow,
    ) -> BoolArray:
        """Return which pixels hold data, ``[h, w]``.

        Args:
            pixels: Chosen bands, ``[C, h, w]``.
            alpha: The alpha band ``[h, w]``, None if there is none.
            window: Place of the pixels in the dataset.
        """
        valid = np.zeros(pixels.shape[1:], dtype=bool)
        for index, band in enumerate(pixels):
            missing = self.band_missing(index, band)
            if missing is None:
                valid[:] = True
                break
            valid |= ~missing
        if alpha is not None:
            valid &= alpha > 0
        if self._mask_bands:
            valid &= self._dataset.read_masks(self._mask_bands, window=window).any(axis=0)
        return valid


def _has_mask_band(flags: Sequence[MaskFlags]) -> bool:
    """Return whether GDAL has a mask that is neither all valid, alpha nor one nodata value."""
    if MaskFlags.all_valid in flags or MaskFlags.alpha in flags:
        return False
    return MaskFlags.nodata not in flags or MaskFlags.per_dataset in flags


def value_in(value: float | None, dtype: str) -> float | int | None:
    """Return a nodata value as a value of the data type, None if the type cannot hold it."""
    kind = np.dtype(dtype)
    if value is None:
        return None
    if kind.kind == "f":
        with np.errstate(over="ignore"):
            return float(kind.type(value))
    info = np.iinfo(kind)
    if not np.isfinite(value) or value != int(value) or not info.min <= value <= info.max:
        return None
    return int(value)
