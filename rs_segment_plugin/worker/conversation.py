"""The talk about one run: its events until the final one, a cancel, a process that dies."""

from __future__ import annotations

import queue
import time
from typing import Callable, Optional, Union

from ..engine_api import Cancelled, Event, Failure, Log, Result
from ..messages import tr
from .process import ENVIRONMENT_CODE, Dispatcher, Ended, Run

POLL_S = 0.05
CANCEL_LIMIT_S = 0.95
QUIET_S = 60.0

FinalEvent = Union[Result, Failure, Cancelled]
OnEvent = Callable[[Event], None]


def converse(
    new_run: Callable[[], Run],
    started: Callable[[], Optional[Dispatcher]],
    on_event: OnEvent,
    cancelled: Callable[[], bool],
) -> FinalEvent:
    """Run a job, a second time if a warm process was gone, and return its final event.

    Args:
        new_run: Returns the job with a new id.
        started: Returns the dispatcher, None when the plugin is closing.
        on_event: Called in this thread with every log, progress and metrics.
        cancelled: Asked every 50 ms.
    """

    def once() -> Union[FinalEvent, Ended]:
        dispatcher = started()
        if dispatcher is None:
            return Ended(tr("the plugin is closing"))
        run = new_run()
        dispatcher.called.emit(lambda: dispatcher.start(run))
        return _follow(run, dispatcher, on_event, cancelled)

    final = once()
    if isinstance(final, Ended) and final.retry and not cancelled():
        final = once()
    return _death(final) if isinstance(final, Ended) else final


def _follow(
    run: Run, dispatcher: Dispatcher, on_event: OnEvent, cancelled: Callable[[], bool]
) -> Union[FinalEvent, Ended]:
    """Pass on the events of a run until its final one, or until it was cancelled."""
    deadline_s: Optional[float] = None
    heard_s = time.monotonic()
    while True:
        now_s = time.monotonic()
        if deadline_s is None and cancelled():
            dispatcher.called.emit(lambda: dispatcher.cancel(run))
            deadline_s = now_s + CANCEL_LIMIT_S
        if deadline_s is not None and now_s > deadline_s:
            return Cancelled(run.id)
        try:
            message = run.mailbox.get(timeout=POLL_S)
        except queue.Empty:
            if now_s - heard_s > QUIET_S:
                heard_s = now_s
                on_event(Log(tr("The engine is still working.")))
            continue
        heard_s = now_s
        if isinstance(message, Ended):
            return Cancelled(run.id) if deadline_s is not None else message
        if isinstance(message, (Result, Failure, Cancelled)):
            return message
        on_event(message)


def _death(ended: Ended) -> Failure:
    """Return the failure for a process that ended before its job did."""
    hint = tr(
        "If memory was short, set a smaller TILE, BATCH or MAX_MEMORY. If the engine does not "
        "start at all, check its environment in the RS Segment panel."
    )
    last = ended.stderr.splitlines()[-1:] or [""]
    message = f"{ended.reason}: {last[0]}" if last[0] else ended.reason
    return Failure(ENVIRONMENT_CODE, message, hint, ended.stderr)
