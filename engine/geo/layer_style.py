"""Colours of classes as a QGIS style of a vector layer has them.

Looked for in ``layer_styles`` of a GeoPackage (the default style of the layer) and in a ``.qml``
file beside the vector file. Single symbols and categorised symbols are understood.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from defusedxml import DefusedXmlException, ElementTree

logger = logging.getLogger(__name__)

SINGLE = ""
"""Key of the colour of a style that has the same symbol for all features."""
_QUERY = """
SELECT styleQML FROM layer_styles WHERE (f_table_name = :layer OR :layer = '')
AND styleQML IS NOT NULL ORDER BY useAsDefault DESC, id DESC
"""


def read_class_colors(path: str, *, layer: str = "", field: str = "") -> dict[str, str]:
    """Return colours ``#rrggbb`` by the text of a field's value.

    Args:
        path: A vector file.
        layer: Name of the layer; empty means the first one with a style.
        field: Field with the class; empty accepts a style of any field.

    Returns:
        Colours; the key of a single symbol is empty. Empty if there is no style that names
        colours for this field.
    """
    file = Path(path)
    if not file.is_file():
        return {}
    for qml in (*_stored_styles(file, layer), *_sidecar(file)):
        colors = _colors(qml, field)
        if colors:
            return colors
    return {}


def _stored_styles(file: Path, layer: str) -> list[str]:
    if file.suffix.lower() != ".gpkg":
        return []
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as database:
            return [str(row[0]) for row in database.execute(_QUERY, {"layer": layer})]
    except sqlite3.Error:
        return []


def _sidecar(file: Path) -> list[str]:
    path = file.with_suffix(".qml")
    try:
        return [path.read_text(encoding="utf-8")] if path.is_file() else []
    except (OSError, UnicodeDecodeError) as error:
        logger.warning("the style %s cannot be read: %s", path, error)
        return []


def _colors(qml: str, field: str) -> dict[str, str]:
    try:
        renderer = ElementTree.fromstring(qml).find(".//renderer-v2")
    except (ElementTree.ParseError, DefusedXmlException) as error:
        logger.warning("a style of the labels cannot be read: %s", error)
        return {}
    if renderer is None:
        return {}
    symbols = {s.get("name", ""): _symbol_color(s) for s in renderer.iterfind("symbols/symbol")}
    if renderer.get("type") == "singleSymbol":
        color = symbols.get("0")
        return {SINGLE: color} if color else {}
    of_field = renderer.get("attr", "").strip('"')
    if renderer.get("type") != "categorizedSymbol" or (field and of_field != field):
        return {}
    found = {}
    for category in renderer.iterfind("categories/category"):
        color = symbols.get(category.get("symbol", ""))
        if color and category.get("value"):
            found[category.get("value", "")] = color
    return found


def _symbol_color(symbol: Any) -> str | None:
    """Return the colour of the first symbol layer that has one."""
    for option in symbol.iterfind("layer//Option[@name='color']"):
        return _hex(option.get("value", ""))
    for prop in symbol.iterfind("layer/prop[@k='color']"):
        return _hex(prop.get("v", ""))
    return None


def _hex(text: str) -> str | None:
    """Return ``#rrggbb`` for ``r,g,b,a`` or ``r,g,b,a,rgb:...``."""
    try:
        red, green, blue = (int(part) for part in text.split(",")[:3])
    except ValueError:
        return None
    return f"#{red:02x}{green:02x}{blue:02x}"
