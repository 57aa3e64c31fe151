"""Real raster files for tests: any shape, CRS, transform, data type, nodata, alpha and mask."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyogrio
import rasterio
import shapely
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

UTM_45N = "EPSG:32645"
NORTH_UP_2X1_M = Affine(2.0, 0.0, 330_000.0, 0.0, -1.0, 3_060_000.0)
"""Pixels 2 m wide and 1 m high."""
SQUARE_1_M = Affine(1.0, 0.0, 330_000.0, 0.0, -1.0, 3_060_000.0)
SOUTH_UP_1_M = Affine(1.0, 0.0, 330_000.0, 0.0, 1.0, 3_060_000.0)
ROTATED_1_M = (
    Affine.translation(330_000.0, 3_060_000.0) @ Affine.rotation(30.0) @ Affine.scale(1, -1)
)
DEGREES = Affine(1.25e-6, 0.0, 85.52, 0.0, -1.25e-6, 27.63)
"""About 0.12 m at 27.6 degrees north, for EPSG:4326."""


def make_raster(
    path: Path,
    pixels: npt.NDArray[np.generic] | tuple[int, int, int] = (3, 37, 61),
    *,
    crs: str | None = UTM_45N,
    transform: Affine | None = NORTH_UP_2X1_M,
    nodata: float | None = None,
    dtype: str = "uint8",
    block_px: int = 0,
    compress: str = "deflate",
    interleave: str = "pixel",
    descriptions: Sequence[str] = (),
    alpha: npt.NDArray[np.uint8] | None = None,
    mask: npt.NDArray[np.uint8] | None = None,
    internal_mask: bool = True,
    seed: int = 0,
    **options: object,
) -> Path:
    """Write a GeoTIFF and return its path.

    Args:
        path: File to write.
        pixels: Pixels ``[C, H, W]``, or that shape to fill with seeded random values.
        crs: CRS, None for none.
        transform: Geotransform, None for none.
        nodata: Nodata value of all bands.
        dtype: Data type of random pixels; given pixels keep theirs.
        block_px: Side of square tiles (a multiple of 16), 0 for strips.
        compress: GDAL's COMPRESS.
        interleave: ``pixel`` or ``band``.
        descriptions: Band descriptions.
        alpha: An alpha band ``[H, W]`` to add after the data bands.
        mask: A mask ``[H, W]``, 0 is missing.
        internal_mask: Whether the mask lies in the file, or beside it in a ``.msk`` file.
        seed: Seed of random pixels.
        **options: More creation options of GDAL's GTiff driver.
    """
    data = random_pixels(pixels, dtype, seed) if isinstance(pixels, tuple) else pixels
    if alpha is not None:
        data = np.concatenate([data, alpha[None].astype(data.dtype)])
    profile: dict[str, object] = {
        "driver": "GTiff", "count": len(data), "height": data.shape[1], "width": data.shape[2],
        "dtype": data.dtype, "crs": crs, "transform": transform, "nodata": nodata,
        "compress": compress, "interleave": interleave, "sharing": False, **options,
    }  # fmt: skip
    if block_px:
        profile.update(tiled=True, blockxsize=block_px, blockysize=block_px)
    if alpha is None and len(data) == 4 and data.dtype == np.uint8:
        profile.setdefault("alpha", "unspecified")
    with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal_mask):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **profile) as out:
            if alpha is not None:
                out.colorinterp = [*out.colorinterp[:-1], ColorInterp.alpha]
            out.write(data)
            for band, text in enumerate(descriptions, 1):
                out.set_band_description(band, text)
            if mask is not None:
                out.write_mask(mask)
    return path


def random_pixels(
    shape: tuple[int, int, int], dtype: str = "uint8", seed: int = 0
) -> npt.NDArray[np.generic]:
    """Return seeded random pixels: the full range of small integers, about 0..1000 for others."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return (rng.random(shape) * 1000).astype(kind)
    info = np.iinfo(kind)
    low, high = max(info.min, -1000), min(info.max, 60_000)
    return rng.integers(low, high, shape, dtype=np.int64, endpoint=True).astype(kind)


def make_polygons(
    path: Path,
    polygons: Sequence[shapely.Geometry],
    *,
    crs: str | None = UTM_45N,
    layer: str = "areas",
) -> Path:
    """Write polygons without attributes into a vector file (by its ending) and return its path."""
    pyogrio.raw.write(
        path,
        shapely.to_wkb(np.asarray(polygons, dtype=object)),
        [],
        [],
        geometry_type="Unknown",
        crs=crs,
        layer=layer,
    )
    return path
