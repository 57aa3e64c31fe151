"""How a worker ends: quit, idle, lost client, dead parent; never an orphan."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.protocol import Cancelled, Log, Result, encode_cancel, encode_quit, encode_run
from tests.engine.worker_client import ROOT, TRIAL, Client

posix = pytest.mark.skipif(os.name != "posix", reason="signals and /proc are POSIX")


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    stat = Path(f"/proc/{pid}/stat")
    with contextlib.suppress(OSError):
        return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def wait_until_gone(pid: int, limit_s: float) -> float:
    start_s = time.monotonic()
    while alive(pid):
        assert time.monotonic() - start_s < limit_s, f"worker {pid} is an orphan"
        time.sleep(0.01)
    return time.monotonic() - start_s


def test_quit_ends_the_worker_after_the_jobs_before_it() -> None:
    with Client() as client:
        client.start("echo", "a", 1)
        client.send(encode_quit())
        assert isinstance(client.finish()[-1], Result)
        assert client.next() is None
        assert client.process.wait(timeout=10) == 0


def test_an_idle_worker_ends_by_itself() -> None:
    with Client(TRIAL_IDLE_S="0.2") as client:
        client.start("echo", "a", 1)
        assert isinstance(client.finish()[-1], Result)
        assert client.next() is None
        assert client.process.wait(timeout=10) == 0


def test_a_job_longer_than_the_idle_time_is_left_alone() -> None:
    with Client(TRIAL_IDLE_S="0.1") as client:
        client.start("wait", "a")
        assert client.next() == Log("waiting", "info", "a")
        time.sleep(0.4)
        client.send(encode_cancel("a"))
        assert client.finish() == [Cancelled("a")]


def test_end_of_stdin_cancels_the_running_job_and_ends() -> None:
    with Client() as client:
        client.start("wait", "a")
        client.start("wait", "b")
        assert client.next() == Log("waiting", "info", "a")
        assert client.close() == 0
        assert client.finish() == [Cancelled("a")]
        assert client.finish() == [Cancelled("b")]
        assert client.next() is None


def test_end_of_stdin_ends_even_a_job_that_is_stuck_in_native_code() -> None:
    with Client() as client:
        client.start("native", "a")
        assert client.next() == Log("in native code", "info", "a")
        start_s = time.monotonic()
        assert client.close() == 4
        assert 0.9 < time.monotonic() - start_s < 2.5
        warning = Log("the job did not stop within 1.0 s, the process ends now", "warning", "a")
        assert client.finish() in ([], [warning])  # it may or may not get out before the end


@posix
def test_a_killed_worker_is_an_end_without_final_event() -> None:
    with Client() as client:
        client.start("wait", "a")
        assert client.next() == Log("waiting", "info", "a")
        client.process.kill()
        assert client.finish() == []
        assert client.process.wait(timeout=10) == -signal.SIGKILL


@posix
def test_an_interrupt_signal_cancels_and_ends() -> None:
    with Client() as client:
        client.start("wait", "a")
        assert client.next() == Log("waiting", "info", "a")
        client.process.send_signal(signal.SIGINT)
        assert client.finish() == [Cancelled("a")]
        assert client.process.wait(timeout=10) == 0


PARENT = """
import subprocess, sys, threading
from engine.protocol import encode_run
keep_open = {keep_open!r}
def start():
    global child
    child = subprocess.Popen([sys.executable, "-u", "-m", "tests.engine.worker_jobs"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    child.stdout.readline()
if {threaded!r}:
    thread = threading.Thread(target=start); thread.start(); thread.join()
else:
    start()
if keep_open:
    subprocess.Popen(["sleep", "5"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        pass_fds=[child.stdin.fileno()])
child.stdin.write(encode_run({job!r}, {{"number": 0}}, "a").encode() + b"\\n")
child.stdin.flush()
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.readline()
print(child.poll(), flush=True)
sys.stdin.readline()
"""


@contextlib.contextmanager
def parent_of_worker(
    job: str, *, keep_open: bool = False, threaded: bool = False, **extra: str
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    code = PARENT.format(job=job, keep_open=keep_open, threaded=threaded)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, **extra},
        text=True,
    )
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate(timeout=10)


@posix
@pytest.mark.parametrize(
    ("job", "keep_open", "extra", "limit_s"),
    [
        ("wait", False, {}, 1.0),
        ("native", False, {}, 2.5),
        ("wait", True, {}, 2.0),
        ("native", True, {}, 3.5),
        ("locked", True, {"TRIAL_KILL": "1"}, 1.0),
    ],
    ids=["pipe", "pipe-stuck", "inherited-pipe", "inherited-pipe-stuck", "kernel"],
)
def test_a_worker_dies_with_its_parent(
    job: str, keep_open: bool, extra: dict[str, str], limit_s: float
) -> None:
    if extra and not sys.platform.startswith("linux"):
        pytest.skip("the kernel's parent-death signal is Linux")
    with parent_of_worker(job, keep_open=keep_open, **extra) as (parent, pid):
        assert alive(pid)
        parent.kill()
        wait_until_gone(pid, limit_s + 2.0)


@posix
def test_a_worker_outlives_the_thread_that_started_it() -> None:
    with parent_of_worker("wait", threaded=True) as (parent, pid):
        time.sleep(0.7)
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.stdout.readline().strip() == "None"
        assert alive(pid)


def test_a_client_that_closed_its_end_of_stdout_is_a_lost_client() -> None:
    """A client that closed its end of stdout is a lost client: the job is cancelled."""
    process = subprocess.Popen(
        [sys.executable, "-u", *TRIAL],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(encode_run("wait", {"number": 0}, "a").encode() + b"\n")
        process.stdin.flush()
    assert process.wait(timeout=10) == 0
    process.stdin.close()


@posix
@pytest.mark.parametrize(
    ("redirect", "lines"), [("<&-", 1), ("2>&-", 1), (">&-", 0), ("<&- 2>&-", 1), ("<&- >&-", 0)]
)
def test_closed_streams_are_no_reason_to_fail(redirect: str, lines: int) -> None:
    command = f"exec {sys.executable} -u -m {TRIAL[1]} {redirect}"
    done = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, input=b"", capture_output=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == lines
