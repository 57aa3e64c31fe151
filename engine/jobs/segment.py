"""Jobs that run a model on a raster."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Optional, Tuple

from ..errors import JobError
from .base import Job, check_choice, check_ending, check_extent, check_given, check_range

PRECISIONS = ("auto", "fp32", "bf16")
TILE_PRECISIONS = ("auto", "fp32", "mixed", "bf16")
BACKENDS = ("auto", "torch", "openvino", "onnxruntime")


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
        precision: ``auto`` (the fastest that gives at least 99.9 % of the labels of fp32),
            ``fp32``, ``mixed`` (bf16 for the costliest layers) or ``bf16``.
        backend: What runs a semantic network: ``auto`` (the fastest that is installed),
            ``torch``, ``openvino`` or ``onnxruntime``.
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
    backend: str = "auto"
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
        check_given(self, "raster", "model", "output")
        check_ending("output", self.output, (".gpkg",), "GeoPackage")
        for name in ("class_raster", "score_raster"):
            check_ending(name, getattr(self, name), (".tif", ".tiff"), "GeoTIFF")
        self._check_numbers()

    def _check_numbers(self) -> None:
        check_range("tile_px", self.tile_px, 0, 8192)
        check_range("overlap_px", self.overlap_px, -1, 8191)
        check_range("batch", self.batch, 0, 1024)
        check_range("score", self.score, -1.0, 1.0)
        check_range("min_area_m2", self.min_area_m2, 0.0, 1e12)
        check_range("simplify_m", self.simplify_m, 0.0, 1e6)
        check_range("max_memory_mib", self.max_memory_mib, 0, 1 << 24)
        if self.tile_px and self.overlap_px >= self.tile_px:
            raise JobError(
                f"overlap_px {self.overlap_px} is not smaller than tile_px {self.tile_px}",
                "choose a smaller overlap",
            )
        if any(band < 1 for band in self.bands):
            raise JobError(f"bands {list(self.bands)} has a number below 1", "bands count from 1")
        check_choice("precision", self.precision, TILE_PRECISIONS)
        check_choice("backend", self.backend, BACKENDS)
        if self.extent is not None:
            check_extent(self.extent)

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
