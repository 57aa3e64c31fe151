"""Typed access to the plugin's settings; every key lies under ``rs_segment/``."""

from __future__ import annotations

import json
from typing import Any, List

from qgis.core import QgsSettings

PREFIX = "rs_segment/"


def _text(key: str) -> str:
    value = QgsSettings().value(PREFIX + key, "")
    return value if isinstance(value, str) else ""


def engine_python() -> str:
    """Return the interpreter that the user chose for the engine, or an empty text."""
    return _text("engine_python")


def set_engine_python(path: str) -> None:
    """Keep the interpreter for the engine; an empty text means to look for one."""
    QgsSettings().setValue(PREFIX + "engine_python", path)


def pip_arguments() -> List[str]:
    """Return extra arguments for pip (JSON list), for example another package index."""
    try:
        values = json.loads(_text("pip_arguments") or "[]")
    except ValueError:
        return []
    return [str(value) for value in values] if isinstance(values, list) else []


def gui_value(key: str, default: Any = None) -> Any:
    """Return a value that the dock kept, or the default if there is none."""
    text = _text("gui/" + key)
    try:
        return json.loads(text) if text else default
    except ValueError:
        return default


def set_gui_value(key: str, value: Any) -> None:
    """Keep a value of the dock: anything that JSON can hold."""
    QgsSettings().setValue(PREFIX + "gui/" + key, json.dumps(value))
