"""How progress is shown on stderr: a bar on a terminal, sparse lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tqdm import tqdm

from ..protocol import Progress

LINE_INTERVAL_S = 10.0


class ProgressView(Protocol):
    """Shows progress events and leaves room for other lines."""

    def update(self, event: Progress) -> None:
        """Show a progress event."""

    def line(self, text: str) -> None:
        """Show a line beside the progress."""

    def close(self) -> None:
        """End the current stage."""


def progress_view() -> ProgressView:
    """Return a bar if stderr is a terminal, else lines."""
    return BarView() if sys.stderr is not None and sys.stderr.isatty() else LineView()


class BarView:
    """One bar for each stage, with throughput and time left."""

    def __init__(self) -> None:
        self._bar: tqdm[None] | None = None
        self._stage = ""

    def update(self, event: Progress) -> None:
        """Show a progress event; a new stage starts a new bar."""
        from tqdm import tqdm

        if self._bar is None or event.stage != self._stage:
            self.close()
            self._stage = event.stage
            self._bar = tqdm(
                total=event.total or None,
                desc=event.stage,
                unit=f" {event.unit}" if event.unit else "",
                initial=min(event.done, event.total) if event.total else event.done,
                file=sys.stderr,
                **_bar_size(),
            )
        self._bar.update(event.done - self._bar.n)

    def line(self, text: str) -> None:
        """Show a line above the bar."""
        from tqdm import tqdm

        tqdm.write(text, file=sys.stderr)

    def close(self) -> None:
        """End the current bar, which stays visible."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _bar_size() -> dict[str, Any]:
    """Return the size of a bar: the terminal's, or a usual one if the terminal tells none."""
    try:
        columns = os.get_terminal_size(2).columns
    except OSError:
        columns = 0
    return {"dynamic_ncols": True} if columns else {"ncols": 80, "nrows": 24}


class LineView:
    """A line at the start and the end of each stage, and one every few seconds."""

    def __init__(self, interval_s: float = LINE_INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._stage = ""
        self._start_s = 0.0
        self._start_done = 0
        self._next_s = 0.0
        self._last: Progress | None = None
        self._shown: Progress | None = None

    def update(self, event: Progress) -> None:
        """Show a progress event if enough time has passed."""
        now_s = time.monotonic()
        if event.stage != self._stage or self._last is None:
            self.close()
            self._stage, self._start_s, self._start_done = event.stage, now_s, event.done
            self._next_s = now_s
        self._last = event
        if now_s >= self._next_s:
            self._next_s = now_s + self._interval_s
            self._show(event, now_s)

    def _show(self, event: Progress, now_s: float) -> None:
        done, seconds = event.done - self._start_done, now_s - self._start_s
        total = f" of {event.total}" if event.total else ""
        text = f"{event.stage}: {event.done}{total} {event.unit}".rstrip()
        if done > 0 and seconds > 0:
            rate = done / seconds
            text += f", {rate:.3g} {event.unit}/s"
            if event.total > event.done:
                text += f", {duration_text((event.total - event.done) / rate)} left"
        self.line(text)
        self._shown = event

    def line(self, text: str) -> None:
        """Show a line."""
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """End the current stage with a line of its last progress."""
        if self._last is not None and self._last != self._shown:
            self._show(self._last, time.monotonic())
        self._last = self._shown = None


def duration_text(seconds: float) -> str:
    """Return a duration in words: ``41 s``, ``3 min 05 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if seconds >= 10 else f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
