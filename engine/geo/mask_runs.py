"""Masks of objects as runs of pixels: small, exact, and quick to compare, unite and paint.

A mask is a box and, for every row of the box, the runs of its pixels from left to right. Runs of
a row do not touch. All numbers are pixels of one raster, so masks of different tiles can be
compared as they are. The cost of each operation grows with the rows of an object, not with its
pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .jit import kernel

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class MaskRuns:
    """Masks as runs of pixels.

    Attributes:
        box: Tight boxes ``int32[n, 4]`` as (first row, first column, end row, end column), the
            ends exclusive.
        first_line: ``int64[n + 1]``, where the rows of each mask begin among all lines.
        first_run: ``int64[lines + 1]``, where the runs of each line begin.
        runs: ``int32[m, 2]``, first column and the one after the last.
    """

    box: Int32
    first_line: Int64
    first_run: Int64
    runs: Int32

    def __len__(self) -> int:
        return len(self.box)

    @property
    def area_px(self) -> Int64:
        """Pixels of each mask, ``int64[n]``."""
        total = np.concatenate([[0], np.cumsum(self.runs[:, 1] - self.runs[:, 0], dtype=np.int64)])
        return np.diff(total[self.first_run[self.first_line]])

    @property
    def nbytes(self) -> int:
        """Memory of the arrays."""
        arrays = (self.box, self.first_line, self.first_run, self.runs)
        return sum(array.nbytes for array in arrays)

    def take(self, index: NDArray[np.integer]) -> MaskRuns:
        """Return some of the masks, in the order of ``index``."""
        chosen = np.asarray(index, np.int64)
        lines = self.first_line[chosen + 1] - self.first_line[chosen]
        first_line = _offsets(lines)
        first = self.first_run[self.first_line[chosen]]
        last = self.first_run[self.first_line[chosen + 1]]
        first_run = np.empty(first_line[-1] + 1, np.int64)
        runs = np.empty((int((last - first).sum()), 2), np.int32)
        _gather(self.first_line, self.first_run, self.runs, chosen, first_run, runs)
        return MaskRuns(self.box[chosen], first_line, first_run, runs)

    def shifted(self, rows: int, columns: int) -> MaskRuns:
        """Return the masks moved down and to the right."""
        step = np.array([rows, columns, rows, columns], np.int32)
        return replace(self, box=self.box + step, runs=self.runs + np.int32(columns))


def no_masks() -> MaskRuns:
    """Return an empty collection."""
    start = np.zeros(1, np.int64)
    return MaskRuns(np.zeros((0, 4), np.int32), start, start, np.zeros((0, 2), np.int32))


def join_masks(parts: Sequence[MaskRuns]) -> MaskRuns:
    """Return all masks of several collections, one after another."""
    if not parts:
        return no_masks()
    lines = np.cumsum([0, *(len(part.first_run) - 1 for part in parts)])
    runs = np.cumsum([0, *(len(part.runs) for part in parts)])
    first_line = [part.first_line[:-1] + at for part, at in zip(parts, lines, strict=False)]
    first_run = [part.first_run[:-1] + at for part, at in zip(parts, runs, strict=False)]
    return MaskRuns(
        np.concatenate([part.box for part in parts]),
        np.concatenate([*first_line, lines[-1:]]).astype(np.int64),
        np.concatenate([*first_run, runs[-1:]]).astype(np.int64),
        np.concatenate([part.runs for part in parts]),
    )


def masks_of_boxes(box: Int32) -> MaskRuns:
    """Return masks that fill their boxes ``int32[n, 4]``, none of them empty."""
    heights = (box[:, 2] - box[:, 0]).astype(np.int64)
    first_line = _offsets(heights)
    runs = np.repeat(box[:, [1, 3]], heights, axis=0)
    return MaskRuns(box, first_line, np.arange(first_line[-1] + 1), runs)


def masks_of_crops(crops: NDArray[np.uint8], box: Int32) -> tuple[MaskRuns, Int64]:
    """Return the runs of binary crops.

    Args:
        crops: The pixels of all crops, row by row, one crop after another, ``uint8[total]``;
            every value but 0 belongs to the object.
        box: Where the crops lie, ``int32[n, 4]``; they need not be tight.

    Returns:
        The masks that have a pixel, with tight boxes, and their numbers among the crops.
    """
    heights, widths = (box[:, 2] - box[:, 0]).astype(np.int64), box[:, 3] - box[:, 1]
    first_line, first_pixel = _offsets(heights), _offsets(heights * widths)
    line_runs = np.zeros(first_line[-1], np.int64)
    tight = np.empty((len(box), 4), np.int32)
    _count_runs(crops, first_pixel, box, first_line, line_runs, tight)
    kept = np.flatnonzero(tight[:, 2] > tight[:, 0])
    crop = np.repeat(np.arange(len(box)), heights)
    row = np.arange(first_line[-1]) - first_line[crop] + box[crop, 0]
    line_runs = line_runs[(row >= tight[crop, 0]) & (row < tight[crop, 2])]
    runs = np.empty((int(line_runs.sum()), 2), np.int32)
    _write_runs(crops, first_pixel, box, runs)
    tight = tight[kept]
    return MaskRuns(tight, _offsets(tight[:, 2] - tight[:, 0]), _offsets(line_runs), runs), kept


def united(masks: MaskRuns, group: Int64, count: int) -> MaskRuns:
    """Return the unions of groups of masks.

    Args:
        masks: The masks.
        group: Group of each mask, from 0 to ``count - 1``; every group has a mask.
        count: Number of groups.
    """
    box = np.empty((count, 4), np.int32)
    box[:, :2], box[:, 2:] = np.iinfo(np.int32).max, np.iinfo(np.int32).min
    for side, best in enumerate((np.minimum, np.minimum, np.maximum, np.maximum)):
        best.at(box[:, side], group, masks.box[:, side])
    first_line = _offsets((box[:, 2] - box[:, 0]).astype(np.int64))
    heights = np.diff(masks.first_line)
    row = np.arange(masks.first_line[-1]) - np.repeat(masks.first_line[:-1], heights)
    row += np.repeat(masks.box[:, 0] - box[group, 0] + first_line[group], heights)
    line = np.repeat(row, np.diff(masks.first_run))
    order = np.lexsort((masks.runs[:, 0], line))
    runs = np.empty_like(masks.runs)
    first_run = np.empty(first_line[-1] + 1, np.int64)
    used = _merge_runs(line[order], masks.runs[order], first_run, runs)
    return MaskRuns(box, first_line, first_run, runs[:used].copy())


def paint(masks: MaskRuns, places: Int64, canvas: NDArray[np.uint8], top: int = 0) -> None:
    """Set the pixels of masks to 1 in a canvas.

    Args:
        masks: The masks.
        places: Where the first corner of each box goes, ``int64[n, 2]`` as (row, column) of the
            whole canvas.
        canvas: Some rows of the canvas, ``uint8[h, W]``; rows outside of it are left out.
        top: The canvas row of its first row.
    """
    _paint(masks.box, masks.first_line, masks.first_run, masks.runs, places, canvas, top)


def _offsets(counts: NDArray[np.integer]) -> Int64:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)


@kernel
def _gather(
    first_line: Int64,
    first_run: Int64,
    runs: Int32,
    index: Int64,
    new_first: Int64,
    new_runs: Int32,
) -> None:
    """Copy lines and runs of some masks."""
    line, at = 0, 0
    new_first[0] = 0
    for k in index:
        begin = first_run[first_line[k]]
        for old in range(first_line[k], first_line[k + 1]):
            line += 1
            new_first[line] = at + first_run[old + 1] - begin
        for old in range(begin, first_run[first_line[k + 1]]):
            new_runs[at, 0], new_runs[at, 1] = runs[old, 0], runs[old, 1]
            at += 1


@kernel
def _count_runs(
    crops: NDArray[np.uint8],
    first_pixel: Int64,
    box: Int32,
    first_line: Int64,
    line_runs: Int64,
    tight: Int32,
) -> None:
    """Count the runs of each line and find the tight box; an empty crop gets an empty one."""
    for k in range(len(box)):
        height, width = box[k, 2] - box[k, 0], box[k, 3] - box[k, 1]
        top, left, bottom, right = height, width, 0, 0
        for row in range(height):
            at = first_pixel[k] + np.int64(row) * width
            before, count = np.uint8(0), 0
            for column in range(width):
                value = crops[at + column]
                if value != 0:
                    if before == 0:
                        count += 1
                        left = min(left, column)
                    right = max(right, column + 1)
                before = value
            line_runs[first_line[k] + row] = count
            if count > 0:
                top = min(top, row)
                bottom = row + 1
        if bottom == 0:
            top = left = 0
        tight[k, 0], tight[k, 1] = box[k, 0] + top, box[k, 1] + left
        tight[k, 2], tight[k, 3] = box[k, 0] + bottom, box[k, 1] + right


@kernel
def _write_runs(crops: NDArray[np.uint8], first_pixel: Int64, box: Int32, runs: Int32) -> None:
    """Write the runs of all crops, one after another."""
    at = 0
    for k in range(len(box)):
        height, width = box[k, 2] - box[k, 0], box[k, 3] - box[k, 1]
        for row in range(height):
            pixel = first_pixel[k] + np.int64(row) * width
            column = 0
            while column < width:
                if crops[pixel + column] == 0:
                    column += 1
                    continue
                runs[at, 0] = box[k, 1] + column
                while column < width and crops[pixel + column] != 0:
                    column += 1
                runs[at, 1] = box[k, 1] + column
                at += 1


@kernel
def _merge_runs(line: Int64, runs: Int32, first_run: Int64, merged: Int32) -> int:
    """Unite overlapping and touching runs of each line; they are sorted by line and start."""
    count, current = 0, -1
    for i in range(len(line)):
        if line[i] == current and runs[i, 0] <= merged[count - 1, 1]:
            merged[count - 1, 1] = max(merged[count - 1, 1], runs[i, 1])
            continue
        while current < line[i]:
            current += 1
            first_run[current] = count
        merged[count, 0], merged[count, 1] = runs[i, 0], runs[i, 1]
        count += 1
    while current < len(first_run) - 1:
        current += 1
        first_run[current] = count
    return count


@kernel
def _paint(
    box: Int32,
    first_line: Int64,
    first_run: Int64,
    runs: Int32,
    places: Int64,
    canvas: NDArray[np.uint8],
    top: int,
) -> None:
    for k in range(len(box)):
        shift = places[k, 1] - box[k, 1]
        for line in range(first_line[k], first_line[k + 1]):
            row = places[k, 0] + line - first_line[k] - top
            if row < 0 or row >= len(canvas):
                continue
            for i in range(first_run[line], first_run[line + 1]):
                for column in range(runs[i, 0], runs[i, 1]):
                    canvas[row, column + shift] = 1
