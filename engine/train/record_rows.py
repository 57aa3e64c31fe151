"""Records of a training as rows of text for people: no braces, no quotes, one value a row."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

COMMAND_KEY = "command"
_OPTION_NAMES = {"options": "set"}


def plain_text(value: Any) -> str:
    """Return a value for people: numbers short, lists with commas, "–" for nothing."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plain_text(item)}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(plain_text, value)) or "–"
    return str(value)


def record_rows(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield name and value of each entry; entries of inner records carry both names.

    Args:
        record: Plain JSON values. An entry ``command`` that holds a job becomes a line of the
            shell.
        prefix: Text before each name.
    """
    for key, value in record.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from record_rows(value, f"{name}: ")
        elif key == COMMAND_KEY:
            yield name, shell_line(str(value))
        else:
            yield name, plain_text(value)


def shell_line(command: str) -> str:
    """Return a job as the command line that repeats it; a text that is no job stays as it is.

    Args:
        command: ``{"job": name, "fields": {…}}`` as JSON, as cards of models hold it.
    """
    try:
        record = json.loads(command)
        job, fields = str(record["job"]), dict(record["fields"])
    except (KeyError, TypeError, ValueError):
        return command
    words = ["rs-segment", job]
    for name, value in fields.items():
        option = "--" + _OPTION_NAMES.get(str(name), str(name)).replace("_", "-")
        for item in value if isinstance(value, list) else [value]:
            words += [option] if item is True else [option, str(item)]
    return shlex.join(words)
