"""A prepared run with its folder and its listeners."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..predict.strips import TileCounts
from ..protocol import IsCancelled, Progress, Report
from .run_folder import RunFolder
from .segment_setup import SegmentSetup


@dataclass(frozen=True)
class SegmentRun:
    """A prepared run with its folder and its listeners."""

    setup: SegmentSetup
    folder: RunFolder
    report: Report
    cancelled: IsCancelled

    def tile_reporter(self, total: int) -> Callable[[TileCounts], None]:
        """Return a function that reports how many of ``total`` tiles are done."""

        def on_tiles(counts: TileCounts) -> None:
            self.report(Progress("predict", counts.done + counts.skipped, total, "tiles"))

        return on_tiles
