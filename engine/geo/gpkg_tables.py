"""Tables beside the features of a GeoPackage: styles as QGIS keeps them, and run manifests."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..errors import DiskError, LabelError

RUN_TABLE = "rs_segment_runs"
STYLE_TABLE = "layer_styles"
GEOMETRY_COLUMN = "geom"

_EPOCH = "946684800"  # 2000-01-01
_LOW_SPACE_BYTES = 1 << 20
_CREATE_STYLES = """
CREATE TABLE IF NOT EXISTS layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256),
    f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
    useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
    update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')))
"""
_CREATE_RUNS = """
CREATE TABLE IF NOT EXISTS rs_segment_runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    run_id TEXT NOT NULL UNIQUE, created TEXT, manifest TEXT NOT NULL)
"""
_REGISTER = """
INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier, description, last_change)
VALUES (?, 'attributes', ?, ?, ?)
"""


def file_date() -> str:
    """Return the date that files carry: ``SOURCE_DATE_EPOCH``, else the year 2000.

    The date of a run stands in its manifest; a fixed one here makes equal results equal files.
    """
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", _EPOCH))
    return f"{datetime.fromtimestamp(epoch, tz=timezone.utc):%Y-%m-%dT%H:%M:%S}.000Z"


def write_style(path: Path, layer: str, qml: str, *, name: str, is_default: bool = True) -> None:
    """Store a style of a layer; QGIS applies the default one when the layer is opened.

    A default style replaces all styles that the layer had, any other one those of its name.

    Args:
        path: A GeoPackage of this engine.
        layer: Name of the layer.
        qml: Style as QGIS writes it, see :mod:`.style`.
        name: Name of the style, at most 30 characters are kept.
        is_default: Whether this is the style that a new layer gets.

    Raises:
        DiskError: If the file cannot be written.
    """
    with _writing(path) as database:
        _create(database, STYLE_TABLE, _CREATE_STYLES, "styles of the layers")
        database.execute(
            "DELETE FROM layer_styles WHERE f_table_name = ? AND (? OR styleName = ?)",
            (layer, is_default, name[:30]),
        )
        database.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name,"
            " f_geometry_column, styleName, styleQML, styleSLD, useAsDefault, description,"
            " owner, ui, update_time) VALUES ('', '', ?, ?, ?, ?, '', ?, ?, '', NULL, ?)",
            (layer, GEOMETRY_COLUMN, name[:30], qml, is_default, name, file_date()),
        )


def write_run(path: Path, manifest: Mapping[str, Any]) -> None:
    """Store the manifest of a run as JSON; one of the same ``run_id`` is replaced.

    Args:
        path: A GeoPackage of this engine.
        manifest: JSON values with the key ``run_id``, and ``started`` if that is known.

    Raises:
        DiskError: If the file cannot be written.
    """
    text = json.dumps(manifest, ensure_ascii=False, sort_keys=True)
    with _writing(path) as database:
        _create(database, RUN_TABLE, _CREATE_RUNS, "manifests of the runs of RS Segment")
        database.execute(
            "INSERT OR REPLACE INTO rs_segment_runs (run_id, created, manifest) VALUES (?, ?, ?)",
            (str(manifest["run_id"]), str(manifest.get("started", "")), text),
        )


def read_runs(path: Path) -> list[dict[str, Any]]:
    """Return the manifests of the runs that made a GeoPackage, oldest first.

    Raises:
        LabelError: If the file is no GeoPackage, or a manifest is broken.
    """
    path = Path(path)
    hint = "choose a GeoPackage that RS Segment wrote"
    if not path.is_file():
        raise LabelError(f"there is no file {path}", hint)
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = ?"
            if database.execute(tables, (RUN_TABLE,)).fetchone() is None:
                return []
            rows = database.execute("SELECT manifest FROM rs_segment_runs ORDER BY id").fetchall()
        return [dict(json.loads(text)) for (text,) in rows]
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise LabelError(f"the runs in {path} cannot be read: {error}", hint) from None


def disk_error(path: Path, error: Exception) -> DiskError:
    """Return the error for a file that cannot be written, with the reason that is likely."""
    reason = getattr(error, "strerror", None) or str(error)
    folder = path.parent
    if not folder.is_dir():
        hint = f"create the folder {folder} or choose another one"
    elif not os.access(folder, os.W_OK):
        hint = f"{folder} is not writable; choose another folder"
    elif shutil.disk_usage(folder).free < _LOW_SPACE_BYTES:
        hint = f"the disk of {folder} is full; free some space or choose another folder"
    else:
        hint = "remove the layer from QGIS or close the program that uses it, or check the disk"
    return DiskError(f"{path} cannot be written: {reason}", hint)


@contextmanager
def _writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Open an existing database for one transaction, undone on failure.

    Raises:
        DiskError: If it cannot be opened or written.
    """
    try:
        uri = f"{Path(path).resolve().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=2.0)) as database, database:
            yield database
    except (sqlite3.Error, OSError) as error:
        raise disk_error(Path(path), error) from None


def _create(database: sqlite3.Connection, table: str, statement: str, description: str) -> None:
    """Create a table without geometry and make it known to GeoPackage readers."""
    database.execute(statement)
    database.execute(_REGISTER, (table, table, description, file_date()))
