"""The numbers of a ``metrics.json`` as outputs of an algorithm and as a small HTML page."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Tuple

from qgis.core import QgsProcessingException

from ..messages import tr

_STYLE = (
    "body{font-family:sans-serif;margin:1.5em;max-width:60em}"
    "table{border-collapse:collapse;margin:.5em 0 1.5em}"
    "td,th{border:1px solid #bbb;padding:.3em .7em;text-align:left}"
    "td.n{text-align:right}img{max-width:100%}"
)


def read_metrics(path: str) -> Dict[str, Any]:
    """Return the record of a ``metrics.json``.

    Raises:
        QgsProcessingException: If the file cannot be read.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise QgsProcessingException(
            tr("{path} cannot be read: {reason}").format(path=path, reason=error)
        ) from None
    return record if isinstance(record, dict) else {}


def scalars(record: Mapping[str, Any], prefix: str = "") -> Iterator[Tuple[str, float]]:
    """Yield every number of a record with its dotted name; lists are left out."""
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield from scalars(value, f"{prefix}{key}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{prefix}{key}", float(value)


def write_report(
    path: str, title: str, record: Mapping[str, Any], figures: str = "", context: str = ""
) -> None:
    """Write an HTML page with the numbers, the classes and the pictures of a measurement.

    Args:
        path: Page to write.
        title: Its heading.
        record: Record of the ``metrics.json``.
        figures: Folder of pictures to show; empty for none.
        context: What was measured, one line.

    Raises:
        QgsProcessingException: If the page cannot be written.
    """
    parts = [f"<h1>{escape(title)}</h1>", f"<p>{escape(context)}</p>" if context else ""]
    parts.append(_table([(tr("Measure"), tr("Value"))], list(_rows(record))))
    classes = record.get("classes")
    if isinstance(classes, list) and classes and isinstance(classes[0], Mapping):
        parts.append(f"<h2>{escape(tr('Classes'))}</h2>{_class_table(classes)}")
    pictures = sorted(Path(figures).glob("*.png")) if figures else []
    parts += [f"<p><img src='{picture.absolute().as_uri()}' alt=''/></p>" for picture in pictures]
    page = (
        f"<!DOCTYPE html><html><head><meta charset='utf-8'><title>{escape(title)}</title>"
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(page, encoding="utf-8")
    except OSError as error:
        raise QgsProcessingException(
            tr("{path} cannot be written: {reason}").format(path=path, reason=error)
        ) from None


def _rows(record: Mapping[str, Any]) -> Iterator[Tuple[str, str]]:
    for name, value in record.items():
        if isinstance(value, str) and value and "\n" not in value:
            yield name, value
    for name, number in scalars(record):
        yield name, _number(number)


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) >= 1 else f"{value:.4g}"


def _table(head: List[Tuple[str, ...]], rows: List[Tuple[str, ...]]) -> str:
    titles = "".join(f"<th>{escape(word)}</th>" for row in head for word in row)
    lines = "".join(
        "<tr><td>"
        + escape(first)
        + "</td>"
        + "".join(f"<td class='n'>{escape(x)}</td>" for x in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return f"<table><tr>{titles}</tr>{lines}</table>"


def _class_table(classes: List[Mapping[str, Any]]) -> str:
    keys = [key for key, value in classes[0].items() if isinstance(value, (int, float))]
    keys = [key for key in keys if key not in ("id", "class_id")]
    rows = [
        (str(item.get("name", "")), *(_cell(item.get(key)) for key in keys)) for item in classes
    ]
    return _table([(tr("Class"), *keys)], rows)


def _cell(value: Any) -> str:
    return _number(float(value)) if isinstance(value, (int, float)) else "–"
