"""Worker protocol, version 1: one JSON object per line, events out and commands in.

Commands (stdin of the worker)::

    {"command": "run", "job": "segment", "id": "1", "protocol": 1, "fields": {...}}
    {"command": "cancel", "id": "1"}
    {"command": "quit"}

Events (stdout of the worker): ``hello`` once; then per job any number of ``log`` and
``progress`` and exactly one final event out of ``result``, ``failure`` and ``cancelled``.
Every event that belongs to a job carries its ``id``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Callable, Dict, Optional, Type, Union

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


Event = Union[Hello, Log, Progress, Result, Failure, Cancelled]
Report = Callable[[Event], None]
IsCancelled = Callable[[], bool]

EVENT_TYPES: Dict[str, Type[Any]] = {
    "hello": Hello,
    "log": Log,
    "progress": Progress,
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
