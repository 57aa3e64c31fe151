"""Chips as GeoTIFF files in memory: written for quick reading, read without GDAL where possible.

The pixels of a chip lie uncompressed, band after band, so that reading is one read of the file.
Masks are one deflated strip. Files that have another layout (made or compressed again by other
programs) are read through GDAL. No file stays open, so processes may be forked at any time.
"""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS
from rasterio.env import Env
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from ..errors import RasterReadError
from .grid import Grid
from .source import GDAL_ERRORS

NO_COMPRESSION, DEFLATE = 1, 8
DEFLATE_LEVEL = 1
_HEAD_BYTES = 8192
_MEMORY_FILE = re.compile(r"^\S*[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\S*: ")
_FIELD = struct.Struct("<HHI4s")
_KINDS = {3: ("H", 2), 4: ("I", 4)}
_SAMPLE_KINDS = {1: "u", 2: "i", 3: "f"}
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _OFFSETS, _SAMPLES = 256, 257, 258, 259, 273, 277
_BYTE_COUNTS, _PLANAR, _PREDICTOR, _FORMAT = 279, 284, 317, 339


def encode_chip(
    pixels: npt.NDArray[Any],
    grid: Grid | None,
    *,
    valid: npt.NDArray[np.bool_] | None = None,
    names: Sequence[str] = (),
    deflate: bool = False,
) -> bytes:
    """Return a GeoTIFF of a chip; equal chips give equal bytes.

    Args:
        pixels: ``[C, H, W]``.
        grid: Place of the chip, None if it has none.
        valid: Which pixels hold data, ``[H, W]``; None if all do.
        names: Names of the bands.
        deflate: Whether the pixels are compressed.
    """
    count, height, width = pixels.shape
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": count,
        "height": height,
        "width": width,
        "dtype": pixels.dtype,
        "interleave": "band",
        "blockysize": height,
        "bigtiff": "IF_SAFER",
        "photometric": "MINISBLACK",
    }
    if deflate:
        profile.update(compress="deflate", zlevel=DEFLATE_LEVEL)
    if grid is not None:
        crs = CRS.from_wkt(grid.crs_wkt) if grid.crs_wkt else None
        profile.update(transform=grid.transform, crs=crs)
    with warnings.catch_warnings(), Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(**profile) as out:
            for band, name in enumerate(names, 1):  # before the pixels: tags stay in front
                if name:
                    out.set_band_description(band, name)
            out.write(pixels)
            if valid is not None:
                out.write_mask(valid)
        return bytes(memory.getbuffer())


def read_chip(path: Path) -> npt.NDArray[Any]:
    """Return the pixels ``[C, H, W]`` of a chip's file.

    Uncompressed pixels are read straight into the array.

    Raises:
        RasterReadError: If the file is damaged.
        OSError: If it cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        head = file.read(_HEAD_BYTES)
        layout = _layout(head)
        if layout is not None and layout.compression == NO_COMPRESSION and layout.in_order:
            pixels = np.empty(layout.shape, layout.dtype)
            view = pixels.reshape(-1).view(np.uint8).data
            file.seek(layout.offsets[0])
            if file.readinto(view) == pixels.nbytes:
                return pixels
    return decode_chip(path.read_bytes(), path.name)


def decode_chip(data: bytes, name: str) -> npt.NDArray[Any]:
    """Return the pixels ``[C, H, W]`` of a GeoTIFF, as an array of its own.

    Args:
        data: The file.
        name: Its name, for the error.

    Raises:
        RasterReadError: If it is damaged.
    """
    if not data:
        raise _damaged(name, ValueError("it is empty"))
    layout = _layout(data)
    pixels = None if layout is None else _plain_pixels(data, layout)
    if pixels is not None:
        return pixels
    try:
        with _silent(), MemoryFile(data) as memory, memory.open() as dataset:
            return np.asarray(dataset.read())
    except GDAL_ERRORS as error:
        raise _damaged(name, error) from None


def decode_valid(data: bytes, name: str) -> npt.NDArray[np.bool_]:
    """Return which pixels of a GeoTIFF hold data, ``[H, W]``.

    Raises:
        RasterReadError: If it is damaged.
    """
    try:
        with _silent(), MemoryFile(data) as memory, memory.open() as dataset:
            return np.asarray(dataset.dataset_mask() > 0)
    except GDAL_ERRORS as error:
        raise _damaged(name, error) from None


@contextmanager
def _silent() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def _damaged(name: str, error: Exception) -> RasterReadError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    reason = _MEMORY_FILE.sub("", reason)
    return RasterReadError(
        f"chip {name} cannot be read: {reason}", "the file is damaged: make the chips again"
    )


class _Layout(NamedTuple):
    """Where the samples of a simple TIFF lie."""

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    compression: int
    offsets: tuple[int, ...]
    byte_counts: tuple[int, ...]

    @property
    def band_bytes(self) -> int:
        """Bytes of the pixels of one band."""
        return self.shape[1] * self.shape[2] * self.dtype.itemsize

    @property
    def in_order(self) -> bool:
        """Whether the bands follow each other without a gap."""
        first, size = self.offsets[0], self.band_bytes
        return self.offsets == tuple(range(first, first + self.shape[0] * size, size))


def _layout(data: bytes) -> _Layout | None:
    """Return the layout of a classic little-endian TIFF with one strip per band, or None."""
    if len(data) < 8 or data[:4] != b"II*\x00":
        return None
    try:
        tags = _tags(data)
        samples = tags.get(_SAMPLES, (1,))[0]
        shape = (samples, tags[_HEIGHT][0], tags[_WIDTH][0])
        kind = _SAMPLE_KINDS.get(tags.get(_FORMAT, (1,))[0], "")
        bits, planar = tags[_BITS][0], tags.get(_PLANAR, (1,))[0]
        offsets, counts = tags[_OFFSETS], tags[_BYTE_COUNTS]
    except (struct.error, KeyError, IndexError):
        return None
    simple = len(offsets) == samples and (samples == 1 or planar == 2)
    if not simple or not kind or bits % 8 or tags.get(_PREDICTOR, (1,))[0] != 1:
        return None
    dtype = np.dtype(f"<{kind}{bits // 8}")
    return _Layout(shape, dtype, tags[_COMPRESSION][0], offsets, counts)


def _tags(data: bytes) -> dict[int, tuple[int, ...]]:
    """Return the whole-number tags of the first image of a TIFF."""
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    tags = {}
    for index in range(count):
        tag, kind, length, value = _FIELD.unpack_from(data, start + 2 + 12 * index)
        if kind not in _KINDS or tag < _WIDTH or tag > _FORMAT:
            continue
        code, size = _KINDS[kind]
        if length * size <= 4:
            tags[tag] = struct.unpack_from(f"<{length}{code}", value)
        else:
            tags[tag] = struct.unpack_from(f"<{length}{code}", data, struct.unpack("<I", value)[0])
    return tags


def _plain_pixels(data: bytes, layout: _Layout) -> npt.NDArray[Any] | None:
    """Return the pixels of a simple TIFF, or None if they are not where they should be."""
    samples, size, first = layout.shape[0], layout.band_bytes, layout.offsets[0]
    if layout.compression == DEFLATE and samples == 1:
        try:
            plain = zlib.decompress(data[first : first + layout.byte_counts[0]])
        except zlib.error:
            return None
        if len(plain) != size:
            return None
        return np.frombuffer(plain, layout.dtype).reshape(layout.shape).copy()
    plain_layout = layout.compression == NO_COMPRESSION and layout.in_order
    if not plain_layout or first + samples * size > len(data):
        return None
    count = samples * size // layout.dtype.itemsize
    return np.frombuffer(data, layout.dtype, count, first).reshape(layout.shape).copy()
