"""The border of the command line: runs a job, shows its events, returns the exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TextIO

from ..errors import INTERNAL_CODE
from ..process import claim_stdout
from ..protocol import Cancelled, Event, Failure, Log, Metrics, Progress, Result, encode_event
from ..runner import BUG_HINT, FinalEvent, run_named
from .progress import progress_view

DONE = 0
USER_CAN_MEND = 2
OUR_BUG = 3
INTERRUPTED = 130
LOSS_INTERVAL_S = 30.0
RANK_VARIABLE = "RANK"
SHOWN_METRICS = ("loss", "iou_mean", "miou", "mask_AP", "mask_AP50")

ShowResult = Callable[[Result], str]


class Console:
    """Results on stdout, everything else on stderr.

    Takes the process's stdout for itself, so that nothing that a library prints mixes with the
    result.

    Args:
        as_json: Whether final events are written as JSON lines instead of text.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._out: TextIO = claim_stdout()
        self._as_json = as_json
        self._speaks = os.environ.get(RANK_VARIABLE, "0") == "0"
        self._view = progress_view()
        self._warned: set[str] = set()
        self._train_loss: float | None = None
        self._next_loss_s = 0.0
        self._cancelled = threading.Event()

    def run(
        self, name: str, record: Mapping[str, Any], show: ShowResult, *, job_id: str = ""
    ) -> FinalEvent:
        """Run a job and show how it ended; the caller decides about the exit code.

        Args:
            name: Name of the job.
            record: Fields of the job.
            show: Returns the text of a result for people.
            job_id: Put into the final event, to tell several of them apart.
        """
        with self._signals():
            final = run_named(name, record, self.report, self._cancelled.is_set)
        self._view.close()
        self.show(replace(final, id=job_id), show)
        return final

    @property
    def interrupted(self) -> bool:
        """Whether the user asked to stop."""
        return self._cancelled.is_set()

    def report(self, event: Event) -> None:
        """Show a progress or log event; a warning is shown once."""
        if isinstance(event, Progress):
            self._view.update(event)
        elif isinstance(event, Log) and event.level == "warning":
            if event.message not in self._warned:
                self._warned.add(event.message)
                self._view.line(f"Warning: {event.message}")
        elif isinstance(event, Log):
            self._view.line(event.message)
        elif isinstance(event, Metrics):
            self._show_metrics(event)

    def _show_metrics(self, event: Metrics) -> None:
        """Show a validation with the training loss before it; the loss alone from time to time."""
        if event.series == "train":
            self._train_loss = event.values.get("loss", self._train_loss)
            now_s = time.monotonic()
            if now_s >= self._next_loss_s and self._train_loss is not None:
                self._next_loss_s = now_s + LOSS_INTERVAL_S
                self._view.line(f"step {event.step}: loss {self._train_loss:.4g}")
            return
        shown = [f"{n} {event.values[n]:.4f}" for n in SHOWN_METRICS if n in event.values]
        loss = f", training loss {self._train_loss:.4g}" if self._train_loss is not None else ""
        self._view.line(f"epoch {event.epoch:g}, step {event.step}: {', '.join(shown)}{loss}")

    def show(self, final: FinalEvent, text: ShowResult) -> None:
        """Write a final event: JSON or text of a result to stdout, trouble to stderr.

        Of several processes that torchrun started, only the first one writes results.
        """
        if isinstance(final, Failure):
            self._view.line(failure_text(final))
        if not self._speaks:
            return
        if self._as_json:
            self.write(encode_event(final))
        elif isinstance(final, Result):
            self.write(text(final))

    def note(self, text: str) -> None:
        """Write a line for people to stderr."""
        self._view.line(text)

    def write(self, text: str) -> None:
        """Write a line to stdout; a reader that went away is no error."""
        with contextlib.suppress(BrokenPipeError):
            self._out.write(text + "\n")
            self._out.flush()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Turn Ctrl-C and the termination signal into a cancel; the second one ends at once."""
        own = os.getpid()

        def stop(number: int, frame: object) -> None:
            if os.getpid() != own:  # a reading process that was forked; it ends with its parent
                return
            if self._cancelled.is_set():
                os._exit(INTERRUPTED)
            self._cancelled.set()
            sys.stderr.write("\nstopping; press Ctrl-C again to stop at once\n")

        earlier = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)


def exit_code(*finals: FinalEvent) -> int:
    """Return the exit code for the final events of a command: the worst one."""
    if any(isinstance(f, Cancelled) for f in finals):
        return INTERRUPTED
    codes = {f.code for f in finals if isinstance(f, Failure)}
    if not codes:
        return DONE
    return OUR_BUG if INTERNAL_CODE in codes else USER_CAN_MEND


def failure_text(failure: Failure) -> str:
    """Return a failure for people; the traceback only if it is our bug."""
    lines = [f"Error: {failure.message}"]
    if failure.code == INTERNAL_CODE:
        lines = [failure.details.rstrip(), *lines]
    hint = failure.hint or (BUG_HINT if failure.code == INTERNAL_CODE else "")
    if hint:
        lines.append(f"Hint: {hint}")
    return "\n".join(line for line in lines if line)
