"""Rasters as a stream of rows: the reader that the tile loop feeds on."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from rasterio.io import DatasetReader
from rasterio.windows import Window as GdalWindow

from ..errors import RasterError
from ..zoo.bands import ALPHA_NAME
from .blocks import BUFFER_BYTES, BlockRows
from .resample import ResampledRows
from .source import (
    GDAL_ERRORS,
    band_names,
    choose_dtype,
    grid_of,
    open_source,
    read_error,
)
from .windows import Window
from .writer import RasterWriter

__all__ = ["RasterReader", "RasterWriter"]

SAMPLE_PX = 32
SAMPLES_PER_SIDE = 5


class _Rows(Protocol):
    def rows(self, row0: int, row1: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]: ...


class RasterReader:
    """A raster, or a window of it, read in rows and resampled on the way if asked for.

    The *working grid* is the window's ground with ``shape_px`` pixels. Reading the rows in
    order decodes every block of the file once, whatever the number of rows per call. One
    thread reads at a time; a lock sees to that.

    Args:
        source: A path or a GDAL name.
        bands: Band numbers from 1; empty means all bands except alpha.
        window: Part of the raster to read, in its own pixels; None means all of it.
        shape_px: Rows and columns of the working grid; None means the window's own.
        threads: Threads that decode blocks.
        buffer_bytes: Most memory for a decoded row of blocks.

    Attributes:
        source_grid: Grid of the whole raster.
        grid: The working grid.
        count: Bands in the raster, alpha included.
        data_band_count: Bands in the raster without alpha.
        bands: Bands that are read.
        dtype: Data type of the pixels that are returned, the raster's own.
        band_names: Lower-case name of each of the raster's ``count`` bands, or empty.

    Raises:
        RasterReadError: If the raster cannot be opened.
        RasterError: If it has no place on the map, holds complex numbers, lacks a band, or
            the window is empty or leaves it.
    """

    def __init__(
        self,
        source: str,
        *,
        bands: Sequence[int] = (),
        window: Window | None = None,
        shape_px: tuple[int, int] | None = None,
        threads: int = 2,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        self._lock = threading.Lock()
        self._dataset = open_source(str(source), threads=threads)
        try:
            self.source_grid = grid_of(self._dataset)
            self.band_names = band_names(self._dataset)
            self.count: int = self._dataset.count
            self.bands = self._checked_bands(bands)
            self.dtype = choose_dtype(self._dataset, self.bands)
            self._window = self._checked_window(window)
            self._buffer_bytes = buffer_bytes
            self.grid = self.source_grid.window(self._window)
            if shape_px is not None:
                self.grid = self.grid.scaled(*shape_px)
            self._rows: tuple[tuple[int, int], _Rows] | None = None
        except BaseException:
            self._dataset.close()
            raise

    @property
    def data_band_count(self) -> int:
        """Number of bands of the raster without alpha bands."""
        return sum(name != ALPHA_NAME for name in self.band_names)

    def _checked_bands(self, bands: Sequence[int]) -> tuple[int, ...]:
        data = [i for i, name in enumerate(self.band_names, 1) if name != ALPHA_NAME]
        chosen = tuple(int(band) for band in bands) or tuple(data) or (1,)
        for band in chosen:
            if not 1 <= band <= self.count:
                raise RasterError(
                    f"{self._dataset.name} has no band {band}, it has {self.count}",
                    f"choose bands from 1 to {self.count}",
                )
        return chosen

    def _checked_window(self, window: Window | None) -> Window:
        whole = Window(0, 0, self.source_grid.height, self.source_grid.width)
        if window is None:
            return whole
        if window.height < 1 or window.width < 1 or whole.intersection(window) != window:
            raise RasterError(
                f"the window {tuple(window)} is not inside the raster's "
                f"{whole.height} x {whole.width} pixels",
                "choose an extent that overlaps the raster",
            )
        return window

    def read_rows(
        self, row0: int, row1: int, *, col0: int = 0, col1: int | None = None
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Read rows ``row0..row1 - 1`` of the working grid, or some columns of them.

        Any order works; increasing rows of the same columns decode each block once.

        Args:
            row0: First row.
            row1: Row after the last one.
            col0: First column.
            col1: Column after the last one, None for the grid's width.

        Returns:
            Pixels ``[C, h, w]`` in the raster's data type and validity ``bool[h, w]``: False
            where all chosen bands are nodata or NaN, or alpha or the raster's mask is 0.

        Raises:
            RasterReadError: If a block cannot be decoded; the message names the rows.
            ValueError: If the rows or columns are not inside the working grid.
        """
        columns = (col0, self.grid.width if col1 is None else col1)
        if not (0 <= row0 < row1 <= self.grid.height and 0 <= col0 < columns[1] <= self.grid.width):
            raise ValueError(
                f"rows {row0}..{row1} and columns {columns[0]}..{columns[1]} are not inside "
                f"{self.grid.height} x {self.grid.width}"
            )
        with self._lock:
            if self._rows is None or self._rows[0] != columns:
                self._rows = None
                self._rows = (columns, self._row_source(*columns))
            return self._rows[1].rows(row0, row1)

    def _row_source(self, col0: int, col1: int) -> _Rows:
        """Return the rows of a range of columns of the working grid."""
        shape_px = (self.grid.height, self.grid.width)
        source_px = (self._window.height, self._window.width)
        if shape_px == source_px:
            return self._blocks(col0, col1)
        return ResampledRows(self._blocks, source_px, shape_px, (col0, col1))

    def _blocks(self, col0: int, col1: int) -> BlockRows:
        """Return the rows of a range of columns of the window, not resampled."""
        top, left = self._window.row_off, self._window.col_off
        area = Window(top, left + col0, self._window.height, col1 - col0)
        return BlockRows(self._dataset, self.bands, self.dtype, area, self._buffer_bytes)

    def fingerprint(self) -> str:
        """Return a hash (64 hexadecimal digits) that tells rasters apart, at little cost.

        It covers size, bands, data types, nodata, transform, CRS, and the pixels of 5 x 5
        small windows; copies of a file have equal fingerprints.

        Raises:
            RasterReadError: If a sample cannot be decoded.
        """
        grid, dataset = self.source_grid, self._dataset
        header = (
            (grid.height, grid.width, *grid.transform[:6], grid.crs_wkt),
            (dataset.dtypes, dataset.nodatavals, self.band_names),
        )
        digest = hashlib.sha256(repr(header).encode())
        with self._lock:
            for row in _sample_starts(grid.height):
                for col in _sample_starts(grid.width):
                    digest.update(_sample(dataset, row, col))
        return digest.hexdigest()

    def close(self) -> None:
        """Close the file; the reader cannot be used afterwards."""
        with self._lock:
            self._dataset.close()

    def __enter__(self) -> RasterReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _sample_starts(length_px: int) -> list[int]:
    last = max(0, length_px - SAMPLE_PX)
    return sorted({last * i // (SAMPLES_PER_SIDE - 1) for i in range(SAMPLES_PER_SIDE)})


def _sample(dataset: DatasetReader, row: int, col: int) -> bytes:
    height, width = min(SAMPLE_PX, dataset.height - row), min(SAMPLE_PX, dataset.width - col)
    try:
        area = GdalWindow(col, row, width, height)
        return b"".join(dataset.read(band, window=area).tobytes() for band in dataset.indexes)
    except GDAL_ERRORS as error:
        raise read_error(dataset, row, row + height, error) from None
