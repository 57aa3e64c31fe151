"""Images of data sets: JPEG, PNG, TIFF and others, with or without a place on the map."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window as GdalWindow

from ..errors import RasterError
from ..zoo.bands import ALPHA_NAME
from .grid import Grid
from .source import GDAL_ERRORS, band_names, choose_dtype, grid_of, open_source, read_error
from .validity import Validity
from .windows import Window

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".jp2", ".gif", ".webp")
_MOST_COLORS = 256


class ImageFacts(NamedTuple):
    """What is known of an image without decoding it; alpha bands are not counted."""

    height: int
    width: int
    dtype: str
    names: tuple[str, ...]
    grid: Grid | None


def image_facts(path: Path) -> ImageFacts:
    """Return size, bands and place of an image.

    Raises:
        RasterReadError: If it cannot be opened.
    """
    with open_source(str(path)) as dataset:
        every = band_names(dataset)
        bands = _data_bands(every)
        try:
            grid: Grid | None = grid_of(dataset)
        except RasterError:
            grid = None
        names = tuple(every[band - 1] for band in bands)
        return ImageFacts(dataset.height, dataset.width, choose_dtype(dataset, bands), names, grid)


def may_have_gaps(source: str) -> bool:
    """Return whether a raster states that pixels can be missing: nodata, alpha or a mask.

    Raises:
        RasterReadError: If it cannot be opened.
    """
    with open_source(source) as dataset:
        return any(MaskFlags.all_valid not in flags for flags in dataset.mask_flag_enums)


def read_image(
    path: Path, window: Window | None = None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Return the pixels ``[C, h, w]`` of an image without alpha, and which hold data ``[h, w]``.

    Args:
        path: The image.
        window: Part to read, None for all of it.

    Raises:
        RasterReadError: If it cannot be decoded.
    """
    with open_source(str(path)) as dataset:
        bands = _data_bands(band_names(dataset))
        dtype = choose_dtype(dataset, bands)
        part = window or Window(0, 0, dataset.height, dataset.width)
        area = GdalWindow(part.col_off, part.row_off, part.width, part.height)
        validity = Validity(dataset, bands, dtype)
        try:
            pixels = _read_bands(dataset, bands, area)
            alpha_band = validity.alpha_band
            alpha = None if alpha_band is None else dataset.read(alpha_band, window=area)
            valid = validity.valid(pixels, alpha, area)
        except GDAL_ERRORS as error:
            raise read_error(dataset, part.row_off, part.row_end, error) from None
        return pixels.astype(dtype, copy=False), valid


def read_codes(path: Path) -> tuple[npt.NDArray[Any], dict[int, tuple[int, int, int]]]:
    """Return a label image as it is stored, ``[C, H, W]``, and its palette (empty for none).

    Raises:
        RasterReadError: If it cannot be decoded.
    """
    with open_source(str(path)) as dataset:
        bands = _data_bands(band_names(dataset))
        palette = {}
        if dataset.colorinterp[0] == ColorInterp.palette:
            table = dataset.colormap(1)
            palette = {int(v): (c[0], c[1], c[2]) for v, c in table.items() if v < _MOST_COLORS}
        try:
            return np.asarray(dataset.read(list(bands))), palette
        except GDAL_ERRORS as error:
            raise read_error(dataset, 0, dataset.height, error) from None


def _read_bands(dataset: DatasetReader, bands: list[int], area: GdalWindow) -> npt.NDArray[Any]:
    """Return bands ``[C, h, w]``; rasterio reads bands of one data type at a time."""
    if len({dataset.dtypes[band - 1] for band in bands}) > 1:
        return np.stack([dataset.read(band, window=area) for band in bands])
    return np.asarray(dataset.read(bands, window=area))


def _data_bands(names: tuple[str, ...]) -> list[int]:
    return [i for i, name in enumerate(names, 1) if name != ALPHA_NAME] or [1]
