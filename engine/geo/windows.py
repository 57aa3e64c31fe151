"""Windows: rectangles of pixels, and the plan that covers a raster with tiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Window(NamedTuple):
    """A rectangle of pixels of a raster: first row, first column, height and width."""

    row_off: int
    col_off: int
    height: int
    width: int

    @property
    def row_end(self) -> int:
        """Row after the last one."""
        return self.row_off + self.height

    @property
    def col_end(self) -> int:
        """Column after the last one."""
        return self.col_off + self.width

    def intersection(self, other: Window) -> Window | None:
        """Return the pixels that both windows have, or None if there are none."""
        row0, col0 = max(self.row_off, other.row_off), max(self.col_off, other.col_off)
        row1, col1 = min(self.row_end, other.row_end), min(self.col_end, other.col_end)
        if row1 <= row0 or col1 <= col0:
            return None
        return Window(row0, col0, row1 - row0, col1 - col0)


def window_starts(length_px: int, *, tile_px: int, overlap_px: int) -> list[int]:
    """Return the first pixels of the tiles that cover one axis of a raster, in order.

    Neighbours share ``overlap_px`` pixels. The last tile is moved inwards so that it ends
    with the raster, and then shares more. A raster that is not longer than a tile has one
    tile that starts at 0.

    Args:
        length_px: Length of the axis in pixels, at least 1.
        tile_px: Tile side in pixels, at least 1.
        overlap_px: Pixels that neighbours share, in ``[0, tile_px)``.

    Raises:
        ValueError: If one of the numbers is outside its range.
    """
    if length_px < 1 or tile_px < 1:
        raise ValueError(f"length_px {length_px} and tile_px {tile_px} must be at least 1")
    if not 0 <= overlap_px < tile_px:
        raise ValueError(f"overlap_px {overlap_px} must be in 0..{tile_px - 1}")
    last = length_px - tile_px
    if last <= 0:
        return [0]
    return [*range(0, last, tile_px - overlap_px), last]


def iter_windows(height: int, width: int, *, tile_px: int, overlap_px: int) -> Iterator[Window]:
    """Yield the windows that cover a raster, row by row from the top-left corner.

    The last window of a row or column is moved inwards instead of padded, so all windows
    have the same size and none leaves the raster. An axis shorter than a tile has windows
    of its own length.

    Args:
        height: Rows of the raster, at least 1.
        width: Columns of the raster, at least 1.
        tile_px: Window side in pixels.
        overlap_px: Overlap of neighbouring windows in pixels, in ``[0, tile_px)``.

    Raises:
        ValueError: If one of the numbers is outside its range.
    """
    columns = window_starts(width, tile_px=tile_px, overlap_px=overlap_px)
    for row in window_starts(height, tile_px=tile_px, overlap_px=overlap_px):
        for column in columns:
            yield Window(row, column, min(tile_px, height), min(tile_px, width))
