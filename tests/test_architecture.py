"""The house rules of DESIGN.md section 2 as tests: import table, sizes, what code may not do.

``test_light.py`` and ``test_project_files.py`` hold the rest of the house rules.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STDLIB = frozenset(sys.stdlib_module_names) | {"msvcrt", "winreg"}
DOOR = ("cli", "worker", "runner", "process", "commands", "__main__")
LIGHT = ("", "errors", "packages", "protocol", "jobs", "zoo")
EVERYTHING = (
    *("light", "geo", "merge", "vectorize", "models", "data", "predict", "evaluate", "train"),
    *("pipelines",),
)
ARRAYS = ("numpy", "scipy", "numba", "shapely")
NETWORKS = ("torch", "torchvision", "timm", "segmentation_models_pytorch", "safetensors")

# Package of the engine -> what it may import of the engine, and which other packages.
MAY_IMPORT: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "light": (("light",), ()),
    "geo": (
        ("light", "geo"),
        (*ARRAYS, "rasterio", "affine", "pyproj", "pyogrio", "pyarrow", "defusedxml"),
    ),
    "merge": (("light", "geo", "merge"), ARRAYS),
    "vectorize": (("light", "geo", "vectorize"), (*ARRAYS, "affine", "pyproj", "pyarrow")),
    "models": (("light", "models"), (*NETWORKS, "numpy", "scipy")),
    "data": (("light", "geo", "data"), (*ARRAYS, "affine", "rasterio", "pycocotools")),
    "predict": (
        ("light", "geo", "models", "merge", "predict"),
        (*ARRAYS, *NETWORKS, "openvino", "onnxruntime"),
    ),
    "evaluate": (
        ("light", "geo", "evaluate"),
        (*ARRAYS, "pyproj", "hotcoco", "matplotlib"),
    ),
    "train": (
        ("light", "data", "models", "evaluate", "train"),
        (*NETWORKS, "numpy", "lightning", "torchmetrics", "matplotlib"),
    ),
    "pipelines": (
        EVERYTHING,
        (*ARRAYS, *NETWORKS, "affine", "pyproj", "rasterio", "pyogrio", "onnxruntime"),
    ),
    "door": (("light", "door"), ("click", "tqdm")),
}
# Modules that may import torch and Pillow although their package does not.
TORCH_TOO = ("data.augment", "data.dataset", "data.transforms", "data.views")

RASTER_OPENERS = ("engine/geo/raster.py", "engine/geo/source.py", "engine/geo/writer.py")
VECTOR_OPENERS = ("engine/geo/vector", "engine/pipelines/doctor.py")  # doctor asks for versions
MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_PARAMETERS = 400, 60, 8
# Function -> why it takes more than eight parameters.
MANY_PARAMETERS = {
    "engine/geo/writer.py:RasterWriter.__init__": "one argument per kind of GeoTIFF metadata",
}
# Modules where catching everything is right, with the reason.
BORDERS = {
    "engine/runner.py": "the border: a bug becomes a failure event",
    "engine/worker.py": "the border: a bug becomes a failure event",
    "engine/cli.py": "the border: a bug becomes an exit code",
    "engine/pipelines/doctor.py": "a broken library may raise anything",
    "engine/predict/bands.py": "the reading thread hands its error to the consumer",
}
PRINTING = ("engine/cli.py", "engine/commands/", "engine/__main__.py")


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _python_files(*folders: str) -> list[Path]:
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if "__pycache__" not in path.parts)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _module(path: Path) -> str:
    """Return the dotted name, ``engine.geo.grid``; a package has the name of its folder."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@dataclass(frozen=True)
class Import:
    """One imported module: absolute dotted name, line, and whether a function imports it."""

    module: str
    line: int
    in_function: bool
    relative: bool


def _imports(path: Path) -> Iterator[Import]:
    package = _module(path) if path.name == "__init__.py" else _module(path).rpartition(".")[0]

    def visit(node: ast.AST, in_function: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, in_function, False)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                kept = parents[: len(parents) - node.level + 1]
                base = ".".join([*kept, base] if base else kept)
            for alias in node.names:
                deep = f"{base}.{alias.name}"
                names_a_file = (ROOT / deep.replace(".", "/")).with_suffix(".py").is_file()
                names_a_package = (ROOT / deep.replace(".", "/") / "__init__.py").is_file()
                module = deep if names_a_file or names_a_package else base
                yield Import(module, node.lineno, in_function, node.level > 0)
        inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inside)

    yield from visit(_tree(path), False)


def _part(module: str) -> str:
    """Return the row of the import table that a module of the engine belongs to."""
    first = module.split(".")[1] if "." in module else ""
    if first in LIGHT:
        return "light"
    return "door" if first in DOOR else first


def _import_problems(path: Path) -> Iterator[str]:
    own = _part(_module(path))
    if own not in MAY_IMPORT:
        yield f"{_name(path)}: package {own!r} has no row in the import table"
        return
    engine_parts, packages = MAY_IMPORT[own]
    if _module(path).removeprefix("engine.") in TORCH_TOO:
        packages = (*packages, *NETWORKS, "PIL")
    for item in _imports(path):
        where = f"{_name(path)}:{item.line} imports {item.module}"
        top = item.module.split(".")[0]
        if top == "engine":
            part = _part(item.module)
            if not item.relative:
                yield f"{where}: use a relative import"
            if own == "door" and part == "pipelines" and item.in_function:
                continue
            if part not in engine_parts:
                yield f"{where}: {own} may import {', '.join(engine_parts)} only"
        elif top not in STDLIB and top not in packages:
            yield f"{where}: {own} may use {', '.join(packages) or 'the standard library'} only"


def test_import_table_of_the_engine() -> None:
    problems = [p for path in _python_files("engine") for p in _import_problems(path)]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("file", "statement", "complaint"),
    [
        ("engine/protocol.py", "import torch", "the standard library only"),
        ("engine/errors.py", "from qgis.core import QgsProject", "the standard library only"),
        ("engine/merge/scores.py", "import torch", "merge may use"),
        ("engine/merge/scores.py", "from ..models import load", "merge may import"),
        ("engine/cli.py", "from .pipelines import segment", "door may import"),
        ("engine/geo/grid.py", "from engine.errors import JobError", "use a relative import"),
    ],
)
def test_import_table_notices(file, statement, complaint, monkeypatch) -> None:
    """Each rule of the table is able to fail: a forbidden import added to a real module."""
    path = ROOT / file
    changed = ast.parse(path.read_text(encoding="utf-8") + f"\n{statement}\n")
    monkeypatch.setattr(sys.modules[__name__], "_tree", lambda _path: changed)
    assert any(complaint in problem for problem in _import_problems(path))


def _plugin_problems(path: Path) -> Iterator[str]:
    is_border = path.name == "engine_api.py"
    in_gui = "gui" in path.relative_to(ROOT / "rs_segment_plugin").parts
    for item in _imports(path):
        where = f"{_name(path)}:{item.line} imports {item.module}"
        top = item.module.split(".")[0]
        engine = top == "engine" or item.module.startswith("rs_segment_plugin.engine.")
        if engine or item.module == "rs_segment_plugin.engine":
            light = _part(item.module.removeprefix("rs_segment_plugin.")) == "light"
            if not (is_border and light):
                yield f"{where}: only engine_api.py imports the engine, its light modules only"
        elif top not in STDLIB and top not in ("qgis", "processing", "rs_segment_plugin"):
            yield f"{where}: the plugin uses qgis and the standard library only"
        elif in_gui and item.module.startswith("rs_segment_plugin.worker"):
            yield f"{where}: the GUI starts algorithms, never the worker"
        elif top == "subprocess":
            yield f"{where}: the plugin starts processes with QProcess"


def test_import_table_of_the_plugin() -> None:
    files = _python_files("rs_segment_plugin")
    files = [path for path in files if "engine" not in path.relative_to(ROOT).parts[1:2]]
    assert files
    problems = [problem for path in files for problem in _plugin_problems(path)]
    assert not problems, "\n".join(problems)


def test_files_are_opened_at_the_edge() -> None:
    problems = []
    for path in _python_files("engine"):
        name = _name(path)
        for node in ast.walk(_tree(path)):
            if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
                continue
            if (node.value.id, node.attr) == ("rasterio", "open") and name not in RASTER_OPENERS:
                problems.append(f"{name}:{node.lineno} opens a raster")
        for item in _imports(path):
            if item.module.startswith("pyogrio") and not name.startswith(VECTOR_OPENERS):
                problems.append(f"{name}:{item.line} opens a vector file")
    assert not problems, "\n".join(problems)


def _functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    def visit(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{prefix}{child.name}", child
                yield from visit(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.ClassDef):
                yield from visit(child, f"{prefix}{child.name}.")
            else:
                yield from visit(child, prefix)

    yield from visit(_tree(path), f"{_name(path)}:")


def _lines_without_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = node.end_lineno - node.lineno + 1
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        lines -= first.end_lineno - first.lineno + 1
    return lines


def test_sizes() -> None:
    problems = []
    for path in _python_files("engine", "rs_segment_plugin", "scripts", "tests", "benchmarks"):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MAX_FILE_LINES:
            problems.append(f"{_name(path)} has {lines} lines, more than {MAX_FILE_LINES}")
        for name, node in _functions(path):
            length = _lines_without_docstring(node)
            if length > MAX_FUNCTION_LINES:
                problems.append(f"{name} has {length} lines, more than {MAX_FUNCTION_LINES}")
    assert not problems, "\n".join(problems)


def test_parameters() -> None:
    counts = {}
    for path in _python_files("engine", "rs_segment_plugin"):
        for name, node in _functions(path):
            every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            counts[name] = len([a for a in every if a.arg not in ("self", "cls")])
    many = {name for name, count in counts.items() if count > MAX_PARAMETERS}
    # Options of a command are its parameters; click fills them in by name.
    many = {name for name in many if not name.startswith("engine/commands/")}
    assert many == set(MANY_PARAMETERS)


def test_no_drawers_for_everything() -> None:
    files = _python_files("engine", "rs_segment_plugin", "scripts", "tests")
    bad = [p for p in files if p.stem in ("utils", "util", "common", "helpers", "misc")]
    assert not bad


def _forbidden_in_engine(path: Path) -> Iterator[str]:
    name = _name(path)
    for node in ast.walk(_tree(path)):
        where = f"{name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Assert):
            yield f"{where} assert in shipped code"
        elif isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "BaseException"
            raises_again = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
            if caught in ("Exception", "BaseException") and not (raises_again or name in BORDERS):
                yield f"{where} catches {caught} away from the borders"
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called == "print" and not name.startswith(PRINTING):
                yield f"{where} prints"
            if called == "torch.load":
                yield f"{where} torch.load reads pickles: use safetensors"
    for item in _imports(path):
        if item.module.split(".")[0] in ("pickle", "dill", "cloudpickle", "marshal", "shelve"):
            yield f"{name}:{item.line} imports {item.module}"


def test_nothing_forbidden_in_shipped_code() -> None:
    files = _python_files("engine", "rs_segment_plugin")
    problems = [problem for path in files for problem in _forbidden_in_engine(path)]
    assert not problems, "\n".join(problems)
