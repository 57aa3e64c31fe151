"""Is the environment sound: packages, libraries, devices, models, disk; tried, not assumed."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from .. import __version__
from ..errors import EngineError
from ..jobs import DoctorJob
from ..packages import OPTIONAL_PACKAGES, REQUIRED_PACKAGES
from ..protocol import PROTOCOL_VERSION, IsCancelled, Progress, Report, Result
from ..zoo.registry import ModelEntry, list_models, user_zoo, zoo_folders
from .backend_report import choose_beforehand, look_at_backends
from .devices import look_at_cpu, look_at_cuda

MIN_FREE_BYTES = 1 << 30
REPAIR_HINT = "create the engine environment again (in a checkout: make)"

Problem = dict[str, str]
T = TypeVar("T")
BROKEN = (
    *(ArithmeticError, AttributeError, EngineError, ImportError, LookupError, OSError),
    *(RuntimeError, TypeError, ValueError),
)


def run_doctor(job: DoctorJob, report: Report, cancelled: IsCancelled) -> Result:
    """Look at the environment and try its parts.

    Returns:
        ``details``: ``ok``, ``problems`` (``message``, ``hint``), ``engine``, ``protocol``,
        ``python``, ``system``, ``packages``, ``libraries``, ``devices``, ``backends``, ``zoo``,
        ``disks``; with ``warm`` also ``kernels``, the seconds of their compilation, and
        ``chosen``, what runs each model.
    """
    started = time.monotonic()
    problems: list[Problem] = []
    details: dict[str, Any] = {
        "engine": __version__,
        "protocol": PROTOCOL_VERSION,
        "python": {
            "version": platform.python_version(),
            "executable": sys.executable,
            "prefix": sys.prefix,
        },
        "system": platform.platform(),
    }
    parts: dict[str, Callable[[], Any]] = {
        "packages": lambda: _packages(problems),
        "libraries": lambda: _libraries(problems),
        "devices": lambda: _devices(problems),
        "backends": lambda: _try("backends", look_at_backends, problems) or [],
        "zoo": lambda: _zoo(problems),
        "disks": lambda: _disks(job.folder, problems),
    }
    if job.warm:
        parts["kernels"] = lambda: _try("kernels", _compile_kernels, problems)
        parts["chosen"] = lambda: _try("backends", choose_beforehand, problems) or {}
    for done, (name, look) in enumerate(parts.items()):
        report(Progress("doctor", done, len(parts), "parts"))
        details[name] = look()
    report(Progress("doctor", len(parts), len(parts), "parts"))
    details |= {"problems": problems, "ok": not problems}
    return Result({}, {"problems": len(problems)}, round(time.monotonic() - started, 3), details)


def _compile_kernels() -> float:
    """Compile the kernels into the user's cache folder; returns the seconds that it took."""
    from ..geo.pyramid import warm_up_halving
    from ..merge.instances_warm import warm_up_instances
    from ..merge.scores_warm import warm_up_scores
    from ..vectorize.warm import warm_up

    started = time.monotonic()
    warm_up()
    warm_up_halving()
    warm_up_scores()
    warm_up_instances()
    return round(time.monotonic() - started, 3)


def _packages(problems: list[Problem]) -> dict[str, dict[str, Any]]:
    """Return version and need of each package; a missing required one is a problem."""
    found: dict[str, dict[str, Any]] = {}
    for name in REQUIRED_PACKAGES + OPTIONAL_PACKAGES:
        try:
            version: str | None = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            version = None
        found[name] = {"version": version, "required": name in REQUIRED_PACKAGES}
        if version is None and name in REQUIRED_PACKAGES:
            problems.append({"message": f"package {name} is missing", "hint": REPAIR_HINT})
    return found


def _libraries(problems: list[Problem]) -> dict[str, str]:
    """Return the versions of GDAL, PROJ and GEOS, and try what the engine needs of them."""
    found: dict[str, str] = {}
    for name, look in (
        ("GDAL of rasterio", _gdal_of_rasterio),
        ("GDAL of pyogrio", _gdal_of_pyogrio),
        ("PROJ", _proj),
        ("GEOS", _geos),
        ("numba", _numba),
    ):
        version = _try(name, look, problems)
        if version:
            found[name] = version
    return found


def _try(name: str, look: Callable[[], T], problems: list[Problem]) -> T | None:
    """Return what ``look`` returns; what a broken environment raises is a problem."""
    try:
        return look()
    except BROKEN as error:
        reason = str(error).strip().splitlines() or [""]
        message = f"{name} does not work: {type(error).__name__}: {reason[0]}"
        problems.append({"message": message, "hint": REPAIR_HINT})
        return None


def _gdal_of_rasterio() -> str:
    import rasterio
    from rasterio.crs import CRS

    CRS.from_epsg(32645).to_wkt()
    with rasterio.Env() as env:
        missing = {"GTiff", "VRT"} - set(env.drivers())
    if missing:
        raise RuntimeError(f"driver {missing.pop()} is missing")
    return str(rasterio.__gdal_version__)


def _gdal_of_pyogrio() -> str:
    pyogrio = importlib.import_module("pyogrio")
    if "w" not in pyogrio.list_drivers().get("GPKG", ""):
        raise RuntimeError("driver GPKG is missing")
    return ".".join(map(str, pyogrio.__gdal_version__))


def _proj() -> str:
    import pyproj

    x_m, _ = pyproj.Transformer.from_crs(4326, 32645, always_xy=True).transform(87.0, 27.7)
    if abs(x_m - 500_000) > 1e-3:
        raise RuntimeError("the central meridian of UTM 45 N is elsewhere")
    return str(pyproj.proj_version_str)


def _geos() -> str:
    import shapely

    if shapely.box(0, 0, 2, 2).intersection(shapely.box(1, 1, 3, 3)).area != 1:
        raise RuntimeError("two squares overlap wrongly")
    return str(shapely.geos_version_string)


def _numba() -> str:
    import numba

    if numba.njit(lambda n: n * 2 + 1)(20) != 41:
        raise RuntimeError("a compiled function computes wrongly")
    return str(numba.__version__)


def _devices(problems: list[Problem]) -> list[dict[str, Any]]:
    """Return the devices that torch can use, after a small computation on each."""
    devices: list[dict[str, Any]] = []
    for name, look in (("torch on the CPU", look_at_cpu), ("torch on CUDA", look_at_cuda)):
        devices += _try(name, look, problems) or []
    return devices


def _zoo(problems: list[Problem]) -> list[dict[str, Any]]:
    """Return the folders of the zoo with their models; an unusable card is a problem."""
    zoos = []
    for folder, origin in zoo_folders():
        entries = list_models([(folder, origin)])
        problems += [p for entry in entries if (p := _entry_problem(entry)) is not None]
        zoos.append(
            {
                "folder": str(folder),
                "origin": origin,
                "exists": folder.is_dir(),
                "models": [entry.id for entry in entries if entry.card is not None],
                "unusable": [entry.id for entry in entries if entry.card is None],
            }
        )
    return zoos


def _entry_problem(entry: ModelEntry) -> Problem | None:
    if entry.card is None:
        hint = f"import it again, or remove {entry.folder}"
        return {"message": f"model {entry.id} is unusable: {entry.problem}", "hint": hint}
    weights = entry.card.weights
    path = entry.folder / weights.file if weights is not None else None
    if path is not None and weights is not None:
        size = path.stat().st_size if path.is_file() else -1
        if size != weights.bytes:
            message = f"weights of {entry.id} are missing or of the wrong size ({path})"
            return {"message": message, "hint": "import the model again"}
    return None


def _disks(folder: str, problems: list[Problem]) -> list[dict[str, Any]]:
    """Return free space of the folders that the engine writes to, after writing to each."""
    wanted = {
        "output": Path(folder) if folder else Path.cwd(),
        "temporary": Path(tempfile.gettempdir()),
        "zoo": user_zoo(),
    }
    disks = []
    for use, path in wanted.items():
        there = next((p for p in (path, *path.parents) if p.is_dir()), Path.cwd())
        writable = _is_writable(there)
        free_bytes = shutil.disk_usage(there).free
        if not writable:
            hint = "choose another folder, or ask for permission to write there"
            problems.append({"message": f"{use} folder {there} is not writable", "hint": hint})
        elif free_bytes < MIN_FREE_BYTES:
            message = f"{use} folder {there} has only {free_bytes >> 20} MiB free"
            problems.append({"message": message, "hint": "free some space"})
        disks.append(
            {"use": use, "folder": str(path), "writable": writable, "free_bytes": free_bytes}
        )
    return disks


def _is_writable(folder: Path) -> bool:
    trial = folder / f".rs_segment_{uuid.uuid4().hex[:12]}"
    try:
        trial.write_bytes(b"trial")
        trial.unlink()
    except OSError:
        return False
    return True
