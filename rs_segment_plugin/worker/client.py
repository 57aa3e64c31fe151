"""The client of the engine: runs a job from any thread, streams its events, cancels it."""

from __future__ import annotations

import atexit
import threading
from itertools import count
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Sequence

from qgis.PyQt.QtCore import QCoreApplication, QThread

if TYPE_CHECKING:
    from .conversation import FinalEvent, OnEvent
    from .process import Dispatcher, Run

WORKER_ARGUMENTS = ("-u", "-m", "engine", "worker")
CLOSE_LIMIT_MS = 5_000


class EngineClient:
    """Runs jobs on engine processes, one process per job at a time, one kept warm.

    All methods may be called from any thread. ``close`` must be called before Python ends. What
    a run needs is imported with the first one, so that QGIS starts sooner.

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
        from .conversation import converse
        from .process import Run

        def new_run() -> Run:
            return Run(str(next(self._ids)), job, fields, python, save_ms=round(1000 * save_s))

        return converse(new_run, self._started, on_event, cancelled)

    def _started(self) -> Optional[Dispatcher]:
        """Return the dispatcher, with its thread running; None after ``close``."""
        from .process import Dispatcher

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
