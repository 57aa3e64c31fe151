"""The tile loop: rows of tiles in, finished strips of labels and scores out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import JobCancelled
from ..geo.normalize import gains_and_shifts, normalize_tile
from ..geo.windows import Window
from ..merge.blend import NODATA_LABEL
from ..merge.scores import LabelRule, ScoreAccumulator
from ..zoo.card import BandSpec
from .bands import Prefetcher, RowSource, TileRow, iter_tile_rows
from .lane import Lane
from .plan import Panel, Span, TilePlan

TileScores = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]


@dataclass(frozen=True)
class PanelStrip:
    """Final rows of one panel: labels and scores uint8 ``[h, panel width]``, 255 = nodata."""

    panel: int
    row_index: int
    labels: NDArray[np.uint8]
    scores: NDArray[np.uint8]


@dataclass
class TileCounts:
    """How many tiles went through the network, and how many held no valid pixel."""

    done: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class TileLoop:
    """Everything that the tile loop needs, apart from the position in the raster.

    Attributes:
        plan: The plan of tiles.
        bands: The card's bands, for normalisation.
        classes: Number of classes K of the network.
        rule: How scores become labels.
        predict: Scores ``[H, W, K]`` of each tile of a batch ``[n, H, W, C]``.
        logits: Whether these are logits, whose softmax is merged.
        batch: Tiles per call of ``predict``.
        cancelled: Asked before each batch.
        on_tiles: Called with the counts after each batch.
    """

    plan: TilePlan
    bands: Sequence[BandSpec]
    classes: int
    rule: LabelRule
    predict: TileScores
    logits: bool
    batch: int
    cancelled: Callable[[], bool]
    on_tiles: Callable[[TileCounts], None]

    def run_panel(
        self, source: RowSource, panel: Panel, first_row: int, counts: TileCounts
    ) -> Iterator[PanelStrip]:
        """Yield the strips of a panel from row of tiles ``first_row`` on.

        Rows of tiles above it that reach into its strip are computed again, in the same
        order as in an undisturbed run, so that the strips are equal to the last bit.
        """
        start = self.start_row(first_row)
        width = panel.read_stop - panel.read_start
        plan = self.plan
        merged = ScoreAccumulator(self.classes, width, plan.tile_px, plan.overlap_px, self.rule)
        merged.start_at(plan.row_starts[start])
        above: Future[list[PanelStrip]] | None = None
        with (
            Prefetcher(iter_tile_rows(source, plan, start)) as tile_rows,
            Lane("rs-segment-merge") as lane,
        ):
            for tile_row in tile_rows:
                self._run_row(panel, tile_row, (merged, lane), counts)
                finished = lane.send(self.finish, panel, tile_row, merged)
                if not self.finishes_beside:
                    lane.wait()
                if above is not None:
                    yield from (s for s in above.result() if s.row_index >= first_row)
                above = finished
            if above is not None:
                yield from (s for s in above.result() if s.row_index >= first_row)

    @property
    def finishes_beside(self) -> bool:
        """Whether :meth:`finish` may run while the network is at the next tiles."""
        return True

    def start_row(self, first_row: int) -> int:
        """Return the row of tiles to begin with, so that ``first_row`` comes out as always."""
        return self.plan.first_row_for(first_row)

    def finish(self, panel: Panel, row: TileRow, merged: ScoreAccumulator) -> list[PanelStrip]:
        """Return the strips that are final once this row of tiles is merged."""
        row_start, row_stop = self.plan.strip_rows(row.index)
        valid = row.valid[: row_stop - row_start]
        return [self._strip(panel, row.index, merged.flush(row_stop), valid)]

    def _run_row(
        self,
        panel: Panel,
        row: TileRow,
        merging: tuple[ScoreAccumulator, Lane],
        counts: TileCounts,
    ) -> None:
        """Send the tiles of one row that hold a valid pixel through the network."""
        gains = gains_and_shifts(self.bands)
        tiles = np.empty((self.batch, *self.plan.input_px, len(self.bands)), np.float32)
        pending: list[tuple[Window, tuple[Span, Span]]] = []
        windows = self.plan.windows(panel, row.index)
        for window, alone in zip(windows, self.alone(panel, row.index), strict=True):
            local = window._replace(col_off=window.col_off - panel.read_start)
            if not row.valid[:, local.col_off : local.col_off + local.width].any():
                counts.skipped += 1
                continue
            normalize_tile(tiles[len(pending)], (row.pixels, row.valid), local, gains)
            pending.append((local, alone))
            if len(pending) == self.batch:
                self._predict(tiles, pending, merging, counts)
                pending = []
        if pending:
            self._predict(tiles[: len(pending)], pending, merging, counts)
        self.on_tiles(counts)

    def alone(self, panel: Panel, row_index: int) -> list[tuple[Span, Span]]:
        """Return which part of each tile of a row may be decided without its neighbours."""
        return self.plan.alone(panel, row_index)

    def _predict(
        self,
        tiles: NDArray[np.float32],
        windows: Sequence[tuple[Window, tuple[Span, Span]]],
        merging: tuple[ScoreAccumulator, Lane],
        counts: TileCounts,
    ) -> None:
        if self.cancelled():
            raise JobCancelled
        merged, lane = merging
        for (window, alone), scores in zip(windows, self.predict(tiles), strict=True):
            lane.send(merged.add, window, scores, logits=self.logits, alone=alone)
        counts.done += len(windows)
        self.on_tiles(counts)

    def _strip(
        self,
        panel: Panel,
        row_index: int,
        rows: tuple[NDArray[np.uint8], NDArray[np.uint8]],
        valid: NDArray[np.bool_],
    ) -> PanelStrip:
        """Cut a strip to the columns that the panel owns and blank its missing pixels."""
        own = slice(panel.col_start - panel.read_start, panel.col_stop - panel.read_start)
        missing = ~valid[:, own]
        labels, scores = (np.ascontiguousarray(part[:, own]) for part in rows)
        labels[missing] = NODATA_LABEL
        scores[missing] = NODATA_LABEL
        return PanelStrip(panel.index, row_index, labels, scores)
