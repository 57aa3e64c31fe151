"""What a door owes its process: a clean stdout, no orphan, a hard end (standard library only)."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import BinaryIO, TextIO

LOG = logging.getLogger(__name__)

PARENT_POLL_S = 0.5
ORPHAN_EXIT_CODE = 4
_PR_SET_PDEATHSIG = 1
_SIGKILL = 9


def claim_stdout() -> TextIO:
    """Return a text stream on the process's stdout and point descriptor 1 at stderr.

    Reassigning ``sys.stdout`` would not be enough: C libraries print to descriptor 1.
    Call it before heavy imports, and once per process.
    """
    _ensure_open(0, os.O_RDONLY)
    if not _ensure_open(2, os.O_WRONLY):
        sys.stderr = os.fdopen(2, "w", closefd=False)
    _ensure_open(1, os.O_WRONLY)
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "w", encoding="utf-8", newline="\n")


def claim_stdin() -> BinaryIO:
    """Return a binary stream on the process's stdin and point descriptor 0 at nothing.

    Child processes and libraries then cannot swallow lines that belong to the protocol. Call it
    after ``claim_stdout``, which opens closed descriptors.
    """
    private = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return os.fdopen(private, "rb")


def _ensure_open(descriptor: int, flags: int) -> bool:
    """Open a descriptor on the null device if the parent closed it; True if it was open."""
    try:
        os.fstat(descriptor)
    except OSError:
        nothing = os.open(os.devnull, flags)
        if nothing != descriptor:
            os.dup2(nothing, descriptor)
            os.close(nothing)
        return False
    return True


def kill_with_parent() -> bool:
    """Ask the kernel to kill this process when its parent ends; True if it agreed (Linux).

    The kernel sends the signal when the *thread* that started this process ends. Use it
    only if that is the parent's main thread; ``watch_parent`` has no such trap.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0) == 0)


def watch_parent(gone: Callable[[], None]) -> threading.Thread:
    """Start a thread that calls ``gone`` once when the parent process has ended.

    It is the second net behind the end of stdin, for parents whose pipe was inherited by
    another process. Windows reuses no parent ids, so there the pipe is the only sign.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_S)
        gone()

    thread = threading.Thread(target=watch, name="parent-watch", daemon=True)
    if os.name == "posix":
        thread.start()
    return thread


def hard_exit_after(grace_s: float, code: int = ORPHAN_EXIT_CODE) -> threading.Timer:
    """End the process after a grace period, whatever its other threads are doing.

    Returns:
        The started timer; cancel it when the process ends by itself.
    """

    def end() -> None:
        with contextlib.suppress(OSError, ValueError):
            LOG.warning("the job did not stop within %.1f s, the process ends now", grace_s)
        os._exit(code)

    timer = threading.Timer(grace_s, end)
    timer.daemon = True
    timer.start()
    return timer
