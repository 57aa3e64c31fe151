"""One engine process and the thread that owns such processes.

A QProcess belongs to the thread that made it. Processing runs algorithms in threads that come
and go, so all engine processes live in one thread of ours, which has an event loop.
"""

from __future__ import annotations

import queue
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Callable, Deque, Dict, List, Optional, Sequence, Union

from qgis.PyQt.QtCore import QObject, QProcess, QTimer, pyqtSignal, pyqtSlot

from ..engine_api import (
    PROTOCOL_VERSION,
    Cancelled,
    Event,
    Failure,
    Hello,
    Result,
    decode_event,
    encode_cancel,
    encode_quit,
    encode_run,
    engine_root,
)
from .child_environment import child_environment
from .client import WORKER_ARGUMENTS

HELLO_TIMEOUT_MS = 60_000
CANCEL_GRACE_MS = 600
QUIT_GRACE_MS = 1_000
MAX_LINE_BYTES = 16 << 20
STDERR_LINES = 40
ENVIRONMENT_CODE = "environment"


@dataclass(frozen=True)
class Ended:
    """The process ended, or never started, without a final event for the run.

    ``retry``: it was a warm process that ended before it said anything about the run.
    """

    reason: str
    stderr: str = ""
    retry: bool = False


Message = Union[Event, Ended]


@dataclass
class Run:
    """One job on its way through a process; ``mailbox`` receives its events.

    ``save_ms``: how long it may go on after a cancel to save its state.
    """

    id: str
    job: str
    fields: Dict[str, Any]
    python: str
    save_ms: int = 0
    mailbox: queue.SimpleQueue[Message] = field(default_factory=queue.SimpleQueue)


class EngineProcess(QObject):
    """An engine process that runs one job after another; use it in its own thread only.

    Signals:
        idle: A job ended and the process can take the next one.
        ended: The process is gone.
    """

    idle = pyqtSignal()
    ended = pyqtSignal()

    def __init__(
        self,
        python: str,
        arguments: Sequence[str] = WORKER_ARGUMENTS,
        parent: Optional[QObject] = None,
    ) -> None:
        super().__init__(parent)
        self.python = python
        self._arguments = list(arguments)
        self.run: Optional[Run] = None
        self._jobs_done = 0
        self._heard = False
        self._over = False
        self._partial = b""
        self._stderr: Deque[str] = deque(maxlen=STDERR_LINES)
        self._process = QProcess(self)
        self._process.setProcessEnvironment(child_environment())
        self._process.setWorkingDirectory(str(engine_root()))
        self._process.readyReadStandardOutput.connect(self._read)
        self._process.readyReadStandardError.connect(self._read_stderr)
        self._process.finished.connect(self._finished)
        self._process.errorOccurred.connect(self._error)
        self._hello_timer = self._timer(self._no_hello)
        self._cancel_timer = self._timer(self.kill)

    def _timer(self, slot: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.timeout.connect(slot)
        return timer

    def start(self, run: Run) -> None:
        """Start the process with its first job."""
        self.run = run
        self._hello_timer.start(HELLO_TIMEOUT_MS)
        self._process.start(self.python, self._arguments)

    def take(self, run: Run) -> None:
        """Give the idle process its next job."""
        self.run = run
        self._heard = False
        self._send_run()

    def cancel(self) -> None:
        """Ask the process to stop its job; it is killed if it does not within the grace."""
        if self.run is None or self._cancel_timer.isActive():
            return
        self._write(encode_cancel(self.run.id))
        self._cancel_timer.start(max(CANCEL_GRACE_MS, self.run.save_ms))

    def saves(self, job: str) -> bool:
        """Return whether a cancelled job of this kind still saves its state."""
        return self.run is not None and self.run.job == job and self._cancel_timer.isActive()

    def quit(self) -> None:
        """Ask the process to end; it is killed if it does not within the grace."""
        if self._over:
            return
        if self.run is None:
            self._write(encode_quit())
        self._process.closeWriteChannel()
        QTimer.singleShot(QUIT_GRACE_MS, self.kill)

    def kill(self) -> None:
        """End the process now."""
        if self._process.state() != QProcess.ProcessState.NotRunning:
            self._process.kill()

    def end_now(self) -> None:
        """End the process and wait until the system has reaped it (about a second at most)."""
        if self._over:
            return
        if self.run is None:
            self._write(encode_quit())
        self._process.closeWriteChannel()
        if self.run is not None or not self._process.waitForFinished(QUIT_GRACE_MS):
            self._process.kill()
            self._process.waitForFinished(QUIT_GRACE_MS)

    def _write(self, line: str) -> None:
        self._process.write(line.encode("utf-8") + b"\n")

    def _send_run(self) -> None:
        if self.run is not None:
            self._write(encode_run(self.run.job, self.run.fields, self.run.id))

    def _read(self) -> None:
        lines = (self._partial + bytes(self._process.readAllStandardOutput())).split(b"\n")
        self._partial = lines.pop()[-MAX_LINE_BYTES:]
        for line in lines:
            event = decode_event(line.decode("utf-8", "replace"))
            if isinstance(event, Hello):
                self._greet(event)
            elif event is not None:
                self._deliver(event)

    def _greet(self, hello: Hello) -> None:
        self._hello_timer.stop()
        if hello.protocol == PROTOCOL_VERSION:
            self._send_run()
            return
        message = (
            f"the engine speaks protocol {hello.protocol}, this plugin speaks {PROTOCOL_VERSION}"
        )
        self._finish(
            Failure(ENVIRONMENT_CODE, message, "update the plugin and the engine together")
        )
        self.quit()

    def _deliver(self, event: Event) -> None:
        if self.run is None or event.id != self.run.id:
            return
        self._heard = True
        if isinstance(event, (Result, Failure, Cancelled)):
            self._finish(event)
        else:
            self.run.mailbox.put(event)

    def _finish(self, message: Message) -> None:
        """Hand over the last message of the current run."""
        self._cancel_timer.stop()
        run, self.run = self.run, None
        if run is not None:
            self._jobs_done += 1
            run.mailbox.put(message)
            if not self._over:
                self.idle.emit()

    def _read_stderr(self) -> None:
        text = bytes(self._process.readAllStandardError()).decode("utf-8", "replace")
        self._stderr.extend(line for line in text.splitlines() if line.strip())

    def _no_hello(self) -> None:
        self._stderr.append(f"no answer within {HELLO_TIMEOUT_MS // 1000} s")
        self.kill()

    def _error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._close(f"{self.python} cannot be started: {self._process.errorString()}")

    def _finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._read()
        self._read_stderr()
        crashed = status == QProcess.ExitStatus.CrashExit
        self._close(
            f"the engine's process was ended from outside or crashed (signal {code})"
            if crashed
            else f"the engine's process ended with exit code {code}"
        )

    def _close(self, reason: str) -> None:
        if self._over:
            return
        self._over = True
        self._hello_timer.stop()
        retry = self._jobs_done > 0 and not self._heard
        self._finish(Ended(reason, "\n".join(self._stderr), retry))
        self.ended.emit()


class Dispatcher(QObject):
    """Gives jobs to engine processes and keeps one idle process warm; lives in their thread."""

    called = pyqtSignal(object)

    def __init__(self, arguments: Sequence[str] = WORKER_ARGUMENTS) -> None:
        super().__init__()
        self._arguments = tuple(arguments)
        self._processes: List[EngineProcess] = []
        self._waiting: List[Run] = []
        self._closed = False

    @pyqtSlot(object)
    def call(self, function: Callable[[], None]) -> None:
        """Run a function in this object's thread; connected to ``called``."""
        function()

    def start(self, run: Run) -> None:
        """Start a job on the warm process if it fits, else on a new one.

        It waits while a cancelled job of its kind saves its state: both may mean the same files.
        """
        if self._closed:
            run.mailbox.put(Ended("the plugin is closing"))
            return
        if run.save_ms and any(process.saves(run.job) for process in self._processes):
            self._waiting.append(run)
            return
        for process in self._processes:
            if process.run is None and process.python == run.python:
                process.take(run)
                return
        process = EngineProcess(run.python, self._arguments, self)
        process.idle.connect(self._start_waiting)
        process.idle.connect(self._drop_spare)
        process.ended.connect(self._forget)
        self._processes.append(process)
        process.start(run)

    def cancel(self, run: Run) -> None:
        """Cancel a job, whichever process has it."""
        if run in self._waiting:
            self._waiting.remove(run)
            run.mailbox.put(Cancelled(run.id))
        for process in self._processes:
            if process.run is run:
                process.cancel()

    def stop_idle(self) -> None:
        """End the warm process, for example because the environment changed."""
        for process in self._processes:
            if process.run is None:
                process.quit()

    def close(self) -> None:
        """End all processes and wait for them; no job starts afterwards."""
        self._closed = True
        self._start_waiting()
        for process in list(self._processes):
            process.end_now()

    def _start_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for run in waiting:
            self.start(run)

    def _drop_spare(self) -> None:
        """Keep the newest idle process only."""
        idle = [process for process in self._processes if process.run is None]
        for process in idle[:-1]:
            process.quit()

    def _forget(self) -> None:
        process = self.sender()
        if process in self._processes:
            self._processes.remove(process)
            process.deleteLater()
        self._start_waiting()
