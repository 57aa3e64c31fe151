"""Worker protocol, version 1: one JSON object per line, events out and commands in.

Commands (stdin of the worker)::

    {"command": "run", "job": "segment", "id": "1", "protocol": 1, "fields": {...}}
    {"command": "cancel", "id": "1"}
    {"command": "quit"}

Events (stdout of the worker): ``hello`` once; then per job any number of ``log``,
``progress`` and ``metrics`` and exactly one final event out of ``result``, ``failure`` and
``cancelled``. Every event that belongs to a job carries its ``id``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Callable, Dict, Mapping, Optional, Type, Union

from . import __version__
from .errors import JobError

PROTOCOL_VERSION = 1


@dataclass(frozen=True)
class Hello:
    """First line of a worker: who it is and what it can do."""

    engine: str
    pid: int
    protocol: int = PROTOCOL_VERSION
    python: str = ""
    id: str = ""


@dataclass(frozen=True)
class Log:
    """A line for people; ``level`` is ``info`` or ``warning``."""

    message: str
    level: str = "info"
    id: str = ""


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` ``unit`` of a ``stage``; ``total`` 0 means not known yet."""

    stage: str
    done: int
    total: int
    unit: str = ""
    id: str = ""


@dataclass(frozen=True)
class Metrics:
    """Numbers of a running training or evaluation, for curves.

    ``series`` is ``train`` or ``val``; ``values`` maps names such as ``loss`` or ``iou_mean`` to
    finite numbers; ``epoch`` may be fractional.
    """

    series: str
    step: int
    epoch: float
    values: Dict[str, float]
    id: str = ""


@dataclass(frozen=True)
class Result:
    """A job that ended well: output paths by name, counts, seconds and free details."""

    outputs: Dict[str, str]
    counts: Dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    details: Dict[str, Any] = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True)
class Failure:
    """A job that ended badly; ``code`` is one of ``engine.errors``, ``internal`` is our bug."""

    code: str
    message: str
    hint: str = ""
    details: str = ""
    id: str = ""


@dataclass(frozen=True)
class Cancelled:
    """A job that the user stopped."""

    id: str = ""


Event = Union[Hello, Log, Progress, Metrics, Result, Failure, Cancelled]
Report = Callable[[Event], None]
IsCancelled = Callable[[], bool]

EVENT_TYPES: Dict[str, Type[Any]] = {
    "hello": Hello,
    "log": Log,
    "progress": Progress,
    "metrics": Metrics,
    "result": Result,
    "failure": Failure,
    "cancelled": Cancelled,
}
FINAL_EVENTS = (Result, Failure, Cancelled)
_NAMES = {cls: name for name, cls in EVENT_TYPES.items()}


def encode_event(event: Event) -> str:
    """Return the event as one line of JSON without the newline."""
    return json.dumps({"type": _NAMES[type(event)], **asdict(event)}, ensure_ascii=True)


def decode_event(line: str) -> Optional[Event]:
    """Return the event of a line, or None for a line that is no event of this protocol.

    Fields that this version does not know are dropped, so a newer worker can add some.
    """
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or record.get("type") not in EVENT_TYPES:
        return None
    cls = EVENT_TYPES[record["type"]]
    known = {f.name for f in fields(cls)}
    try:
        event: Event = cls(**{key: value for key, value in record.items() if key in known})
    except TypeError:
        return None
    return event


@dataclass(frozen=True)
class RunCommand:
    """Run the job called ``job`` with these fields; ``id`` names it in its events."""

    job: str
    fields: Mapping[str, Any]
    id: str


@dataclass(frozen=True)
class CancelCommand:
    """Stop the job with this id, running or waiting."""

    id: str


@dataclass(frozen=True)
class QuitCommand:
    """End the worker after the jobs that came before."""


Command = Union[RunCommand, CancelCommand, QuitCommand]


class CommandError(JobError):
    """A command line is malformed or of another protocol; ``id`` is the job's, if readable."""

    def __init__(self, message: str, hint: str, job_id: str = "") -> None:
        super().__init__(message, hint)
        self.id = job_id


def decode_command(line: Union[str, bytes]) -> Command:
    """Return the command of a line.

    Raises:
        CommandError: If the line is malformed, or asks for another protocol.
    """
    hint = "send one JSON object per line, see docs/protocol.md"
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        shown = line.decode("utf-8", "replace") if isinstance(line, bytes) else line
        raise CommandError(f"line {shown.strip()[:80]!r} is not JSON", hint) from None
    name = record.get("command") if isinstance(record, dict) else None
    if name == "quit":
        return QuitCommand()
    if name == "cancel":
        return CancelCommand(str(record.get("id", "")))
    if name == "run":
        return _run_command(record, hint)
    raise CommandError("the line has no command 'run', 'cancel' or 'quit'", hint)


def _run_command(record: Mapping[str, Any], hint: str) -> RunCommand:
    job, fields_, job_id = record.get("job"), record.get("fields", {}), record.get("id")
    if not isinstance(job_id, str) or not job_id:
        raise CommandError("the run line has no id", "give each job an id of its own")
    if record.get("protocol") != PROTOCOL_VERSION:
        raise CommandError(
            f"the client speaks protocol {record.get('protocol')!r}, "
            f"engine {__version__} speaks {PROTOCOL_VERSION}",
            "update the engine environment so that plugin and engine have the same version",
            job_id,
        )
    if not isinstance(job, str) or not isinstance(fields_, dict):
        raise CommandError("the run line has no job name or no fields", hint, job_id)
    return RunCommand(job, fields_, job_id)


def encode_run(job: str, fields_: Dict[str, Any], job_id: str) -> str:
    """Return the command line that starts a job."""
    return json.dumps(
        {
            "command": "run",
            "job": job,
            "id": job_id,
            "protocol": PROTOCOL_VERSION,
            "fields": fields_,
        }
    )


def encode_cancel(job_id: str) -> str:
    """Return the command line that cancels a job."""
    return json.dumps({"command": "cancel", "id": job_id})


def encode_quit() -> str:
    """Return the command line that ends an idle worker."""
    return json.dumps({"command": "quit"})
