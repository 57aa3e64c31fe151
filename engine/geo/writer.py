"""Writing of class and score rasters, row by row, with the same bytes for the same input."""

from __future__ import annotations

import contextlib
import errno
import html
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetWriter
from rasterio.windows import Window as GdalWindow

from ..errors import DiskError
from .checked_file import WriteGuard
from .grid import Grid
from .pyramid import Rule
from .source import GDAL_ERRORS, limit_gdal_cache
from .tiff_overviews import Overviews

BLOCK_PX = 512
DEFLATE_LEVEL = 1
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class RasterWriter:
    """A tiled, compressed GeoTIFF of one byte band that is written from top to bottom.

    Rows are buffered up to a row of blocks, so the number of rows per call does not show in
    the file. Overviews are made of the same rows and put into the file when it is closed.

    Args:
        path: File to write; an existing one is replaced.
        grid: Its grid.
        nodata: Value without meaning, None if there is none.
        colors: ``#rrggbb`` by value; the raster becomes a paletted one.
        names: Class name by value; written as metadata ``CLASS_<value>`` and, for the legend
            of QGIS, as category names into ``<path>.aux.xml``.
        description: Description of the band.
        tags: Metadata items.
        scale: Real value per step: a score of 254 steps has 1/254.
        overviews: How overviews are made: ``mode`` or ``average``, see :mod:`.pyramid`.

    Raises:
        DiskError: If the file cannot be written, here or in ``write_rows`` or ``close``.
    """

    def __init__(
        self,
        path: Path,
        grid: Grid,
        *,
        nodata: int | None,
        colors: Mapping[int, str] | None = None,
        names: Mapping[int, str] | None = None,
        description: str = "",
        tags: Mapping[str, str] | None = None,
        scale: float = 1.0,
        overviews: Rule = "mode",
    ) -> None:
        self.path, self.grid = Path(path), grid
        self._names = dict(names or {})
        self._buffer = np.empty((min(BLOCK_PX, grid.height), grid.width), np.uint8)
        self._buffered = self._written = 0
        limit_gdal_cache()
        self._guard = WriteGuard(self.path)
        with self._disk_errors():
            self._dataset = self._open(nodata)
            self._describe(nodata, colors, description, tags, scale)
            self._overviews = Overviews(self.path, grid.height, grid.width, overviews, nodata)

    def _describe(
        self,
        nodata: int | None,
        colors: Mapping[int, str] | None,
        description: str,
        tags: Mapping[str, str] | None,
        scale: float,
    ) -> None:
        if colors:
            self._dataset.write_colormap(1, _palette(colors, nodata))
        if scale != 1.0:
            self._dataset.scales = (scale,)
        if description:
            self._dataset.set_band_description(1, description)
        classes = {f"CLASS_{value}": name for value, name in self._names.items()}
        self._dataset.update_tags(**{**dict(tags or {}), **classes})

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that exist after closing: the GeoTIFF and, with names, its ``.aux.xml``."""
        sidecar = self.path.with_name(self.path.name + ".aux.xml")
        return (self.path, sidecar) if self._names else (self.path,)

    def _open(self, nodata: int | None) -> DatasetWriter:
        profile: dict[str, Any] = {
            "driver": "GTiff",
            "height": self.grid.height,
            "width": self.grid.width,
            "count": 1,
            "dtype": "uint8",
            "nodata": nodata,
            "transform": self.grid.transform,
            "crs": CRS.from_wkt(self.grid.crs_wkt) if self.grid.crs_wkt else None,
            "tiled": True,
            "blockxsize": BLOCK_PX,
            "blockysize": BLOCK_PX,
            "compress": "deflate",
            "zlevel": DEFLATE_LEVEL,
            "bigtiff": "IF_SAFER",
            "sparse_ok": True,
            "opener": self._guard.open,
        }
        self.path.open("wb").close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return rasterio.open(str(self.path), "w", **profile)

    def write_rows(self, rows: npt.NDArray[np.uint8]) -> None:
        """Append rows, ``uint8[h, W]``.

        Raises:
            DiskError: If the disk does not take them.
            ValueError: If their width is not the grid's, or there are more than its rows.
        """
        total = self._written + self._buffered + len(rows)
        if rows.shape[1] != self.grid.width or total > self.grid.height:
            raise ValueError(
                f"rows {rows.shape} do not fit a grid of {self.grid.height} x {self.grid.width}"
            )
        while len(rows):
            taken = rows[: len(self._buffer) - self._buffered]
            self._buffer[self._buffered : self._buffered + len(taken)] = taken
            self._buffered += len(taken)
            rows = rows[len(taken) :]
            if self._buffered == len(self._buffer):
                self._flush()

    def _flush(self) -> None:
        if not self._buffered:
            return
        area = GdalWindow(0, self._written, self.grid.width, self._buffered)
        rows = self._buffer[: self._buffered]
        with self._disk_errors():
            self._dataset.write(rows, 1, window=area)
            self._overviews.write_rows(rows)
        self._written += self._buffered
        self._buffered = 0

    def close(self) -> None:
        """Write the last rows, the overviews and the category names, and close the file.

        A raster that lacks rows, because writing was given up, is removed.

        Raises:
            DiskError: If the disk does not take them.
        """
        if self._dataset.closed:
            return
        if self._written + self._buffered != self.grid.height:
            self._abandon()
            return
        try:
            self._finish()
        except DiskError:
            self._abandon()
            raise

    def _finish(self) -> None:
        self._flush()
        with self._disk_errors():
            self._dataset.close()
        with self._disk_errors(), contextlib.closing(self._overviews):
            self._overviews.append_to(self.path)
            for sidecar in self.files[1:]:
                sidecar.write_text(_category_xml(self._names), encoding="utf-8")

    def _abandon(self) -> None:
        """Close and remove the file; errors of the disk do not matter any more."""
        for part in (self._overviews, self._dataset):
            with contextlib.suppress(*GDAL_ERRORS):
                part.close()
        with contextlib.suppress(OSError):
            for path in self.files:
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        """Turn errors of GDAL and of the file below it into DiskError."""
        caught: Exception | None = None
        try:
            yield
        except GDAL_ERRORS as error:
            caught = error
        caught = self._guard.error or caught
        if caught is None:
            return
        reason = (getattr(caught, "strerror", None) or str(caught)).splitlines()[0]
        full = getattr(caught, "errno", None) in FULL_DISK
        raise DiskError(
            f"cannot write {self.path}: {reason}",
            "free space on the disk, or choose another one"
            if full
            else "choose a folder that exists and that you may write to",
        ) from None

    def __enter__(self) -> RasterWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self._abandon()


def _palette(colors: Mapping[int, str], nodata: int | None) -> dict[int, tuple[int, ...]]:
    table: dict[int, tuple[int, ...]] = {
        value: (int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16), 255)
        for value, color in colors.items()
    }
    if nodata is not None:
        table[nodata] = (0, 0, 0, 0)
    return table


def _category_xml(names: Mapping[int, str]) -> str:
    """Return GDAL's sidecar with the names of the values 0, 1, 2, ... in order."""
    lines = (
        f"      <Category>{html.escape(names.get(value, ''), quote=False)}</Category>"
        for value in range(max(names) + 1)
    )
    return "\n".join(
        ['<PAMDataset>', '  <PAMRasterBand band="1">', "    <CategoryNames>", *lines,
         "    </CategoryNames>", "  </PAMRasterBand>", "</PAMDataset>", ""]
    )  # fmt: skip
