"""What all jobs share: strict reading from JSON, plain writing to it, checks of values."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from hashlib import sha256
from math import isfinite
from typing import (
    Any,
    Dict,
    Optional,
    Tuple,
    Type,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from ..errors import JobError

JobType = TypeVar("JobType", bound="Job")


@dataclass(frozen=True)
class Job:
    """Base of all jobs: strict reading from and plain writing to JSON."""

    @classmethod
    def from_dict(cls: Type[JobType], record: Mapping[str, Any]) -> JobType:
        """Build a job from a mapping; lists become tuples, whole numbers floats where needed.

        Raises:
            JobError: If a field is unknown, missing or of the wrong kind.
        """
        known = {f.name: f for f in fields(cls)}
        for name in record:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
                raise JobError(f"unknown job field {name!r}", hint)
        for name, f in known.items():
            if f.default is MISSING and f.default_factory is MISSING and name not in record:
                raise JobError(f"job field {name!r} is missing", f"set {name!r}")
        kinds = get_type_hints(cls)
        job = cls(**{name: _value(name, value, kinds[name]) for name, value in record.items()})
        job.check()
        return job

    def to_dict(self) -> Dict[str, Any]:
        """Return the job as plain JSON values."""
        record: Dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return record

    def check(self) -> None:
        """Raise JobError if a value is out of its range."""

    def fingerprint(self) -> str:
        """Return a hash of all fields, equal for equal jobs (64 hexadecimal digits)."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return sha256(text.encode("utf-8")).hexdigest()


MAX_SEED = (1 << 32) - 1
_KIND_WORDS = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}


def _words(kind: Any) -> str:
    """Return the kind of a field in words."""
    if get_origin(kind) is Union:
        return " or ".join(_words(k) for k in get_args(kind) if k is not type(None))
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        count = "" if Ellipsis in kinds else f"{len(kinds)} values, "
        return f"a list ({count}each {_words(kinds[0])})"
    return _KIND_WORDS.get(kind, str(kind))


def _convert(value: Any, kind: Any) -> Any:
    """Return the value as this kind; TypeError if it is another one."""
    if get_origin(kind) is Union:
        if value is None and type(None) in get_args(kind):
            return None
        return _convert(value, next(k for k in get_args(kind) if k is not type(None)))
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        if not isinstance(value, (list, tuple)):
            raise TypeError
        if Ellipsis not in kinds and len(value) != len(kinds):
            raise TypeError
        return tuple(_convert(item, kinds[0]) for item in value)
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError
    return value


def _value(name: str, value: Any, kind: Any) -> Any:
    try:
        return _convert(value, kind)
    except (TypeError, OverflowError):
        raise JobError(
            f"job field {name!r} is {value!r}", f"{name} must be {_words(kind)}"
        ) from None


def check_range(name: str, value: Optional[float], low: float, high: float) -> None:
    """Raise JobError if a number is outside ``[low, high]``; None passes."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise JobError(f"{name} is {value!r}, which is not a number", f"give a number for {name}")
    if not low <= value <= high:
        raise JobError(f"{name} is {value}", f"choose a value between {low:g} and {high:g}")


def check_extent(extent: Tuple[float, ...]) -> None:
    """Raise JobError unless this is a finite ``(x_min, y_min, x_max, y_max)`` with an area."""
    if len(extent) != 4:
        raise JobError(f"extent has {len(extent)} numbers", "give x_min,y_min,x_max,y_max")
    shown = ", ".join(f"{value:.15g}" for value in extent)
    if not all(isfinite(value) for value in extent):
        raise JobError(f"extent {shown} has a number that is not finite", "correct the extent")
    if not (extent[0] < extent[2] and extent[1] < extent[3]):
        raise JobError(
            f"extent {shown} has no area",
            "give x_min,y_min,x_max,y_max with x_min < x_max and y_min < y_max",
        )


def check_given(job: Job, *names: str) -> None:
    """Raise JobError if one of these text fields is empty."""
    for name in names:
        if not getattr(job, name):
            raise JobError(f"job field {name!r} is empty", f"set {name!r}")


def check_choice(name: str, value: str, known: Sequence[str]) -> None:
    """Raise JobError if a value is not one of the known ones."""
    if value not in known:
        close = difflib.get_close_matches(value, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
        raise JobError(f"{name} {value!r} is unknown", hint)


def check_ending(name: str, path: str, endings: Tuple[str, ...], what: str) -> None:
    """Raise JobError if a path does not end as it must; an empty path passes."""
    if path and not path.lower().endswith(endings):
        raise JobError(f"{name} {path!r} is not a {what}", f"end its name in {endings[0]}")
