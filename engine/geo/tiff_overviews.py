"""Overviews of a one-byte GeoTIFF, made while its rows are written and put into it at the end.

GDAL would read the finished raster again and hold Python's lock meanwhile. Here the tiles of all
levels, packed, wait in a file without a name beside the raster. After GDAL has closed the raster,
they go to its end, with one more directory per level (TIFF 6.0, section 2; BigTIFF where the
raster is one); the link to the first of them is written last.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
import zlib
from array import array
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from .pyramid import Halving, Rule

Bytes = npt.NDArray[np.uint8]
TILE_PX = 256
SMALLEST_PX = 256
DEFLATE_LEVEL = 1
_SHORT, _LONG, _LONG8 = 3, 4, 16
_KEPT = (258, 259, 277, 284, 317, 339, 42113)
"""Tags that a level has from the raster: bits, compression, samples, layout, nodata."""


class _Level:
    """One overview: its rows until they fill a row of tiles, and where its tiles lie."""

    def __init__(self, halving: Halving, nodata: int | None) -> None:
        self.halving = halving
        self.height, self.width = halving.height, halving.width
        self._empty = 0 if nodata is None else nodata
        across = -(-self.width // TILE_PX)
        self._rows = np.full((TILE_PX, across * TILE_PX), self._empty, np.uint8)
        self._filled = self._seen = 0
        self.offsets, self.sizes = array("Q"), array("Q")

    def push(self, rows: Bytes, spool: IO[bytes]) -> Bytes:
        """Take rows of the next larger level; returns the new rows of this one."""
        made = rest = self.halving.push(rows)
        while len(rest):
            taken = rest[: TILE_PX - self._filled]
            self._rows[self._filled : self._filled + len(taken), : self.width] = taken
            self._filled += len(taken)
            self._seen += len(taken)
            rest = rest[len(taken) :]
            if self._filled == TILE_PX or self._seen == self.height:
                self._write(spool)
        return made

    def _write(self, spool: IO[bytes]) -> None:
        self._rows[self._filled :] = self._empty
        for left in range(0, self._rows.shape[1], TILE_PX):
            tile = self._rows[:, left : left + TILE_PX]
            blank = bool((tile == self._empty).all())
            packed = b"" if blank else zlib.compress(tile.tobytes(), DEFLATE_LEVEL)
            self.offsets.append(spool.tell())
            self.sizes.append(len(packed))
            spool.write(packed)
        self._filled = 0


class Overviews:
    """All overviews of a raster, each half as large, down to at most 256 pixels a side.

    Args:
        path: The raster; the tiles wait in its folder.
        height: Its rows.
        width: Its columns.
        rule: How a level is made of the next larger one, see :class:`.pyramid.Halving`.
        nodata: Value without meaning, None if there is none.

    Raises:
        OSError: If the disk does not take the tiles, here and in all methods.
    """

    def __init__(self, path: Path, height: int, width: int, rule: Rule, nodata: int | None) -> None:
        self._levels: list[_Level] = []
        while max(height, width) > SMALLEST_PX:
            level = _Level(Halving(height, width, rule, nodata), nodata)
            self._levels.append(level)
            height, width = level.height, level.width
        self._spool = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115

    def write_rows(self, rows: Bytes) -> None:
        """Take further rows of the raster, ``uint8[h, W]``."""
        for level in self._levels:
            rows = level.push(rows, self._spool)

    def append_to(self, path: Path) -> None:
        """Put the overviews into the finished raster."""
        if self._levels:
            with path.open("r+b") as file:
                self._append(file)

    def _append(self, file: IO[bytes]) -> None:
        tiff = _Tiff(file)
        kept, link = tiff.main_directory()
        base = file.seek(0, 2)
        self._spool.seek(0)
        shutil.copyfileobj(self._spool, file)
        links = []
        for level in self._levels:
            places = array("Q", (
                base + at if size else 0
                for at, size in zip(level.offsets, level.sizes, strict=True)
            ))  # fmt: skip
            links.append(tiff.write_level((level.height, level.width), kept, places, level.sizes))
        for (place, _), (_, following) in zip(links[1:], links[:-1], strict=True):
            tiff.write_link(following, place)
        file.flush()
        tiff.write_link(link, links[0][0])

    def close(self) -> None:
        """Forget the tiles."""
        self._spool.close()


class _Tiff:
    """Reads and writes directories of an open TIFF or BigTIFF."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._order = "<" if file.read(2) == b"II" else ">"
        (version,) = self._unpack("H")
        self._big = version == 43
        self._address, self._count = ("Q", "Q") if self._big else ("I", "H")
        self._entry = "HHQ8s" if self._big else "HHI4s"

    def _unpack(self, layout: str) -> tuple[int, ...]:
        layout = self._order + layout
        return struct.unpack(layout, self._file.read(struct.calcsize(layout)))

    def _pack(self, layout: str, *values: int | bytes) -> bytes:
        return struct.pack(self._order + layout, *values)

    def main_directory(self) -> tuple[dict[int, tuple[int, int, bytes]], int]:
        """Return the first directory's entries that a level keeps, and where the last link is."""
        link = 8 if self._big else 4
        kept: dict[int, tuple[int, int, bytes]] = {}
        while True:
            self._file.seek(link)
            (place,) = self._unpack(self._address)
            if not place:
                return kept, link
            self._file.seek(place)
            (count,) = self._unpack(self._count)
            layout = struct.Struct(self._order + self._entry)
            entries = [layout.unpack(self._file.read(layout.size)) for _ in range(count)]
            link = self._file.tell()
            kept = kept or {tag: (kind, n, v) for tag, kind, n, v in entries if tag in _KEPT}

    def write_level(
        self,
        shape_px: tuple[int, int],
        kept: dict[int, tuple[int, int, bytes]],
        offsets: array[int],
        sizes: array[int],
    ) -> tuple[int, int]:
        """Write a directory at the end; returns its place and that of its link."""
        kind = _LONG8 if self._big else _LONG
        entries = dict(kept)
        for tag, value in ((254, 1), (256, shape_px[1]), (257, shape_px[0])):
            entries[tag] = self._number(_LONG, value)
        for tag, value in ((262, 1), (322, TILE_PX), (323, TILE_PX)):
            entries[tag] = self._number(_SHORT, value)
        entries[324], entries[325] = self._numbers(kind, offsets), self._numbers(_LONG, sizes)
        place = self._aligned_end()
        self._file.write(self._pack(self._count, len(entries)))
        for tag in sorted(entries):
            self._file.write(self._pack(self._entry, tag, *entries[tag]))
        link = self._file.tell()
        self._file.write(self._pack(self._address, 0))
        return place, link

    def _number(self, kind: int, value: int) -> tuple[int, int, bytes]:
        return kind, 1, self._pack("H" if kind == _SHORT else "I", value)

    def _numbers(self, kind: int, values: array[int]) -> tuple[int, int, bytes]:
        """Return an entry for numbers; what does not fit into it is written at the end."""
        data = self._pack(f"{len(values)}{'Q' if kind == _LONG8 else 'I'}", *values)
        if len(data) > (8 if self._big else 4):
            place = self._aligned_end()
            self._file.write(data)
            data = self._pack(self._address, place)
        return kind, len(values), data

    def _aligned_end(self) -> int:
        """Go to the end of the file, at a multiple of 8 bytes, and return where that is."""
        end = self._file.seek(0, 2)
        self._file.write(bytes(-end % 8))
        return self._file.tell()

    def write_link(self, link: int, place: int) -> None:
        """Make the link of a directory point to another one."""
        self._file.seek(link)
        self._file.write(self._pack(self._address, place))
