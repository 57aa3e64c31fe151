"""A small client of a real worker process for tests."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from pathlib import Path

from engine.protocol import FINAL_EVENTS, Event, Hello, decode_event, encode_run

ROOT = Path(__file__).resolve().parents[2]
TRIAL = ("-m", "tests.engine.worker_jobs")
TIMEOUT_S = 300.0


class Client:
    """Starts a worker, sends lines, receives events; every wait has a limit."""

    def __init__(self, module: tuple[str, ...] = TRIAL, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-u", *module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, **environment},
        )
        self.raw: list[bytes] = []
        self.stderr = b""
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        for target in (self._read_out, self._read_err):
            threading.Thread(target=target, daemon=True).start()
        hello = self.next()
        assert isinstance(hello, Hello), self.stderr
        self.hello = hello

    def _read_out(self) -> None:
        for line in self.process.stdout or ():
            self.raw.append(line)
            self._lines.put(line)
        self._lines.put(None)

    def _read_err(self) -> None:
        for line in self.process.stderr or ():
            self.stderr += line

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def start(self, job: str, job_id: str = "1", number: int = 0) -> None:
        self.send(encode_run(job, {"number": number}, job_id))

    def next(self) -> Event | None:
        """Return the next event, or None if the worker has closed its stdout."""
        line = self._lines.get(timeout=TIMEOUT_S)
        if line is None:
            return None
        event = decode_event(line.decode())
        assert event is not None, f"no event: {line!r}"
        return event

    def finish(self) -> list[Event]:
        """Return the events up to the final one, or up to the end of the stream."""
        events: list[Event] = []
        while (event := self.next()) is not None:
            events.append(event)
            if isinstance(event, FINAL_EVENTS):
                break
        return events

    def close(self) -> int:
        """Close stdin and return the exit code."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.close()
        return self.process.wait(timeout=TIMEOUT_S)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=TIMEOUT_S)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None and not stream.closed:
                stream.close()
