"""A prepared run with its folder and its listeners."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Event

from ..predict.strips import TileCounts
from ..protocol import Event as EngineEvent
from ..protocol import IsCancelled, Progress, Report
from .run_folder import RunFolder
from .segment_setup import SegmentSetup


@dataclass(frozen=True)
class SegmentRun:
    """A prepared run with its folder and its listeners.

    Attributes:
        setup: What was prepared.
        folder: Where its strips or detections are kept.
        report: Called with progress and log events.
        cancelled: Asked before each batch and each strip.
        predicted: Set once all tiles are through the network.
    """

    setup: SegmentSetup
    folder: RunFolder
    report: Report
    cancelled: IsCancelled
    predicted: Event = field(default_factory=Event)

    def beside(self) -> SegmentRun:
        """Return the run for a thread that works beside the network: not heard until then."""

        def report(event: EngineEvent) -> None:
            if self.predicted.is_set():
                self.report(event)

        def cancelled() -> bool:
            return self.predicted.is_set() and self.cancelled()

        return replace(self, report=report, cancelled=cancelled)

    def tile_reporter(self, total: int) -> Callable[[TileCounts], None]:
        """Return a function that reports how many of ``total`` tiles are done."""

        def on_tiles(counts: TileCounts) -> None:
            self.report(Progress("predict", counts.done + counts.skipped, total, "tiles"))

        return on_tiles
