"""The plan of a tiled run: tile size, rows of tiles, column panels. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..geo.windows import Window, window_starts

DEFAULT_MEMORY_MIB = 384
MIN_PANEL_TILES = 4
Span = tuple[int, int]


@dataclass(frozen=True)
class Panel:
    """A range of columns that is processed from top to bottom before the next one.

    Attributes:
        index: Number of the panel, from 0.
        col_start: First column that the panel owns.
        col_stop: Column after the last one that the panel owns.
        tile_starts: First columns of the tiles that touch the owned columns.
        read_start: First column that is read.
        read_stop: Column after the last one that is read.
    """

    index: int
    col_start: int
    col_stop: int
    tile_starts: tuple[int, ...]
    read_start: int
    read_stop: int


@dataclass(frozen=True)
class TilePlan:
    """How a raster is cut into tiles.

    ``tile_px`` is the (height, width) of every tile in the raster, at most the raster's own
    size; ``input_px`` is what the network sees, a multiple of its stride.
    """

    height: int
    width: int
    tile_px: tuple[int, int]
    input_px: tuple[int, int]
    overlap_px: int
    row_starts: tuple[int, ...]
    panels: tuple[Panel, ...]

    @property
    def tiles(self) -> int:
        """Number of tiles, those that two panels share counted twice."""
        return len(self.row_starts) * sum(len(p.tile_starts) for p in self.panels)

    def strip_rows(self, row_index: int) -> tuple[int, int]:
        """Return the rows that are final after this row of tiles, as (start, stop)."""
        last = row_index + 1 == len(self.row_starts)
        stop = self.height if last else self.row_starts[row_index + 1]
        return self.row_starts[row_index], stop

    def first_row_for(self, row_index: int) -> int:
        """Return the first row of tiles that reaches into the strip of ``row_index``."""
        start = self.row_starts[row_index]
        index = row_index
        while index > 0 and self.row_starts[index - 1] + self.tile_px[0] > start:
            index -= 1
        return index

    def alone(self, panel: Panel, row_index: int) -> list[tuple[Span, Span]]:
        """Return the rows and columns of each tile of a row on which no other tile lies.

        They count in the tile's own pixels, from start to before stop.
        """
        rows = _alone(self.row_starts, row_index, self.tile_px[0])
        columns = range(len(panel.tile_starts))
        return [(rows, _alone(panel.tile_starts, i, self.tile_px[1])) for i in columns]

    def windows(self, panel: Panel, row_index: int) -> list[Window]:
        """Return the windows of one row of tiles, in the raster's pixels."""
        row = self.row_starts[row_index]
        return [Window(row, col, *self.tile_px) for col in panel.tile_starts]


def column_bytes(layers: int, bands: int, itemsize: int = 1) -> int:
    """Return how many bytes of buffers a column of a panel needs, per pixel of a tile's height.

    Beside the float32 layers of scores these are labels and scores, as they are merged and as
    they are saved, and up to eight copies of the raster's pixels and their validity: decoded
    ahead, joined to rows of tiles, and in work.

    Args:
        layers: Layers of scores and of their weights.
        bands: Bands that are read.
        itemsize: Bytes of a pixel of one band.
    """
    return 4 * layers + 6 + 8 * (bands * itemsize + 1)


def plan_tiles(
    shape_px: tuple[int, int],
    *,
    tile_px: int,
    overlap_px: int,
    stride: int,
    column_bytes: int,
    memory_mib: int = 0,
    halo_px: int = 0,
) -> TilePlan:
    """Plan the tiles of a raster.

    Args:
        shape_px: Height and width of the raster in pixels, at least 1.
        tile_px: Wanted side of a tile in pixels.
        overlap_px: Overlap of neighbouring tiles in pixels, in ``[0, tile_px)``.
        stride: The network's divisor; ``input_px`` is a multiple of it.
        column_bytes: Bytes of buffers that one column of a panel needs, per tile row pixel.
        memory_mib: Bound for the buffers in MiB, 0 means 384.
        halo_px: Columns beside the owned ones whose scores a panel needs, too.
    """
    height, width = shape_px
    tile = (min(tile_px, height), min(tile_px, width))
    overlap = min(overlap_px, tile_px - 1)
    rows = window_starts(height, tile_px=tile[0], overlap_px=min(overlap, tile[0] - 1))
    columns = window_starts(width, tile_px=tile[1], overlap_px=min(overlap, tile[1] - 1))
    budget = (memory_mib or DEFAULT_MEMORY_MIB) << 20
    panel_px = max(budget // (column_bytes * tile[0]), MIN_PANEL_TILES * tile[1])
    return TilePlan(
        height=height,
        width=width,
        tile_px=tile,
        input_px=(_round_up(tile[0], stride), _round_up(tile[1], stride)),
        overlap_px=overlap,
        row_starts=tuple(rows),
        panels=_panels(columns, tile[1], width, (panel_px, halo_px)),
    )


def _alone(starts: Sequence[int], index: int, length_px: int) -> Span:
    """Return the part of a tile that its neighbours along one axis do not reach."""
    start = starts[index]
    first = max(starts[index - 1] + length_px - start, 0) if index else 0
    stop = min(starts[index + 1] - start, length_px) if index + 1 < len(starts) else length_px
    return first, max(first, stop)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _panels(
    columns: list[int], tile_px: int, width: int, limits_px: tuple[int, int]
) -> tuple[Panel, ...]:
    """Cut the columns of tiles into panels.

    Args:
        columns: First columns of all tiles.
        tile_px: Width of a tile.
        width: Width of the raster.
        limits_px: About how many columns a panel owns, and the halo on both sides of them.
    """
    panel_px, halo_px = limits_px
    panels: list[Panel] = []
    first = 0
    while first < len(columns):
        last = first + 1
        while last < len(columns) and columns[last] + tile_px - columns[first] <= panel_px:
            last += 1
        start = columns[first] if panels else 0
        stop = columns[last] if last < len(columns) else width
        used = tuple(c for c in columns if start - halo_px < c + tile_px and c < stop + halo_px)
        panels.append(Panel(len(panels), start, stop, used, used[0], used[-1] + tile_px))
        first = last
    return tuple(panels)
