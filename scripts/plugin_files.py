"""Which files of the checkout make the plugin's folder, and where they lie in it."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = "rs_segment_plugin"
TOP_FILES = ("metadata.txt", "LICENSE")
RESOURCES = (
    *("icons", "ui", "i18n", "styles", "zoo"),
    *("engine_requirements.txt", "network_costs.json"),
)
PAGES = ("docs/networks", "docs/images/networks")
SKIPPED_PARTS = ("__pycache__",)
SKIPPED_ENDINGS = (".pyc", ".pyo", ".ts", ".aux.xml", ".partial")


def _wanted(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    skipped = any(part in SKIPPED_PARTS for part in path.parts)
    return not hidden and not skipped and not path.name.endswith(SKIPPED_ENDINGS)


def _files_below(folder: Path) -> dict[Path, Path]:
    """Return relative path to file for the wanted files of a folder, sorted."""
    found = {p.relative_to(folder): p for p in sorted(folder.rglob("*")) if p.is_file()}
    return {relative: path for relative, path in found.items() if _wanted(relative)}


def plugin_files(*, with_models: bool = True) -> dict[str, Path]:
    """Return each file of the plugin's folder: its place there, and where it is now."""
    files: dict[str, Path] = {}
    for relative, path in _files_below(ROOT / PLUGIN).items():
        files[relative.as_posix()] = path
    for relative, path in _files_below(ROOT / "engine").items():
        files[f"engine/{relative.as_posix()}"] = path
    for name in RESOURCES:
        if name == "zoo" and not with_models:
            continue
        source = ROOT / "resources" / name
        if source.is_file():
            files[f"resources/{name}"] = source
        for relative, path in _files_below(source).items() if source.is_dir() else ():
            files[f"resources/{name}/{relative.as_posix()}"] = path
    for page in PAGES:
        for relative, path in _files_below(ROOT / page).items():
            files[f"{page}/{relative.as_posix()}"] = path
    for name in TOP_FILES:
        if not (ROOT / name).is_file():
            sys.exit(f"{ROOT / name} is missing")
        files[name] = ROOT / name
    return files


def linked_items() -> dict[str, Path]:
    """Return the files and folders of a development install: the place there, the target."""
    items = {
        path.name: path for path in sorted((ROOT / PLUGIN).iterdir()) if _wanted(Path(path.name))
    }
    for name in ("engine", "resources", "docs", *TOP_FILES):
        items[name] = ROOT / name
    return items
