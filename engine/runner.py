"""The table of jobs and the border where exceptions become final events.

Both doors, the command line and the worker, run jobs through ``run_job``, so a job gives the
same result and the same failure whichever door it came through.
"""

from __future__ import annotations

import errno
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, cast

from .errors import INTERNAL_CODE, DeviceError, DiskError, EngineError, JobCancelled, JobError
from .jobs import Job, job_from_dict
from .protocol import Cancelled, Failure, IsCancelled, Log, Report, Result

LOG = logging.getLogger(__name__)

FinalEvent = Result | Failure | Cancelled
JobFunction = Callable[[Any, Report, IsCancelled], Result]

BUG_HINT = "this is a bug of RS Segment: please report it with the details"
MEMORY_HINT = "set a smaller tile, batch or memory limit, or close other programs"
_DISK_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


def _pipeline(module: str) -> JobFunction:
    """Return the function ``run_<job>`` of ``pipelines``, imported when it is called first."""
    name, function = module.split(".")

    def run(job: Job, report: Report, cancelled: IsCancelled) -> Result:
        pipeline = import_module(f".pipelines.{name}", __package__)
        result: Result = getattr(pipeline, function)(job, report, cancelled)
        return result

    return run


JOB_FUNCTIONS: Mapping[str, JobFunction] = {
    "segment": _pipeline("segment.run_segment"),
    "replay": _pipeline("replay.run_replay"),
    "doctor": _pipeline("doctor.run_doctor"),
    "check_model": _pipeline("models.run_check_model"),
    "import_model": _pipeline("models.run_import_model"),
    "export_model": _pipeline("models.run_export_model"),
    "chips": _pipeline("chips.run_chips"),
    "train": _pipeline("train.run_train"),
    "pretrain": _pipeline("pretrain.run_pretrain"),
    "evaluate": _pipeline("evaluate.run_evaluate"),
    "compare": _pipeline("compare.run_compare"),
}


def run_named(
    name: str,
    record: Mapping[str, Any],
    report: Report,
    cancelled: IsCancelled,
    functions: Mapping[str, JobFunction] = JOB_FUNCTIONS,
) -> FinalEvent:
    """Build the job called ``name`` from plain values and run it; never raises."""
    try:
        job = job_from_dict(name, record)
    except EngineError as error:
        return _failure(error)
    return run_job(name, job, report, cancelled, functions)


def run_job(
    name: str,
    job: Job,
    report: Report,
    cancelled: IsCancelled,
    functions: Mapping[str, JobFunction] = JOB_FUNCTIONS,
) -> FinalEvent:
    """Run a job and return its final event; never raises.

    What the engine warns of on its way is reported to the user, each text once.

    An exception that is no ``EngineError`` becomes a failure with the code ``internal`` and
    the traceback in its details, except lack of memory and of disk space.
    """
    try:
        if name not in functions:
            raise JobError(f"job {name!r} cannot be run here", f"known: {', '.join(functions)}")
        with _warnings_reported(report):
            return functions[name](job, report, cancelled)
    except (JobCancelled, KeyboardInterrupt):
        return Cancelled()
    except EngineError as error:
        return _failure(error)
    except MemoryError:
        return _failure(DeviceError("there is not enough memory for this job", MEMORY_HINT))
    except OSError as error:
        return _os_failure(error)
    except (Exception, SystemExit) as error:
        return _bug(error)


@contextmanager
def _warnings_reported(report: Report) -> Iterator[None]:
    """Send the warnings of the engine's own loggers to the user while a job runs."""
    handler, logger = _WarningReport(report), logging.getLogger(__package__)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _WarningReport(logging.Handler):
    """Reports each text once, as a log event."""

    def __init__(self, report: Report) -> None:
        super().__init__(logging.WARNING)
        self._report = report
        self._seen: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno == logging.WARNING and text not in self._seen:
            self._seen.add(text)
            self._report(Log(text, "warning"))


def _failure(error: EngineError) -> Failure:
    details = traceback.format_exc() if error.code == INTERNAL_CODE else ""
    return Failure(error.code, error.message, error.hint, details)


def _os_failure(error: OSError) -> Failure:
    """Return a failure of the disk where the user can mend it, else a bug."""
    name = cast("str | None", error.filename)
    if error.errno in _DISK_ERRNOS:
        where = f" ({name})" if name else ""
        message = f"the disk does not take the output{where}: {error.strerror}"
        return _failure(DiskError(message, "free some space, or choose another folder"))
    if isinstance(error, PermissionError) and name:
        return _failure(DiskError(f"no permission for {name}", "choose another folder"))
    return _bug(error)


def _bug(error: BaseException) -> Failure:
    LOG.error("a job failed with an unexpected error", exc_info=error)
    message = f"{type(error).__name__}: {error}".strip().rstrip(":").splitlines()[0]
    details = "".join(traceback.format_exception(error))
    return Failure(INTERNAL_CODE, message, BUG_HINT, details)
