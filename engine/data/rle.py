"""Masks of objects as COCO run lengths, column by column, with the compressed text of COCO.

The run lengths of the columns of a mask follow each other, first of zeros, then of ones. In the
text each length from the fourth on stands as the difference to the last but one before it, in
groups of five bits, the lowest first, one character per group.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
Int64 = NDArray[np.int64]

_GROUP_BITS, _GROUP_MASK, _SIGN_BIT, _MORE_BIT, _FIRST_CHAR = 5, 0x1F, 0x10, 0x20, 48
_MOST_GROUPS = 13


def encode_mask(
    mask: BoolArray, *, shape_px: tuple[int, int] | None = None, row: int = 0, col: int = 0
) -> dict[str, Any]:
    """Return a mask as a COCO record ``{"size": [H, W], "counts": text}``.

    Args:
        mask: The mask, or the part of it that holds the object, ``[h, w]``.
        shape_px: Height and width of the whole mask; the part's if not given.
        row: First row of the part in the whole.
        col: First column of the part in the whole.
    """
    height, width = shape_px or mask.shape
    counts = _counts(mask, height, width, row, col)
    return {"size": [int(height), int(width)], "counts": counts_to_text(counts)}


def _counts(mask: BoolArray, height: int, width: int, row: int, col: int) -> Int64:
    columns = np.zeros((mask.shape[1], mask.shape[0] + 2), np.int8)
    columns[:, 1:-1] = mask.T
    column, at = np.nonzero(np.diff(columns, axis=1))
    edges = (column + col) * height + at + row
    starts, ends = edges[0::2], edges[1::2]
    apart = starts[1:] > ends[:-1]  # runs that go on at the top of the next column are one
    starts = starts[np.concatenate(([True], apart))] if len(starts) else starts
    ends = ends[np.concatenate((apart, [True]))] if len(ends) else ends
    places = np.empty(2 * len(starts) + 2, np.int64)
    places[0], places[-1] = 0, height * width
    places[1:-1:2], places[2:-1:2] = starts, ends
    counts = np.diff(places)
    return counts[:-1] if len(counts) > 1 and counts[-1] == 0 else counts


def counts_to_text(counts: Int64) -> str:
    """Return run lengths as COCO's compressed text."""
    rest = counts.astype(np.int64).copy()
    rest[3:] -= counts[1:-2]
    chars = np.zeros((len(rest), _MOST_GROUPS), np.uint8)
    alive = np.ones(len(rest), dtype=bool)
    for group in range(_MOST_GROUPS):
        bits = rest & _GROUP_MASK
        rest >>= _GROUP_BITS
        more = np.where(bits & _SIGN_BIT, rest != -1, rest != 0) & alive
        chars[alive, group] = (bits + np.where(more, _MORE_BIT, 0) + _FIRST_CHAR)[alive]
        alive = more
        if not alive.any():
            break
    return bytes(chars[chars > 0]).decode("ascii")


def text_to_counts(text: str) -> Int64:
    """Return the run lengths of COCO's compressed text.

    Raises:
        ValueError: If the text is not such a text.
    """
    chars = np.frombuffer(text.encode("ascii", "replace"), np.uint8).astype(np.int64) - _FIRST_CHAR
    if not len(chars):
        return np.zeros(0, np.int64)
    if chars.min() < 0 or chars.max() >= 2 * _MORE_BIT or chars[-1] & _MORE_BIT:
        raise ValueError("the run lengths are not a compressed text of COCO")
    ends = np.flatnonzero((chars & _MORE_BIT) == 0)
    starts = np.concatenate(([0], ends[:-1] + 1))
    group = np.arange(len(chars)) - np.repeat(starts, ends - starts + 1)
    if group.max() >= _MOST_GROUPS - 1:
        raise ValueError("the run lengths are not a compressed text of COCO")
    values = np.add.reduceat((chars & _GROUP_MASK) << (_GROUP_BITS * group), starts)
    negative = (chars[ends] & _SIGN_BIT) != 0
    values[negative] -= np.int64(1) << (_GROUP_BITS * (group[ends][negative] + 1))
    for first in (1, 2):
        values[first::2] = np.cumsum(values[first::2])
    return values


def counts_of(record: Mapping[str, Any]) -> Int64:
    """Return the run lengths of a COCO record, compressed or plain.

    Raises:
        ValueError: If they do not fill the record's size.
    """
    counts = record["counts"]
    if isinstance(counts, bytes):
        counts = counts.decode("ascii", "replace")
    lengths = text_to_counts(counts) if isinstance(counts, str) else np.asarray(counts, np.int64)
    height, width = (int(side) for side in record["size"])
    if len(lengths) and (lengths.min() < 0 or lengths.sum() != height * width):
        raise ValueError(f"the run lengths do not fill a mask of {height} x {width}")
    return lengths


def paint_record(record: Mapping[str, Any], out: BoolArray) -> None:
    """Set the pixels of a record's object in a mask of its size, ``bool[H, W]``.

    Raises:
        ValueError: If the record is broken or of another size.
    """
    lengths = counts_of(record)
    height = out.shape[0]
    if tuple(record["size"]) != out.shape:
        raise ValueError(f"the run lengths are for {record['size']}, not {list(out.shape)}")
    if len(lengths) < 2:
        return
    edges = np.cumsum(lengths)
    first, last = int(edges[0]) // height, int(edges[len(lengths) // 2 * 2 - 1] - 1) // height
    inner = lengths.copy()
    inner[0] -= first * height
    values = np.repeat(np.arange(len(inner)) % 2 == 1, inner)
    span = (last - first + 1) * height
    part = np.zeros(span, dtype=bool)
    part[: min(span, len(values))] = values[:span]
    out[:, first : last + 1] |= part.reshape(-1, height).T


def decode_mask(record: Mapping[str, Any]) -> BoolArray:
    """Return the mask ``bool[H, W]`` of a COCO record.

    Raises:
        ValueError: If the record is broken.
    """
    mask = np.zeros(tuple(int(side) for side in record["size"]), dtype=bool)
    paint_record(record, mask)
    return mask


def box_and_area(mask: BoolArray, row: int = 0, col: int = 0) -> tuple[list[int], int]:
    """Return COCO's box ``[x, y, width, height]`` and the area of a mask, in pixels.

    Args:
        mask: A mask with a pixel, or a part of it, ``[h, w]``.
        row: First row of the part in the whole.
        col: First column of the part in the whole.
    """
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(cols[0])
    box = [left + col, top + row, int(cols[-1]) - left + 1, int(rows[-1]) - top + 1]
    return box, int(mask.sum())
