"""Detections of one row of tiles as bytes, for the run folder."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from ..geo.mask_runs import MaskRuns
from ..merge.instances import Detections

_MAGIC = b"RSI1"
_HEADER = struct.Struct("<4sIIII")


def encode_detections(found: Detections) -> bytes:
    """Return detections as bytes; equal detections give equal bytes."""
    masks = found.masks
    arrays = (
        masks.box,
        np.diff(masks.first_line).astype(np.int32),
        np.diff(masks.first_run).astype(np.int32),
        masks.runs,
        found.class_id,
        found.score,
        found.tile,
    )
    body = zlib.compress(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays), 1)
    counts = (len(found), len(masks.first_run) - 1, len(masks.runs))
    return _HEADER.pack(_MAGIC, *counts, zlib.crc32(body)) + body


def decode_detections(data: bytes) -> Detections | None:
    """Return the detections, or None if the bytes are not those that were written."""
    if len(data) < _HEADER.size or data[:4] != _MAGIC:
        return None
    _, count, lines, runs, crc = _HEADER.unpack(data[: _HEADER.size])
    body = data[_HEADER.size :]
    if zlib.crc32(body) != crc:
        return None
    numbers = np.frombuffer(zlib.decompress(body), np.int32)
    ends = np.cumsum([4 * count, count, lines, 2 * runs, count, count, 2 * count])
    box, heights, line_runs, run, class_id, score, tile = np.split(numbers, ends[:-1])
    masks = MaskRuns(
        box.reshape(count, 4),
        np.concatenate([[0], np.cumsum(heights, dtype=np.int64)]),
        np.concatenate([[0], np.cumsum(line_runs, dtype=np.int64)]),
        run.reshape(runs, 2),
    )
    return Detections(masks, class_id, score.view(np.float32), tile.reshape(count, 2))
