"""A finished strip as bytes: labels and scores, compressed, with a checksum."""

from __future__ import annotations

import struct
import zlib

from ..geo.packed import pack, unpack
from ..predict.strips import PanelStrip

_HEADER = struct.Struct("<4sIIII")
_MAGIC = b"RSS2"


def encode_strip(strip: PanelStrip) -> bytes:
    """Return the bytes of a strip; equal strips give equal bytes."""
    labels, scores = pack(strip.labels), pack(strip.scores)
    crc = zlib.crc32(scores, zlib.crc32(labels))
    header = _HEADER.pack(_MAGIC, *strip.labels.shape, len(labels), crc)
    return b"".join((header, labels, scores))


def decode_strip(data: bytes, panel: int, row: int) -> PanelStrip | None:
    """Return the strip, or None if the bytes are not those that were written."""
    if len(data) < _HEADER.size or data[:4] != _MAGIC:
        return None
    _, height, width, labels_bytes, crc = _HEADER.unpack(data[: _HEADER.size])
    body = memoryview(data)[_HEADER.size :]
    if zlib.crc32(body) != crc:
        return None
    shape = (height, width)
    labels, scores = unpack(body[:labels_bytes], shape), unpack(body[labels_bytes:], shape)
    return PanelStrip(panel, row, labels, scores)


def is_strip(data: bytes, panel: int, row: int) -> bool:
    """Return whether the bytes are a strip that is whole."""
    return decode_strip(data, panel, row) is not None
