"""Reading of whole rows of a raster with every block decoded once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rasterio.io import DatasetReader
from rasterio.windows import Window as GdalWindow

from .source import GDAL_ERRORS, read_error
from .validity import Validity
from .windows import Window

Pixels = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]

BUFFER_BYTES = 256 << 20
MIN_CHUNK_ROWS = 128
_log = logging.getLogger(__name__)


class Chunk(NamedTuple):
    """Decoded rows ``row0..row1 - 1`` of the window: pixels ``[C, h, W]`` and validity."""

    row0: int
    row1: int
    pixels: Pixels
    valid: BoolArray


class BlockRows:
    """Rows of a window of a raster, kept one row of blocks at a time.

    Args:
        dataset: An open raster.
        bands: Band numbers from 1.
        dtype: Data type of the result.
        window: The part of the raster to read; row 0 is its first row.
        buffer_bytes: Most memory for decoded rows. A raster whose row of blocks is larger is
            read in lower chunks, at the price of decoding its blocks several times.
    """

    def __init__(
        self,
        dataset: DatasetReader,
        bands: Sequence[int],
        dtype: str,
        window: Window,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        self.dtype = np.dtype(dtype)
        self.validity = Validity(dataset, bands, dtype)
        self._dataset, self._window = dataset, window
        alpha = self.validity.alpha_band
        self._count = len(bands)
        self._indexes = [*bands] if alpha is None else [*bands, alpha]
        dtypes, block_shapes = dataset.dtypes, dataset.block_shapes
        self._mixed = len({dtypes[band - 1] for band in self._indexes}) > 1
        self._chunk: Chunk | None = None
        block_rows = max(block_shapes[band - 1][0] for band in bands)
        row_bytes = window.width * (len(self._indexes) * self.dtype.itemsize + 1)
        self._step = chunk_rows(block_rows, max(1, buffer_bytes // row_bytes))
        if self._step < min(block_rows, window.height):
            _log.warning(
                "%s is so wide that its blocks are decoded %d times; tiles of 512 pixels help",
                dataset.name,
                -(-block_rows // self._step),
            )

    def rows(self, row0: int, row1: int) -> tuple[Pixels, BoolArray]:
        """Return pixels ``[C, h, W]`` and validity ``[h, W]`` of rows ``row0..row1 - 1``.

        Raises:
            RasterReadError: If a block cannot be decoded; the message names the rows.
        """
        first = self._chunk_at(row0)
        if (first.row0, first.row1) == (row0, row1):
            self._chunk = None
            return first.pixels, first.valid
        height, width = row1 - row0, self._window.width
        pixels = np.empty((self._count, height, width), self.dtype)
        valid = np.empty((height, width), dtype=bool)
        row = row0
        while row < row1:
            chunk = self._chunk_at(row)
            end = min(chunk.row1, row1)
            to, at = slice(row - row0, end - row0), slice(row - chunk.row0, end - chunk.row0)
            pixels[:, to], valid[to] = chunk.pixels[:, at], chunk.valid[at]
            row = end
        return pixels, valid

    def _chunk_at(self, row: int) -> Chunk:
        if self._chunk is None or not self._chunk.row0 <= row < self._chunk.row1:
            self._chunk = None
            self._chunk = self._decode(row)
        return self._chunk

    def _decode(self, row: int) -> Chunk:
        """Decode the aligned rows around a row of the window."""
        offset = self._window.row_off
        start = (row + offset) // self._step * self._step
        row0 = max(start, offset)
        row1 = min(start + self._step, self._window.row_end)
        area = GdalWindow(self._window.col_off, row0, self._window.width, row1 - row0)
        decoded = np.empty((len(self._indexes), row1 - row0, self._window.width), self.dtype)
        try:
            if self._mixed:  # rasterio reads bands of one data type at a time
                for index, band in enumerate(self._indexes):
                    self._dataset.read(band, window=area, out=decoded[index])
            else:
                self._dataset.read(self._indexes, window=area, out=decoded)
            alpha = decoded[self._count] if self.validity.alpha_band is not None else None
            pixels = decoded[: self._count]
            valid = self.validity.valid(pixels, alpha, area)
        except GDAL_ERRORS as error:
            raise read_error(self._dataset, row0, row1, error) from None
        return Chunk(row0 - offset, row1 - offset, pixels, valid)


def chunk_rows(block_rows: int, most_rows: int) -> int:
    """Return the rows to decode at once.

    Whole rows of blocks, at least 128 rows if the blocks are lower (a strip of one row would
    cost a call per row), and never more than ``most_rows``.
    """
    if block_rows > most_rows:
        return most_rows
    wanted = -(-MIN_CHUNK_ROWS // block_rows) * block_rows
    return min(wanted, most_rows // block_rows * block_rows)
