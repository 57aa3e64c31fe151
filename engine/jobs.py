"""Jobs: frozen dataclasses that all three doors build, and that refuse what they do not know."""

from __future__ import annotations

import difflib
import json
from dataclasses import MISSING, asdict, dataclass, fields
from hashlib import sha256
from typing import Any, Dict, Mapping, Optional, Tuple, Type, TypeVar

from .errors import JobError

JobType = TypeVar("JobType", bound="Job")


@dataclass(frozen=True)
class Job:
    """Base of all jobs: strict reading from and plain writing to JSON."""

    @classmethod
    def from_dict(cls: Type[JobType], record: Mapping[str, Any]) -> JobType:
        """Build a job from a mapping; lists become tuples.

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
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in record.items()}
        job = cls(**values)
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


def _in_range(name: str, value: Optional[float], low: float, high: float) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise JobError(f"{name} is {value!r}, which is not a number", f"give a number for {name}")
    if not low <= value <= high:
        raise JobError(f"{name} is {value}", f"choose a value between {low:g} and {high:g}")


@dataclass(frozen=True)
class SegmentJob(Job):
    """Segment one raster with one model.

    Attributes:
        raster: GDAL source of the raster (a path or a GDAL name such as ``/vsicurl/...``).
        model: Id of a model in the zoo, or the path of a model folder.
        output: GeoPackage to write, ``*.gpkg``.
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
        if self.extent is not None and len(self.extent) != 4:
            raise JobError(f"extent has {len(self.extent)} numbers", "give x_min,y_min,x_max,y_max")

    def identity(self) -> "SegmentJob":
        """Return the job without the fields that do not change the result (resume, overwrite)."""
        record = self.to_dict()
        record.update(resume=False, overwrite=False)
        return SegmentJob.from_dict(record)


JOBS: Dict[str, Type[Job]] = {"segment": SegmentJob}


def job_from_dict(name: str, record: Mapping[str, Any]) -> Job:
    """Build the job called ``name``.

    Raises:
        JobError: If there is no such job, or a field is wrong.
    """
    if name not in JOBS:
        raise JobError(f"unknown job {name!r}", f"known jobs: {', '.join(JOBS)}")
    return JOBS[name].from_dict(record)
