"""Opening of rasters for reading, and the checks that every raster has to pass.

``open_source`` is the engine's only ``rasterio.open`` for reading; ``writer.py`` has the one
for writing. Both keep GDAL's block cache small, because the block rows are kept elsewhere.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp
from rasterio.env import set_gdal_config
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from ..errors import RasterError, RasterReadError
from ..zoo.bands import ALPHA_NAME
from .grid import Grid

CACHE_BYTES = 64 << 20
GDAL_ERRORS = (RasterioError, CPLE_BaseError, OSError)
_log = logging.getLogger(__name__)


def limit_gdal_cache() -> None:
    """Set GDAL's block cache, which is shared by the whole process, to 64 MiB.

    An integer reaches GDAL as bytes. The default is 5 % of the machine's memory.
    """
    set_gdal_config("GDAL_CACHEMAX", CACHE_BYTES)


def open_source(source: str, *, threads: int = 1) -> DatasetReader:
    """Open a raster by its path or GDAL name.

    Args:
        source: A path, or a GDAL name such as ``/vsicurl/https://...``.
        threads: Threads that decode blocks, at least 1.

    Raises:
        RasterReadError: If it is missing, or GDAL cannot read it as a raster.
        RasterError: If it holds no bands of its own (a container of sub-datasets).
    """
    limit_gdal_cache()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(source, sharing=False, num_threads=max(1, threads))
    except (*GDAL_ERRORS, TypeError, ValueError) as error:
        raise _open_error(source, error) from None
    if dataset.count == 0:
        names = ", ".join(dataset.subdatasets[:3])
        dataset.close()
        raise RasterError(
            f"{source} is a container without bands of its own",
            f"open one of its rasters: {names}" if names else "choose another file",
        )
    return dataset


def _open_error(source: str, error: Exception) -> RasterReadError:
    path = Path(source) if source else None
    if path is None or (not path.exists() and not source.startswith("/vsi") and ":" not in source):
        return RasterReadError(f"raster {source!r} does not exist", "check the path of the layer")
    if path.is_dir():
        return RasterReadError(f"{source} is a folder, not a raster", "choose a raster file")
    if "supported file format" in str(error):
        return RasterReadError(
            f"{source} is not a raster that GDAL can read", "export the layer as GeoTIFF"
        )
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return RasterReadError(
        f"raster {source} cannot be opened: {reason}",
        "the file may be damaged or not readable for you: copy or export it again",
    )


def grid_of(dataset: DatasetReader) -> Grid:
    """Return the grid of an open raster, its CRS as WKT2.

    Raises:
        RasterError: If the raster has no place on the map.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        transform = dataset.transform
        points = len(dataset.gcps[0]) or int(dataset.rpcs is not None)
    determinant = transform.a * transform.e - transform.b * transform.d
    if transform.is_identity or determinant == 0 or not np.isfinite(determinant):
        if points:
            raise RasterError(
                f"{dataset.name} is placed by control points or RPCs only",
                "warp it first (QGIS: Raster > Projections > Warp; command line: gdalwarp)",
            )
        raise RasterError(
            f"{dataset.name} has no place on the map (no geotransform)",
            "georeference it first (QGIS: Layer > Georeferencer), or add its world file",
        )
    return Grid(dataset.height, dataset.width, transform, _crs_wkt(dataset))


def _crs_wkt(dataset: DatasetReader) -> str:
    if not dataset.crs:
        return ""
    try:
        return str(dataset.crs.to_wkt(version="WKT2_2019"))
    except CRSError:
        _log.warning("the CRS of %s cannot be written as WKT2; it is ignored", dataset.name)
        return ""


def band_names(dataset: DatasetReader) -> tuple[str, ...]:
    """Return a lower-case name per band: its description, or else its colour interpretation.

    The name is ``alpha`` for an alpha band, ``palette`` for a band of colour indices and
    empty for a band that nothing is known about.
    """
    names = []
    for description, meaning in zip(dataset.descriptions, dataset.colorinterp, strict=True):
        if meaning == ColorInterp.alpha:
            names.append(ALPHA_NAME)
        elif description and description.strip():
            names.append(description.strip().lower())
        else:
            known = meaning not in (ColorInterp.undefined, ColorInterp.gray)
            names.append(meaning.name.lower() if known else "")
    return tuple(names)


def choose_dtype(dataset: DatasetReader, bands: Sequence[int]) -> str:
    """Return the data type that holds the values of all these bands.

    Raises:
        RasterError: If a band holds complex numbers.
    """
    dtypes = dataset.dtypes
    names = [dtypes[band - 1] for band in bands]
    for band, name in zip(bands, names, strict=True):
        if "complex" in name:
            raise RasterError(
                f"band {band} of {dataset.name} holds complex numbers ({name})",
                "compute amplitude or intensity first, for example with the raster calculator",
            )
    return str(np.result_type(*(np.dtype(name) for name in names)))


def read_error(dataset: DatasetReader, row0: int, row1: int, error: Exception) -> RasterReadError:
    """Return the error for rows that could not be decoded."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    reason = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
    return RasterReadError(
        f"rows {row0}..{row1 - 1} of {dataset.name} cannot be read: {reason}",
        "the file is damaged or incomplete: copy or export it again",
    )
