"""The tile loop: rows of tiles in, finished strips of labels and scores out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import JobCancelled
from ..geo.normalize import normalize
from ..geo.windows import Window
from ..merge.scores import NODATA_LABEL, LabelRule, ScoreAccumulator
from ..zoo.card import BandSpec
from .bands import Prefetcher, RowSource, TileRow, iter_tile_rows, pad_tile
from .plan import Panel, TilePlan

TileScores = Callable[[Sequence[NDArray[np.float32]]], list[NDArray[np.float32]]]


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
        predict: Scores of a batch of tiles.
        batch: Tiles per call of ``predict``.
        cancelled: Asked before each batch.
        on_tiles: Called with the counts after each batch.
    """

    plan: TilePlan
    bands: Sequence[BandSpec]
    classes: int
    rule: LabelRule
    predict: TileScores
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
        start = self.plan.first_row_for(first_row)
        width = panel.read_stop - panel.read_start
        merged = ScoreAccumulator(self.classes, width, self.plan.tile_px, self.plan.overlap_px)
        merged.start_at(self.plan.row_starts[start])
        rows = iter_tile_rows(source, self.plan, start)
        with Prefetcher(rows) as tile_rows:
            for tile_row in tile_rows:
                self._run_row(panel, tile_row, merged, counts)
                row_start, row_stop = self.plan.strip_rows(tile_row.index)
                labels, scores = merged.flush(row_stop, self.rule)
                valid = tile_row.valid[: row_stop - row_start]
                if tile_row.index >= first_row:
                    yield self._strip(panel, tile_row.index, (labels, scores), valid)

    def _run_row(
        self, panel: Panel, row: TileRow, merged: ScoreAccumulator, counts: TileCounts
    ) -> None:
        """Send the tiles of one row that hold a valid pixel through the network."""
        pending: list[tuple[Window, NDArray[np.float32]]] = []
        windows = self.plan.windows(panel, row.index)
        for number, window in enumerate(windows, start=1):
            columns = slice(
                window.col_off - panel.read_start,
                window.col_off - panel.read_start + window.width,
            )
            valid = row.valid[:, columns]
            if valid.any():
                local = window._replace(col_off=columns.start)
                pending.append((local, self._tile(row.pixels[:, :, columns], valid)))
            else:
                counts.skipped += 1
            if len(pending) >= self.batch or (pending and number == len(windows)):
                self._predict(pending, merged, counts)
                pending = []
        self.on_tiles(counts)

    def _tile(self, pixels: NDArray[np.generic], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the normalised tile at the network's input size; missing pixels are the mean."""
        return pad_tile(normalize(pixels, self.bands, valid), self.plan.input_px)

    def _predict(
        self,
        pending: list[tuple[Window, NDArray[np.float32]]],
        merged: ScoreAccumulator,
        counts: TileCounts,
    ) -> None:
        if self.cancelled():
            raise JobCancelled
        height, width = self.plan.tile_px
        scores = self.predict([tile for _, tile in pending])
        for (window, _), tile_scores in zip(pending, scores, strict=True):
            merged.add(window, tile_scores[:, :height, :width])
        counts.done += len(pending)
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
