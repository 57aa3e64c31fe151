"""What a disk refuses, as errors with the way out, and outputs that one run at a time writes."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import DiskError, JobError

logger = logging.getLogger(__name__)

_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_TAKEN = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError into a DiskError that names the path and the way out."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            hint = "free some space, or choose an output on another disk, then run again"
        elif error.errno in _FORBIDDEN:
            hint = "choose a folder that you may write to"
        else:
            hint = "check the folder, or choose another output"
        reason = error.strerror or str(error)
        raise DiskError(f"cannot write {path}: {reason}", hint) from None


@contextmanager
def only_writer(output: Path) -> Iterator[None]:
    """Hold the right to write an output; a second run with the same output is refused.

    The lock is a hidden file beside the output, ``.<name>.lock``. The system gives it back when
    the process ends, however it ends; a file that is left over does no harm.

    Args:
        output: File or folder that is to be made; its parent is created.

    Raises:
        JobError: If another run writes the same output now.
        DiskError: If the lock cannot be written.
    """
    with disk_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    path = output.with_name(f".{output.name}.lock")
    handle = take_lock(path, output)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(handle)


def take_lock(path: Path, output: Path) -> int:
    """Take a lock and return its open file; closing the file, or the process's end, frees it.

    On a disk that knows no locks the file is opened only, and a warning is logged.

    Args:
        path: File of the lock, created if it is not there.
        output: What the lock stands for, for the message.

    Raises:
        JobError: If somebody else holds it.
        DiskError: If the file cannot be written.
    """
    while True:
        with disk_errors(path):
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(handle)
        except OSError as error:
            if error.errno not in _TAKEN:
                logger.warning("%s is not locked against a second run: %s", output, error)
                return handle
            os.close(handle)
            raise JobError(
                f"another run is writing {output}", "wait for it, or choose another output"
            ) from None
        if _is_file(path, handle):
            return handle
        os.close(handle)  # its owner removed the file between the two calls


def _lock(handle: int) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_file(path: Path, handle: int) -> bool:
    """Return whether an open file is still the one of this name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except OSError:
        return False
