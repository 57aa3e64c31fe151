"""The tile loop of instance networks: rows of tiles in, detections of each row out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import JobCancelled
from ..geo.normalize import normalize
from ..merge.instances import Detections, TileLayout, join_detections
from ..zoo.card import BandSpec
from .bands import Prefetcher, RowSource, TileRow, iter_tile_rows, pad_tile
from .instances import InstanceTile, TileInstances
from .plan import Panel, TilePlan
from .strips import TileCounts

Predict = Callable[[Sequence[InstanceTile]], list[TileInstances]]


def tile_layout(plan: TilePlan) -> TileLayout:
    """Return where the tiles of a plan lie, all panels together."""
    columns = sorted({column for panel in plan.panels for column in panel.tile_starts})
    return TileLayout(plan.row_starts, tuple(columns), plan.tile_px, (plan.height, plan.width))


def own_tiles(panel: Panel, plan: TilePlan) -> Panel:
    """Return a panel with those tiles only that no panel to its left has."""
    starts = tuple(c for c in panel.tile_starts if c >= panel.col_start)
    return replace(
        panel, tile_starts=starts, read_start=starts[0], read_stop=starts[-1] + plan.tile_px[1]
    )


@dataclass(frozen=True)
class InstanceLoop:
    """Everything that the tile loop needs, apart from the position in the raster.

    Attributes:
        plan: The plan of tiles.
        layout: Where its tiles lie, see :func:`tile_layout`.
        bands: The card's bands, for normalisation.
        predict: Instances of a batch of tiles.
        batch: Tiles per call of ``predict``.
        cancelled: Asked before each batch.
        on_tiles: Called with the counts after each batch.
    """

    plan: TilePlan
    layout: TileLayout
    bands: Sequence[BandSpec]
    predict: Predict
    batch: int
    cancelled: Callable[[], bool]
    on_tiles: Callable[[TileCounts], None]

    def run_panel(
        self, source: RowSource, panel: Panel, first_row: int, counts: TileCounts
    ) -> Iterator[tuple[int, Detections]]:
        """Yield number and detections of each row of tiles from ``first_row`` on.

        Args:
            source: The rows of the columns that the panel reads.
            panel: A panel of :func:`own_tiles`.
            first_row: First row of tiles.
            counts: Tiles are counted here.
        """
        with Prefetcher(iter_tile_rows(source, self.plan, first_row)) as rows:
            for row in rows:
                yield row.index, self._run_row(panel, row, counts)

    def _run_row(self, panel: Panel, row: TileRow, counts: TileCounts) -> Detections:
        """Send the tiles of one row that hold a valid pixel through the network."""
        found: list[Detections] = []
        pending: list[tuple[int, InstanceTile]] = []
        columns = self.layout.column_starts
        for number, column in enumerate(panel.tile_starts, start=1):
            left = column - panel.read_start
            own = slice(left, left + self.plan.tile_px[1])
            valid = row.valid[:, own]
            if valid.any():
                pixels = normalize(row.pixels[:, :, own], self.bands, valid)
                tile = InstanceTile(
                    pad_tile(pixels, self.plan.input_px), np.ascontiguousarray(valid)
                )
                pending.append((columns.index(column), tile))
            else:
                counts.skipped += 1
            if len(pending) >= self.batch or (pending and number == len(panel.tile_starts)):
                found += self._predict(row.index, pending, counts)
                pending = []
        self.on_tiles(counts)
        return join_detections(found)

    def _predict(
        self, row_index: int, pending: list[tuple[int, InstanceTile]], counts: TileCounts
    ) -> list[Detections]:
        if self.cancelled():
            raise JobCancelled
        found = self.predict([tile for _, tile in pending])
        counts.done += len(pending)
        self.on_tiles(counts)
        return [
            self._placed(instances, row_index, column)
            for (column, _), instances in zip(pending, found, strict=True)
        ]

    def _placed(self, found: TileInstances, row: int, column: int) -> Detections:
        """Return the instances of a tile in pixels of the raster."""
        rows, columns = self.layout.row_starts, self.layout.column_starts
        masks = found.masks.shifted(rows[row], columns[column])
        tile = np.tile(np.array([row, column], np.int32), (len(masks), 1))
        return Detections(masks, found.class_id, found.score, tile)
