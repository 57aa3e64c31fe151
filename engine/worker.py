"""The worker: jobs in on stdin, events out on stdout, one job after another in one process.

Started as ``python -m engine worker`` or ``python -m engine.worker``; the protocol is described
in ``docs/protocol.md``. Loaded networks stay in memory between jobs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import queue
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import BinaryIO, TextIO

from . import __version__
from .errors import INTERNAL_CODE
from .process import (
    claim_stdin,
    claim_stdout,
    hard_exit_after,
    kill_with_parent,
    watch_parent,
)
from .protocol import (
    FINAL_EVENTS,
    PROTOCOL_VERSION,
    CancelCommand,
    Cancelled,
    CommandError,
    Event,
    Failure,
    Hello,
    Progress,
    RunCommand,
    decode_command,
    encode_event,
)
from .runner import BUG_HINT, JOB_FUNCTIONS, FinalEvent, JobFunction, run_named

LOG = logging.getLogger(__name__)

IDLE_S = 900.0
GRACE_S = 1.0
EXIT_GRACE_S = 5.0
PROGRESS_INTERVAL_S = 0.05
MAX_LINE_BYTES = 16 << 20


class EventStream:
    """Writes events as lines; holds back progress that comes faster than 20 per second.

    A held-back progress is written before the next event of another kind or stage, so the last
    one of a stage always arrives. Safe to use from several threads.
    """

    def __init__(self, out: TextIO, interval_s: float = PROGRESS_INTERVAL_S) -> None:
        self._out = out
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._held: Progress | None = None
        self._stage = ""
        self._next_s = 0.0
        self.broken = False

    def send(self, event: Event) -> None:
        """Write an event, or hold it back if it is a progress that came too early."""
        with self._lock:
            if isinstance(event, Progress):
                self._send_progress(event)
                return
            self._flush()
            self._write(event)

    def _send_progress(self, event: Progress) -> None:
        now_s = time.monotonic()
        complete = 0 < event.total <= event.done
        if event.stage == self._stage and now_s < self._next_s and not complete:
            self._held = event
            return
        if event.stage == self._stage:
            self._held = None
        self._flush()
        self._stage, self._next_s = event.stage, now_s + self._interval_s
        self._write(event)

    def _flush(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._write(held)

    def _write(self, event: Event) -> None:
        line = encode_event(event) + "\n"
        if self.broken:
            return
        try:
            self._out.write(line)
            self._out.flush()
        except (OSError, ValueError):
            self.broken = True


class Worker:
    """Runs jobs in the calling thread while another thread reads commands.

    Args:
        commands: Binary stream of command lines.
        events: Where events are written.
        functions: Job name to function.
        idle_s: Seconds without a job after which the worker ends.
        grace_s: Seconds between a lost client and the hard end of the process.
    """

    def __init__(
        self,
        commands: BinaryIO,
        events: EventStream,
        functions: Mapping[str, JobFunction] = JOB_FUNCTIONS,
        *,
        idle_s: float = IDLE_S,
        grace_s: float = GRACE_S,
    ) -> None:
        self._commands = commands
        self._events = events
        self._functions = functions
        self._idle_s = idle_s
        self._grace_s = grace_s
        self._queue: queue.SimpleQueue[RunCommand | None] = queue.SimpleQueue()
        self._lock = threading.RLock()
        self._flags: dict[str, threading.Event] = {}
        self._closing = False
        self._deadline: threading.Timer | None = None

    def run(self) -> None:
        """Serve until stdin closes, ``quit`` comes, or nothing comes for a while."""
        python = platform.python_version()
        self._events.send(Hello(__version__, os.getpid(), PROTOCOL_VERSION, python))
        threading.Thread(target=self._read, name="commands", daemon=True).start()
        while (command := self._next()) is not None:
            self._run_one(command)
        with self._lock:
            self._closing = True
            left = list(self._flags)
            if self._deadline is not None:
                self._deadline.cancel()
        for job_id in left:
            self._events.send(Cancelled(id=job_id))

    def close(self) -> None:
        """Cancel all jobs and end; the process ends the hard way after the grace period."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
            for flag in self._flags.values():
                flag.set()
            self._deadline = hard_exit_after(self._grace_s)
        self._queue.put(None)

    def _next(self) -> RunCommand | None:
        """Return the next job, or None if the worker shall end."""
        while True:
            try:
                command = self._queue.get(timeout=self._idle_s)
            except queue.Empty:
                with self._lock:
                    if self._flags:
                        continue
                    self._closing = True
                LOG.info("idle for %g s, the worker ends", self._idle_s)
                return None
            return None if self._closing else command

    def _run_one(self, command: RunCommand) -> None:
        flag = self._flags[command.id]
        running = True

        def report(event: Event) -> None:
            if running and not isinstance(event, FINAL_EVENTS):
                self._events.send(replace(event, id=command.id))
            if self._events.broken:
                self.close()

        final: FinalEvent = Cancelled()
        if not flag.is_set():
            final = run_named(command.job, command.fields, report, flag.is_set, self._functions)
        running = False
        with self._lock:
            del self._flags[command.id]
        try:
            self._events.send(replace(final, id=command.id))
        except (TypeError, ValueError) as error:
            message = f"the job's result cannot be written as JSON: {error}"
            self._events.send(Failure(INTERNAL_CODE, message, BUG_HINT, repr(final), command.id))

    def _read(self) -> None:
        """Read commands until stdin ends; runs in its own thread."""
        with contextlib.suppress(OSError, ValueError):
            while line := self._commands.readline(MAX_LINE_BYTES):
                if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                    self._skip_line()
                if line.strip():
                    self._obey(line)
        self.close()

    def _skip_line(self) -> None:
        while (rest := self._commands.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
            pass

    def _obey(self, line: bytes) -> None:
        try:
            command = decode_command(line)
            if isinstance(command, RunCommand):
                self._enqueue(command)
            elif isinstance(command, CancelCommand):
                with self._lock:
                    flag = self._flags.get(command.id)
                if flag is not None:
                    flag.set()
            else:
                self._queue.put(None)
        except CommandError as error:
            self._events.send(Failure(error.code, error.message, error.hint, id=error.id))

    def _enqueue(self, command: RunCommand) -> None:
        with self._lock:
            if command.id in self._flags:
                raise CommandError(
                    f"job id {command.id!r} is in use", "give each job an id of its own"
                )
            if self._closing:
                raise CommandError("the worker is ending", "start a new one", command.id)
            self._flags[command.id] = threading.Event()
        self._queue.put(command)


def serve(
    functions: Mapping[str, JobFunction] = JOB_FUNCTIONS,
    *,
    idle_s: float = IDLE_S,
    grace_s: float = GRACE_S,
    kill: bool = False,
) -> int:
    """Make this process a worker on its stdin and stdout; returns the exit code.

    Args:
        functions: Job name to function.
        idle_s: Seconds without a job after which the worker ends.
        grace_s: Seconds between a lost client and the hard end of the process.
        kill: Whether the kernel shall kill the worker when the thread that started it ends.
    """
    out, commands = claim_stdout(), claim_stdin()
    if kill:
        kill_with_parent()
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        force=True,
    )
    worker = Worker(commands, EventStream(out), functions, idle_s=idle_s, grace_s=grace_s)
    signal.signal(signal.SIGINT, lambda *_: worker.close())
    watch_parent(worker.close)
    worker.run()
    hard_exit_after(EXIT_GRACE_S, 0)
    return 0


if __name__ == "__main__":
    sys.exit(serve())
