"""The files of an evaluation: ``metrics.json`` and its pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import DiskError
from ..geo.disk import disk_errors

BULKY = ("curves", "confusion", "without_class_px")
"""Keys that stay in the file and out of the result event."""


def check_output(output: str, *, overwrite: bool) -> Path | None:
    """Return the absolute path of the metrics file, None for an empty name.

    Raises:
        DiskError: If it exists already, or its folder does not.
    """
    if not output:
        return None
    path = Path(output).expanduser().absolute()
    if path.exists() and not overwrite:
        raise DiskError(
            f"output {path} exists already", "allow overwriting, or choose another name"
        )
    if not path.parent.is_dir():
        raise DiskError(f"folder {path.parent} does not exist", "create it, or choose another one")
    return path


def write_metrics(path: Path | None, figures: str, record: Mapping[str, Any]) -> dict[str, str]:
    """Write the record and, where a folder is given, its pictures.

    Returns:
        Paths by name: ``metrics`` and one ``figure_<name>`` per picture.

    Raises:
        DiskError: If a file cannot be written.
    """
    written: dict[str, str] = {}
    if path is not None:
        text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        partial = path.with_name(f".{path.name}.partial")
        with disk_errors(path):
            try:
                partial.write_text(text, encoding="utf-8")
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
        written["metrics"] = str(path)
    if figures:
        from ..evaluate.figures import metrics_figures  # loads matplotlib

        folder = Path(figures).expanduser().absolute()
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for name, data in metrics_figures(record).items():
                (folder / name).write_bytes(data)
                written[f"figure_{Path(name).stem}"] = str(folder / name)
    return written


def result_details(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record without what only files should hold."""
    details = {key: value for key, value in record.items() if key not in BULKY}
    if "ground" in details:
        ground = details["ground"]
        details["ground"] = {k: v for k, v in ground.items() if not k.startswith("confusion")}
    return details
