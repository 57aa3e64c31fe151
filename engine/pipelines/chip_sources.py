"""Where chips come from: labelled rasters, or a data set."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, Protocol

from ..data.chip_folder import IGNORE_INDEX, Chip
from ..data.chip_writer import CutChip
from ..data.leak import PlacedChip, leak_check
from ..data.scene_plan import plan_scenes
from ..data.scenes import (
    GSD_SLACK_RATIO,
    RasterFacts,
    SceneCutter,
    digest_of,
    open_scenes,
    read_facts,
)
from ..geo.windows import Window
from ..jobs import ChipsJob
from ..protocol import IsCancelled, Log, Report
from ..zoo.card import ClassInfo
from .dataset_chips import DatasetSource


class ChipSource(Protocol):
    """A plan of chips, and how to cut each of them.

    Attributes:
        task: ``semantic`` or ``both``.
        classes: Classes in the order of their ids.
        band_names: Name of each band, may be empty.
        dtype: Data type of the pixels.
        tile_px: Largest side of a chip.
        gsd_m: Pixel size in metres, 0 if unknown.
        plan: Chips in their final order, without counts.
        licenses: What is known of the licences of the data.
    """

    task: str
    classes: Sequence[ClassInfo]
    band_names: Sequence[str]
    dtype: str
    tile_px: int
    gsd_m: float
    plan: Sequence[Chip]
    licenses: dict[str, str]

    def cut(self, chip: Chip) -> CutChip:
        """Return a chip of the plan with its pixels, mask and objects."""
        ...

    def fingerprints(self) -> list[str]:
        """Return texts that change when rasters or labels do."""
        ...

    def sources(self) -> list[dict[str, Any]]:
        """Return a description of each raster or image."""
        ...

    def split_record(self) -> dict[str, Any]:
        """Return how the ground was shared out; ``shares`` are those of train, val, test."""
        ...

    def leak_check(self, chips: Sequence[Chip]) -> dict[str, Any]:
        """Return ``shared_pixels`` and ``smallest_distance_m`` of the chips that were written."""
        ...

    def close(self) -> None:
        """Close all files."""
        ...


def open_chip_source(job: ChipsJob, report: Report, cancelled: IsCancelled) -> ChipSource:
    """Return the source of the chips of a job.

    Raises:
        EngineError: If rasters, labels or the data set cannot be used.
        JobCancelled: If ``cancelled`` returned True.
    """
    if job.dataset:
        return DatasetSource(job, report, cancelled)
    return SceneSource(job, report)


class SceneSource:
    """Chips of labelled rasters.

    Args:
        job: The job.
        report: Called with warnings.

    Raises:
        EngineError: If a raster or a layer cannot be used.
    """

    task = "both"

    def __init__(self, job: ChipsJob, report: Report) -> None:
        facts = read_facts(job)
        self._scenes, class_list = open_scenes(job, facts)
        first = self._scenes[0].facts
        self._job = job
        self.classes: Sequence[ClassInfo] = class_list.classes
        self.band_names: Sequence[str] = first.band_names
        self.dtype = first.dtype
        self.gsd_m = _gsd_m(job, [scene.facts for scene in self._scenes])
        self._cutter = SceneCutter(self._scenes, class_list.background)
        plan = plan_scenes(self._scenes, job, self._cutter.valid_share)
        self.plan: Sequence[Chip] = plan.chips
        self.tile_px, self._block_m = plan.tile_px, plan.block_m
        self.licenses: dict[str, str] = {}
        for message in _warnings(job, self._scenes, plan.dropped):
            report(Log(message, "warning"))

    def cut(self, chip: Chip) -> CutChip:
        """Return a chip with its pixels, mask and objects."""
        return self._cutter.cut(chip)

    def fingerprints(self) -> list[str]:
        """Return the fingerprints of the rasters and a hash of all polygons."""
        return [*(scene.facts.fingerprint for scene in self._scenes), digest_of(self._scenes)]

    def sources(self) -> list[dict[str, Any]]:
        """Return a description of each raster."""
        return [
            {
                "raster": scene.facts.source,
                "labels": self._job.labels,
                "crs": scene.grid.crs_wkt,
                "gsd_m": scene.facts.source_gsd_m,
                "bands": list(scene.facts.bands),
                "fingerprint": scene.facts.fingerprint,
                "polygons": len(scene.labels),
            }
            for scene in self._scenes
        ]

    def split_record(self) -> dict[str, Any]:
        """Return how the ground was shared out."""
        job = self._job
        return {
            "by": job.split_by,
            "block_m": round(self._block_m, 6),
            "buffer_m": job.buffer_m,
            "seed": job.seed,
            "shares": list(job.split),
        }

    def leak_check(self, chips: Sequence[Chip]) -> dict[str, Any]:
        """Return how many pixels parts share and how far apart they are."""
        placed = [
            PlacedChip(c.source, Window(c.row_off, c.col_off, c.height_px, c.width_px), c.split)
            for c in chips
        ]
        return leak_check([scene.grid for scene in self._scenes], placed)

    def close(self) -> None:
        """Close the raster that is open."""
        self._cutter.close()


def _gsd_m(job: ChipsJob, facts: Sequence[RasterFacts]) -> float:
    if job.gsd_m:
        return job.gsd_m
    known = [item.source_gsd_m for item in facts if item.source_gsd_m > 0]
    return round(statistics.median(known), 6) if known else 0.0


def _warnings(job: ChipsJob, scenes: Sequence[Any], dropped: int) -> list[str]:
    found = []
    ignored = sum(int((scene.labels.class_ids == IGNORE_INDEX).sum()) for scene in scenes)
    if ignored:
        found.append(
            f"{ignored} polygons have no class of this training (a missing value of "
            f"{job.class_field!r}, or a class that was not chosen): their ground is left out"
        )
    sizes = [scene.facts.source_gsd_m for scene in scenes if scene.facts.source_gsd_m > 0]
    if not job.gsd_m and sizes and max(sizes) > GSD_SLACK_RATIO * min(sizes):
        found.append(
            f"the rasters have pixels of {min(sizes):.3g} to {max(sizes):.3g} m: set one pixel "
            "size for all chips"
        )
    empty = [scene.name for scene in scenes if not len(scene.labels)]
    if empty and not job.aoi:
        found.append(f"no polygon lies on {', '.join(empty[:5])}: all of it counts as background")
    if any(not scene.grid.crs_wkt for scene in scenes):
        found.append("a raster has no CRS: the labels are taken to be in its coordinates")
    if dropped:
        found.append(
            f"{dropped} chips were left out: another raster shows their ground in "
            "another part of the split"
        )
    return found
