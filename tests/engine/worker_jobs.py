"""A worker with jobs that misbehave on purpose; started by the tests as a real process."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from engine.errors import JobCancelled, RasterError
from engine.jobs import JOBS, Job
from engine.protocol import IsCancelled, Log, Progress, Report, Result
from engine.runner import JobFunction
from engine.worker import serve


@dataclass(frozen=True)
class TrialJob(Job):
    """A job with one number."""

    number: int = 0


def echo(job: TrialJob, report: Report, cancelled: IsCancelled) -> Result:
    report(Log(f"number {job.number}", "warning"))
    report(Progress("count", job.number, job.number, "tiles"))
    return Result({"out": "a.gpkg"}, {"features": job.number}, 0.5, {"pid": os.getpid()})


def fail(job: TrialJob, report: Report, cancelled: IsCancelled) -> Result:
    raise RasterError("raster has 3 bands, the model needs 4", "choose another model")


def bug(job: TrialJob, report: Report, cancelled: IsCancelled) -> Result:
    return Result({"out": str(1 // job.number)})


def memory(job: TrialJob, report: Report, cancelled: IsCancelled) -> Result:
    return Result({"out": str(len(bytearray(1 << 62)))})


def leave(job: TrialJob, report: Report, cancelled: IsCancelled) -> Result:
    sys.exit(7)


def interrupt(job: TrialJob, report: Report, cancelled: IsCancelled) -> Result:
    raise KeyboardInterrupt


def full_disk(job: TrialJob, report: Report, cancelled: IsCancelled) -> Result:
    with open("/dev/full", "wb", buffering=0) as file:  # noqa: PTH123
        file.write(b"x")
    return Result({})


def puts(job: TrialJob, report: Report, cancelled: IsCancelled) -> Result:
    libc = ctypes.CDLL(None)
    print("from print")
    os.write(1, b"from descriptor 1\n")
    libc.puts(b"from libc")
    libc.fflush(None)
    os.system("echo from a child")
    return Result({"out": "a.gpkg"})


def swallow(job: TrialJob, report: Report, cancelled: IsCancelled) -> Result:
    """A child process that reads all of its stdin."""
    return Result({}, {"status": os.system("cat > /dev/null")})


def wait(job: TrialJob, report: Report, cancelled: IsCancelled) -> Result:
    report(Log("waiting"))
    while not cancelled():
        time.sleep(0.005)
    raise JobCancelled


def save(job: TrialJob, report: Report, cancelled: IsCancelled) -> Result:
    """A job that needs some time to save its state once it is cancelled; number 0 ends well."""
    report(Log(f"process {os.getpid()}"))
    if not job.number:
        return Result({}, {"pid": os.getpid()})
    while not cancelled():
        time.sleep(0.005)
    time.sleep(job.number)
    raise JobCancelled


def finish(job: TrialJob, report: Report, cancelled: IsCancelled) -> Result:
    """A job that is interrupted when it has done all its work."""
    signal.raise_signal(signal.SIGINT)
    return Result({"output": "a.gpkg"})


def wait_for_ever(job: TrialJob, report: Report, cancelled: IsCancelled) -> Result:
    """A job that never asks whether it is cancelled."""
    report(Log("deaf"))
    while True:
        time.sleep(0.05)


def native(job: TrialJob, report: Report, cancelled: IsCancelled) -> Result:
    """A long native call that lets other threads run."""
    report(Log("in native code"))
    ctypes.CDLL(None).sleep(30)
    return Result({})


def locked(job: TrialJob, report: Report, cancelled: IsCancelled) -> Result:
    """A long native call that keeps the interpreter's lock."""
    report(Log("in native code"))
    ctypes.PyDLL(None).sleep(30)
    return Result({})


def burst(job: TrialJob, report: Report, cancelled: IsCancelled) -> Result:
    for stage in ("predict", "vectorize"):
        for done in range(job.number):
            report(Progress(stage, done, job.number, "tiles"))
    return Result({})


def unwritable(job: TrialJob, report: Report, cancelled: IsCancelled) -> Result:
    return Result({}, details={"what": object()})


FUNCTIONS: dict[str, JobFunction] = {
    function.__name__: function
    for function in (
        *(echo, fail, bug, memory, leave, interrupt, full_disk, puts, swallow, wait, save, finish),
        *(wait_for_ever, native, locked, burst, unwritable),
    )
}  # fmt: skip


def main(start: Callable[..., int] = serve) -> int:
    JOBS.update(dict.fromkeys(FUNCTIONS, TrialJob))
    idle_s = float(os.environ.get("TRIAL_IDLE_S", "30"))
    return start(FUNCTIONS, idle_s=idle_s, kill=bool(os.environ.get("TRIAL_KILL")))


if __name__ == "__main__":
    sys.exit(main())
