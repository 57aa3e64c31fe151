"""Crops of images without labels, for pre-training: a folder of images, or one raster.

Every image is divided into tiles; an epoch visits each tile once, at a random place near it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from ..errors import RasterError, RasterReadError
from ..geo.source import GDAL_ERRORS, band_names, open_source
from ..zoo.bands import ALPHA_NAME
from ..zoo.card import BandSpec

IMAGE_ENDINGS = frozenset(
    {".tif", ".tiff", ".jpg", ".jpeg", ".png", ".jp2", ".vrt", ".img", ".bmp", ".webp"}
)
SAMPLES = 64


@dataclass(frozen=True)
class ImageTile:
    """A tile of an image: the image's source and size, and the tile's place in pixels."""

    source: str
    height_px: int
    width_px: int
    row_off: int
    col_off: int


def find_images(path: Path) -> list[str]:
    """Return the images of a folder and its subfolders in order, or the raster itself.

    Raises:
        RasterError: If there is none.
    """
    if path.is_dir():
        found = [p for p in path.rglob("*") if p.suffix.lower() in IMAGE_ENDINGS and p.is_file()]
        if not found:
            raise RasterError(f"{path} holds no images", "give a folder of GeoTIFF, PNG or JPEG")
        return [str(p) for p in sorted(found)]
    return [str(path)]


def tiles_of(sources: Sequence[str], tile_px: int, bands: Sequence[int]) -> list[ImageTile]:
    """Return the tiles of all images; small images have one.

    Raises:
        RasterReadError: If an image cannot be opened.
        RasterError: If it lacks a band.
    """
    tiles = []
    for source in sources:
        with open_source(source) as dataset:
            height, width, count = dataset.height, dataset.width, dataset.count
        if bands and max(bands) > count:
            raise RasterError(
                f"{source} has {count} bands, band {max(bands)} is asked for",
                "choose bands that all images have, or leave the image out",
            )
        for row in range(max(1, math.ceil(height / tile_px))):
            for col in range(max(1, math.ceil(width / tile_px))):
                tiles.append(ImageTile(source, height, width, row * tile_px, col * tile_px))
    return tiles


def data_bands(source: str, bands: Sequence[int]) -> tuple[int, ...]:
    """Return the band numbers to read: those given, else all of the first image but alpha."""
    if bands:
        return tuple(bands)
    with open_source(source) as dataset:
        names = band_names(dataset)
    return tuple(i for i, name in enumerate(names, 1) if name != ALPHA_NAME) or (1,)


def read_tile(
    tile: ImageTile, bands: Sequence[int], side_px: int, rng: np.random.Generator
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the pixels of a crop near a tile and which of them hold data.

    Args:
        tile: The tile.
        bands: Band numbers from 1.
        side_px: Side of the crop; smaller where the image is smaller.
        rng: Moves the crop by up to half its side.

    Returns:
        Pixels ``[C, h, w]`` and validity ``[h, w]``.

    Raises:
        RasterReadError: If they cannot be read.
    """
    place = []
    for start, length in ((tile.row_off, tile.height_px), (tile.col_off, tile.width_px)):
        moved = start + int(rng.integers(-side_px // 2, side_px // 2 + 1))
        place.append(min(max(0, moved), max(0, length - side_px)))
    height, width = (min(side_px, side) for side in (tile.height_px, tile.width_px))
    window = Window(place[1], place[0], width, height)
    with open_source(tile.source) as dataset:
        try:
            pixels = dataset.read(list(bands), window=window)
            valid = dataset.dataset_mask(window=window) > 0
        except GDAL_ERRORS as error:
            raise RasterReadError(
                f"{tile.source} cannot be read: {error}", "leave the image out, or repair it"
            ) from None
    return pixels, valid


def measure_bands(
    tiles: Sequence[ImageTile], bands: Sequence[int], side_px: int, seed: int
) -> tuple[BandSpec, ...]:
    """Return mean and spread of each band from up to 64 crops.

    Raises:
        RasterError: If a band has no spread, or no pixel holds data.
    """
    rng = np.random.default_rng((seed, 4))
    chosen = rng.permutation(len(tiles))[:SAMPLES]
    sums = np.zeros((3, len(bands)))
    for index in chosen:
        pixels, valid = read_tile(tiles[index], bands, side_px, rng)
        values = pixels[:, valid].astype(np.float64)
        known = np.where(np.isfinite(values), values, 0.0)
        sums += [np.isfinite(values).sum(axis=1), known.sum(axis=1), np.square(known).sum(axis=1)]
    count, total, square = sums
    if (count == 0).any():
        raise RasterError("the images hold no data", "choose other images")
    mean = total / count
    std = np.sqrt(np.maximum(square / count - np.square(mean), 0))
    if (std <= 0).any():
        number = bands[int(np.argmin(std))]
        raise RasterError(f"band {number} of the images has no spread", "leave the band out")
    return tuple(
        BandSpec(f"band_{b}", 1.0, 0.0, float(m), float(s))
        for b, m, s in zip(bands, mean, std, strict=True)
    )
