"""Blocks of ground for the split into training, validation and test, and the chips inside them.

All rectangles are pixels of one raster. Blocks cover the area without overlap, and chips lie
inside their block, so parts share no pixel. With a buffer, the blocks of the less important part
give way: training to validation and test, validation to test.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from ..geo.windows import Window

BLOCKS_WANTED = 48
LEAST_BLOCKS = 16
LEAST_SIDE_PX = 8
TRAIN, VALIDATION, TEST = 0, 1, 2
Int64 = NDArray[np.int64]


def automatic_block_px(height_px: int, width_px: int, tile_px: int) -> int:
    """Return a side for square blocks: about 48 blocks, each of whole tiles.

    An area with fewer than 16 tiles gets about 16 blocks that are smaller than a tile, so that
    every part can have some.

    Args:
        height_px: Height of the area to split.
        width_px: Width of the area.
        tile_px: Side of a chip.
    """
    area = height_px * width_px
    if area >= LEAST_BLOCKS * tile_px**2:
        return whole_tiles(math.sqrt(area / BLOCKS_WANTED), tile_px)
    side = max(LEAST_SIDE_PX, int(math.sqrt(area / LEAST_BLOCKS)))
    return min(side, tile_px)


def whole_tiles(side_px: float, tile_px: int) -> int:
    """Return the side of a block as whole tiles if it holds one, else as it is (at least 1)."""
    if side_px < tile_px:
        return max(1, round(side_px))
    return max(1, round(side_px / tile_px)) * tile_px


def block_grid(area: Window, block_height_px: int, block_width_px: int) -> list[Window]:
    """Return the blocks that cover an area, row by row; the last ones may be 1.5 times as long."""
    rows = _borders(area.height, block_height_px)
    cols = _borders(area.width, block_width_px)
    return [
        Window(area.row_off + row, area.col_off + col, row_end - row, col_end - col)
        for row, row_end in itertools.pairwise(rows)
        for col, col_end in itertools.pairwise(cols)
    ]


def _borders(length_px: int, block_px: int) -> list[int]:
    """Return where blocks begin and end; a rest of less than half a block joins the last one."""
    count = max(1, math.floor(length_px / block_px + 0.5))
    return [*(i * block_px for i in range(count)), length_px]


def chip_windows(region: Window, tile_px: int, overlap_px: int = 0) -> list[Window]:
    """Return the chips that cover a region, row by row.

    No chip leaves the region; sides are between half a tile and a tile, unless the region is
    smaller. Without overlap every pixel lies in exactly one chip.

    Args:
        region: The region.
        tile_px: Largest side of a chip.
        overlap_px: Pixels that neighbours share, in ``[0, tile_px)``.
    """
    rows = _spans(region.height, tile_px, overlap_px)
    cols = _spans(region.width, tile_px, overlap_px)
    return [
        Window(region.row_off + row, region.col_off + col, row_end - row, col_end - col)
        for row, row_end in rows
        for col, col_end in cols
    ]


def _spans(length_px: int, tile_px: int, overlap_px: int) -> list[tuple[int, int]]:
    """Return first and end pixel of the chips of one axis."""
    if length_px <= tile_px:
        return [(0, length_px)]
    step = tile_px - overlap_px
    count = math.ceil((length_px - overlap_px) / step)
    spans = [(i * step, min(i * step + tile_px, length_px)) for i in range(count)]
    start, end = spans[-1]
    if 2 * (end - start) >= tile_px:
        return spans
    first = spans[-2][0]
    middle = first + (length_px - first + overlap_px + 1) // 2
    return [*spans[:-2], (first, middle), (middle - overlap_px, length_px)]


def keep_distance(
    blocks: Sequence[Window], parts: Int64, buffer_rows_px: int, buffer_cols_px: int
) -> list[Window | None]:
    """Return what is left of each block so that parts are a buffer apart.

    Args:
        blocks: Blocks without overlap.
        parts: Part of each, 0 train, 1 validation, 2 test.
        buffer_rows_px: Rows that must lie between pixels of different parts, unless
            ``buffer_cols_px`` columns do.
        buffer_cols_px: Columns that are enough.

    Returns:
        The rectangles, None where nothing is left.
    """
    left: list[Window | None] = list(blocks)
    if buffer_rows_px <= 0 and buffer_cols_px <= 0:
        return left
    tree = shapely.STRtree([_box(block, 0, 0) for block in blocks])
    for index, block in enumerate(blocks):
        near = tree.query(_box(block, buffer_rows_px, buffer_cols_px))
        for other in sorted(int(i) for i in near if parts[i] > parts[index]):
            current = left[index]
            if current is None:
                break
            left[index] = _cut(current, blocks[other], buffer_rows_px, buffer_cols_px)
    return left


def _box(block: Window, more_rows: int, more_cols: int) -> shapely.Polygon:
    return shapely.box(
        block.col_off - more_cols,
        block.row_off - more_rows,
        block.col_end + more_cols,
        block.row_end + more_rows,
    )


def _cut(block: Window, foreign: Window, rows_px: int, cols_px: int) -> Window | None:
    """Return the largest rectangle of a block that keeps its distance to a foreign one."""
    top, bottom = foreign.row_off - rows_px, foreign.row_end + rows_px
    west, east = foreign.col_off - cols_px, foreign.col_end + cols_px
    apart = block.row_end <= top or block.row_off >= bottom
    if apart or block.col_end <= west or block.col_off >= east:
        return block
    row, col, row_end, col_end = block.row_off, block.col_off, block.row_end, block.col_end
    sides = [
        Window(row, col, top - row, block.width),
        Window(bottom, col, row_end - bottom, block.width),
        Window(row, col, block.height, west - col),
        Window(row, east, block.height, col_end - east),
    ]
    best = max(sides, key=lambda side: max(side.height, 0) * max(side.width, 0))
    return best if best.height > 0 and best.width > 0 else None
