"""The plugin site's rules for names, metadata and sources, written as checks of a folder."""

from __future__ import annotations

import ast
import configparser
import os
import re
from collections.abc import Sequence
from pathlib import Path

from plugin_files import PLUGIN, ROOT

ZIP_DATE = (2026, 1, 1, 0, 0, 0)
REQUIRED_KEYS = (
    "name",
    "description",
    "version",
    "qgisMinimumVersion",
    "author",
    "email",
    "about",
    "tracker",
    "repository",
    "homepage",
)
REQUIRED_FILES = ("__init__.py", "metadata.txt", "LICENSE")
FORBIDDEN_PARTS = ("__pycache__", "__MACOSX", ".git", "..")
FORBIDDEN_ENDINGS = (
    *(".pyc", ".pyo", ".exe", ".dll", ".so", ".dylib", ".pyd", ".jar", ".zip"),
    *(".bat", ".sh", ".ps1", ".cmd", ".pkl", ".pickle", ".pt", ".pth"),
)
BINARY_STARTS = (
    b"\x7fELF",
    b"MZ",
    b"\xfe\xed\xfa",
    b"\xcf\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",
    b"#!",
)
PYTHON_39 = (3, 9)
LIGHT_ENGINE = re.compile(r"^engine/(__init__|errors|protocol|jobs|zoo/\w+)\.py$")
RESERVED_HOSTS = ("example.org", "example.com")


def version_of(metadata: Path) -> str:
    """Return the version of a metadata file."""
    return _general(metadata)["version"]


def _general(metadata: Path) -> dict[str, str]:
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read_string(metadata.read_text(encoding="utf-8"))
    return dict(parser["general"])


def check_names(names: Sequence[str]) -> list[str]:
    """Return what is wrong with the names in the zip."""
    problems = []
    tops = {name.split("/", 1)[0] for name in names}
    if tops != {PLUGIN} or not PLUGIN.isidentifier():
        problems.append(f"top folders {sorted(tops)}, only {PLUGIN} may be there")
    for name in names:
        parts = name.split("/")
        hidden = [part for part in parts if part.startswith(".")]
        bad = [part for part in parts if part in FORBIDDEN_PARTS]
        if hidden or bad or name.startswith("/") or "\\" in name:
            problems.append(f"{name} must not be in the zip")
        if name.lower().endswith(FORBIDDEN_ENDINGS):
            problems.append(f"{name} has an ending that the site refuses")
    missing = [name for name in REQUIRED_FILES if f"{PLUGIN}/{name}" not in names]
    problems += [f"{name} is missing in the zip" for name in missing]
    return problems


def check_metadata(metadata: Path, *, release: bool) -> list[str]:
    """Return what is wrong with ``metadata.txt``."""
    try:
        general = _general(metadata)
    except (configparser.Error, KeyError) as error:
        return [f"metadata.txt: {error}"]
    problems = [f"metadata.txt has no {key}" for key in REQUIRED_KEYS if not general.get(key)]
    engine = (ROOT / "engine" / "__init__.py").read_text(encoding="utf-8")
    if f'__version__ = "{general.get("version")}"' not in engine:
        problems.append("the version of metadata.txt is not the engine's")
    if not re.match(r"^\d+\.\d+\.\d+$", general.get("version", "")):
        problems.append(f"version {general.get('version')!r} is not like 1.2.3")
    if "/" in general.get("author", ""):
        problems.append("author has a slash")
    if general.get("hasProcessingProvider") != "yes":
        problems.append("hasProcessingProvider is not yes")
    icon = metadata.parent / general.get("icon", "")
    if not icon.is_file():
        problems.append(f"icon {general.get('icon')!r} is missing")
    for key in ("tracker", "repository", "homepage"):
        address = general.get(key, "")
        if not address.startswith("https://"):
            problems.append(f"{key} {address!r} is no address")
        if release and any(host in address for host in RESERVED_HOSTS):
            problems.append(f"{key} {address} is a placeholder")
    return problems


def check_folder(folder: Path) -> list[str]:
    """Return what is wrong with the files: binaries, rights, syntax, tests."""
    problems = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        with path.open("rb") as file:
            start = file.read(4)
        if start.startswith(BINARY_STARTS):
            problems.append(f"{name} is a program or a script with an interpreter line")
        if os.name == "posix" and path.stat().st_mode & 0o111:
            problems.append(f"{name} is marked as executable")
        if path.suffix == ".py":
            problems += _check_syntax(path, name)
    return problems


def _check_syntax(path: Path, name: str) -> list[str]:
    """Plugin and light modules must compile on Python 3.9, the rest on the engine's."""
    old = not name.startswith("engine/") or LIGHT_ENGINE.match(name)
    try:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text, name, feature_version=PYTHON_39 if old else None)
    except SyntaxError as error:
        return [f"{name}:{error.lineno}: {error.msg}"]
    future = any(isinstance(n, ast.ImportFrom) and n.module == "__future__" for n in tree.body)
    annotated = any(isinstance(node, (ast.FunctionDef, ast.AnnAssign)) for node in ast.walk(tree))
    if old and annotated and not future:
        return [f"{name} has annotations but no `from __future__ import annotations`"]
    return []
