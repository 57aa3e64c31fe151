"""The client of the engine: runs a job from any thread, streams its events, cancels it."""

from __future__ import annotations

import atexit
import queue
import threading
import time
from itertools import count
from typing import Any, Callable, Dict, Optional, Sequence, Union

from qgis.PyQt.QtCore import QCoreApplication, QThread

from ..engine_api import Cancelled, Event, Failure, Log, Result
from ..messages import tr
from .process import ENVIRONMENT_CODE, WORKER_ARGUMENTS, Dispatcher, Ended, Run

POLL_S = 0.05
CANCEL_LIMIT_S = 0.95
QUIET_S = 60.0
CLOSE_LIMIT_MS = 5_000

FinalEvent = Union[Result, Failure, Cancelled]
OnEvent = Callable[[Event], None]


class EngineClient:
    """Runs jobs on engine processes, one process per job at a time, one kept warm.

    All methods may be called from any thread. ``close`` must be called before Python ends.

    Args:
        arguments: How the interpreter starts a worker.
    """

    def __init__(self, arguments: Sequence[str] = WORKER_ARGUMENTS) -> None:
        self._arguments = tuple(arguments)
        self._lock = threading.Lock()
        self._ids = count(1)
        self._thread = QThread()
        self._thread.setObjectName("rs-segment-engine")
        self._dispatcher: Optional[Dispatcher] = None
        self._closed = False
        atexit.register(self.close)
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.close)

    def run(
        self,
        python: str,
        job: str,
        fields: Dict[str, Any],
        on_event: OnEvent,
        cancelled: Callable[[], bool],
        *,
        save_s: float = 0.0,
    ) -> FinalEvent:
        """Run a job and return its final event; blocks the calling thread, never raises.

        Args:
            python: Interpreter of the engine.
            job: Name of the job, for example ``segment``.
            fields: The job as plain JSON values.
            on_event: Called in the calling thread with every log, progress and metrics.
            cancelled: Asked every 50 ms; a cancelled job answers within a second.
            save_s: How long the process of a cancelled job may go on in the background to
                save its state, before it is killed. Meanwhile no second job of this kind starts.
        """

        def once() -> Union[FinalEvent, Ended]:
            run = Run(str(next(self._ids)), job, fields, python, save_ms=round(1000 * save_s))
            return self._run_once(run, on_event, cancelled)

        final = once()
        if isinstance(final, Ended) and final.retry and not cancelled():
            final = once()
        return _death(final) if isinstance(final, Ended) else final

    def _run_once(
        self, run: Run, on_event: OnEvent, cancelled: Callable[[], bool]
    ) -> Union[FinalEvent, Ended]:
        dispatcher = self._started()
        if dispatcher is None:
            return Ended(tr("the plugin is closing"))
        dispatcher.called.emit(lambda: dispatcher.start(run))
        return _follow(run, dispatcher, on_event, cancelled)

    def _started(self) -> Optional[Dispatcher]:
        """Return the dispatcher, with its thread running; None after ``close``."""
        with self._lock:
            if self._closed:
                return None
            if self._dispatcher is None:
                dispatcher = Dispatcher(self._arguments)
                dispatcher.moveToThread(self._thread)
                dispatcher.called.connect(dispatcher.call)
                self._thread.start()
                self._dispatcher = dispatcher
            return self._dispatcher

    def stop_idle(self) -> None:
        """End the warm process; jobs that run are left alone."""
        with self._lock:
            dispatcher = self._dispatcher
        if dispatcher is not None:
            dispatcher.called.emit(dispatcher.stop_idle)

    def close(self) -> None:
        """End all processes and the thread; jobs that run end at once. May be called twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            dispatcher = self._dispatcher
        atexit.unregister(self.close)
        if dispatcher is None:
            return
        done = threading.Event()

        def end() -> None:
            dispatcher.close()
            done.set()
            self._thread.quit()

        dispatcher.called.emit(end)
        done.wait(CLOSE_LIMIT_MS / 1000)
        self._thread.wait(CLOSE_LIMIT_MS)


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
