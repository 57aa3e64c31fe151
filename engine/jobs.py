"""Jobs: frozen dataclasses that all three doors build, and that refuse what they do not know."""

from __future__ import annotations

import difflib
import json
from dataclasses import MISSING, asdict, dataclass, fields, replace
from hashlib import sha256
from math import isfinite
from typing import (
    Any,
    Dict,
    Mapping,
    Optional,
    Tuple,
    Type,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from .errors import JobError

JobType = TypeVar("JobType", bound="Job")


@dataclass(frozen=True)
class Job:
    """Base of all jobs: strict reading from and plain writing to JSON."""

    @classmethod
    def from_dict(cls: Type[JobType], record: Mapping[str, Any]) -> JobType:
        """Build a job from a mapping; lists become tuples, whole numbers floats where needed.

        Raises:
            JobError: If a field is unknown, missing or of the wrong kind.
        """
        known = {f.name: f for f in fields(cls)}
        for name in record:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
                raise JobError(f"unknown job field {name!r}", hint)
        for name, f in known.items():
            if f.default is MISSING and f.default_factory is MISSING and name not in record:
                raise JobError(f"job field {name!r} is missing", f"set {name!r}")
        kinds = get_type_hints(cls)
        job = cls(**{name: _value(name, value, kinds[name]) for name, value in record.items()})
        job.check()
        return job

    def to_dict(self) -> Dict[str, Any]:
        """Return the job as plain JSON values."""
        record: Dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return record

    def check(self) -> None:
        """Raise JobError if a value is out of its range."""

    def fingerprint(self) -> str:
        """Return a hash of all fields, equal for equal jobs (64 hexadecimal digits)."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return sha256(text.encode("utf-8")).hexdigest()


_KIND_WORDS = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}


def _words(kind: Any) -> str:
    """Return the kind of a field in words."""
    if get_origin(kind) is Union:
        return " or ".join(_words(k) for k in get_args(kind) if k is not type(None))
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        count = "" if Ellipsis in kinds else f"{len(kinds)} values, "
        return f"a list ({count}each {_words(kinds[0])})"
    return _KIND_WORDS.get(kind, str(kind))


def _convert(value: Any, kind: Any) -> Any:
    """Return the value as this kind; TypeError if it is another one."""
    if get_origin(kind) is Union:
        if value is None and type(None) in get_args(kind):
            return None
        return _convert(value, next(k for k in get_args(kind) if k is not type(None)))
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        if not isinstance(value, (list, tuple)):
            raise TypeError
        if Ellipsis not in kinds and len(value) != len(kinds):
            raise TypeError
        return tuple(_convert(item, kinds[0]) for item in value)
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError
    return value


def _value(name: str, value: Any, kind: Any) -> Any:
    try:
        return _convert(value, kind)
    except (TypeError, OverflowError):
        raise JobError(
            f"job field {name!r} is {value!r}", f"{name} must be {_words(kind)}"
        ) from None


def _in_range(name: str, value: Optional[float], low: float, high: float) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise JobError(f"{name} is {value!r}, which is not a number", f"give a number for {name}")
    if not low <= value <= high:
        raise JobError(f"{name} is {value}", f"choose a value between {low:g} and {high:g}")


def _check_extent(extent: Tuple[float, ...]) -> None:
    if len(extent) != 4:
        raise JobError(f"extent has {len(extent)} numbers", "give x_min,y_min,x_max,y_max")
    shown = ", ".join(f"{value:.15g}" for value in extent)
    if not all(isfinite(value) for value in extent):
        raise JobError(f"extent {shown} has a number that is not finite", "correct the extent")
    if not (extent[0] < extent[2] and extent[1] < extent[3]):
        raise JobError(
            f"extent {shown} has no area",
            "give x_min,y_min,x_max,y_max with x_min < x_max and y_min < y_max",
        )


@dataclass(frozen=True)
class SegmentJob(Job):
    """Segment one raster with one model.

    Attributes:
        raster: GDAL source of the raster (a path or a GDAL name such as ``/vsicurl/...``).
        model: Id of a model in the zoo, or the path of a model folder.
        output: GeoPackage to write, ``*.gpkg``.
        crs: CRS of the raster as WKT2 or ``EPSG:n``, for a file that has none; empty means
            the file's own.
        extent: ``(x_min, y_min, x_max, y_max)`` in the raster's CRS, or in ``extent_crs``.
        extent_crs: CRS of ``extent`` as WKT2 or ``EPSG:n``; empty means the raster's.
        aoi: Vector file whose polygons mask the result; empty means none.
        aoi_layer: Layer of ``aoi``; empty means the only or first one.
        bands: Raster band numbers (from 1), one per model band; empty means by the card.
        tile_px: Tile side in pixels, 0 means the card's.
        overlap_px: Overlap of neighbouring tiles in pixels, -1 means the card's.
        batch: Tiles per batch, 0 means automatic.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
        precision: ``auto``, ``fp32`` or ``bf16``.
        score: Minimum score in [0, 1] for a foreground pixel (semantic) or an instance;
            -1 means the card's.
        min_area_m2: Smallest polygon that is kept, in square metres.
        simplify_m: Simplification tolerance in metres, 0 means pixel outlines.
        square: Whether to square the corners of polygons (buildings).
        tta: Whether to average over the four flips of each tile.
        class_raster: GeoTIFF of class ids to write, empty means none.
        score_raster: GeoTIFF of scores to write, empty means none.
        max_memory_mib: Upper bound for the tile pipeline's buffers, 0 means automatic.
        resume: Whether to continue a run of the same job that was interrupted.
        overwrite: Whether existing outputs may be replaced.
    """

    raster: str
    model: str
    output: str
    crs: str = ""
    extent: Optional[Tuple[float, float, float, float]] = None
    extent_crs: str = ""
    aoi: str = ""
    aoi_layer: str = ""
    bands: Tuple[int, ...] = ()
    tile_px: int = 0
    overlap_px: int = -1
    batch: int = 0
    device: str = "auto"
    precision: str = "auto"
    score: float = -1.0
    min_area_m2: float = 0.0
    simplify_m: float = 0.0
    square: bool = False
    tta: bool = False
    class_raster: str = ""
    score_raster: str = ""
    max_memory_mib: int = 0
    resume: bool = False
    overwrite: bool = False

    def check(self) -> None:
        """Raise JobError if a value is out of its range."""
        for name in ("raster", "model", "output"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise JobError(f"job field {name!r} is empty", f"set {name!r}")
        if not self.output.lower().endswith(".gpkg"):
            raise JobError(f"output {self.output!r} is not a GeoPackage", "end its name in .gpkg")
        for name in ("class_raster", "score_raster"):
            path = getattr(self, name)
            if path and not path.lower().endswith((".tif", ".tiff")):
                raise JobError(f"{name} {path!r} is not a GeoTIFF", "end its name in .tif")
        self._check_numbers()

    def _check_numbers(self) -> None:
        _in_range("tile_px", self.tile_px, 0, 8192)
        _in_range("overlap_px", self.overlap_px, -1, 8191)
        _in_range("batch", self.batch, 0, 1024)
        _in_range("score", self.score, -1.0, 1.0)
        _in_range("min_area_m2", self.min_area_m2, 0.0, 1e12)
        _in_range("simplify_m", self.simplify_m, 0.0, 1e6)
        _in_range("max_memory_mib", self.max_memory_mib, 0, 1 << 24)
        if self.tile_px and self.overlap_px >= self.tile_px:
            raise JobError(
                f"overlap_px {self.overlap_px} is not smaller than tile_px {self.tile_px}",
                "choose a smaller overlap",
            )
        if any(band < 1 for band in self.bands):
            raise JobError(f"bands {list(self.bands)} has a number below 1", "bands count from 1")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise JobError(f"precision {self.precision!r} is unknown", "auto, fp32 or bf16")
        if self.extent is not None:
            _check_extent(self.extent)

    def identity(self) -> SegmentJob:
        """Return the job without the fields that do not change the result (resume, overwrite)."""
        return replace(self, resume=False, overwrite=False)


@dataclass(frozen=True)
class ReplayJob(Job):
    """Run the job of an earlier result again.

    Attributes:
        run: A ``run.json``, a run folder, or a GeoPackage with a table ``rs_segment_runs``.
        run_id: Which run of a GeoPackage; empty means the latest.
        output: GeoPackage to write; empty means the path of the earlier run.
        overwrite: Whether existing outputs may be replaced.
    """

    run: str
    run_id: str = ""
    output: str = ""
    overwrite: bool = False


@dataclass(frozen=True)
class DoctorJob(Job):
    """Look whether the environment is sound.

    Attributes:
        folder: Folder whose free space is looked at; empty means the current one.
    """

    folder: str = ""


@dataclass(frozen=True)
class CheckModelJob(Job):
    """Check a model: card, files, hash, network and one forward pass.

    Attributes:
        model: Id of a model in the zoo, or the path of a model folder or zip.
    """

    model: str


@dataclass(frozen=True)
class ImportModelJob(Job):
    """Copy a model into the user's zoo after checking it.

    Attributes:
        source: Model folder, or zip of one.
        overwrite: Whether a user's model with the same id may be replaced.
    """

    source: str
    overwrite: bool = False


@dataclass(frozen=True)
class ExportModelJob(Job):
    """Write a model as a folder or a zip that another installation imports.

    Attributes:
        model: Id of a model in the zoo, or the path of a model folder.
        output: Folder or zip to write.
        format: ``folder`` or ``zip``.
        overwrite: Whether an existing output may be replaced.
    """

    model: str
    output: str
    format: str = "zip"
    overwrite: bool = False

    def check(self) -> None:
        """Raise JobError if the format is unknown."""
        if self.format not in ("folder", "zip"):
            raise JobError(f"format {self.format!r} is unknown", "folder or zip")


JOBS: Dict[str, Type[Job]] = {
    "segment": SegmentJob,
    "replay": ReplayJob,
    "doctor": DoctorJob,
    "check_model": CheckModelJob,
    "import_model": ImportModelJob,
    "export_model": ExportModelJob,
}


def job_from_dict(name: str, record: Mapping[str, Any]) -> Job:
    """Build the job called ``name``.

    Raises:
        JobError: If there is no such job, or a field is wrong.
    """
    if name not in JOBS:
        raise JobError(f"unknown job {name!r}", f"known jobs: {', '.join(JOBS)}")
    return JOBS[name].from_dict(record)
