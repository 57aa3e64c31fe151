"""From finished strips to files: class raster, score raster, polygons, manifest."""

from __future__ import annotations

import glob
import platform
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..errors import DiskError, JobCancelled
from ..geo.raster import RasterWriter
from ..geo.style import class_layer_qml
from ..geo.vector import LayerSpec, write_features, write_run, write_style
from ..merge.blend import NODATA_LABEL, SCORE_SCALE
from ..predict.bands import Prefetcher
from ..predict.handover import Handover
from ..predict.memory import LARGE_BYTES, give_back_memory
from ..predict.runtimes.table import RUNTIMES, runtime_version
from ..protocol import IsCancelled, Progress, Report
from ..vectorize.stream import FeatureBatch, Strip, VectorOptions, vectorize
from .run_folder import RunFolder
from .segment_setup import SegmentSetup

LAYER_NAME = "classes"
SIDE_FILES = ("-wal", "-shm", "-journal", ".aux.xml", ".ovr", ".msk")


@dataclass
class ClassCounts:
    """Polygons and their area by class id."""

    count: dict[int, int] = field(default_factory=dict)
    area_m2: dict[int, float] = field(default_factory=dict)

    def add(self, batch: FeatureBatch) -> None:
        """Add the polygons of a batch."""
        for class_id in np.unique(batch.class_id).tolist():
            chosen = batch.class_id == class_id
            self.count[class_id] = self.count.get(class_id, 0) + int(chosen.sum())
            area_m2 = float(batch.area_m2[chosen].sum())
            self.area_m2[class_id] = self.area_m2.get(class_id, 0.0) + area_m2

    @property
    def total(self) -> int:
        """Number of polygons of all classes."""
        return sum(self.count.values())


class StripReader:
    """Reads the strips of a run from the top, all panels side by side, as they are finished.

    Args:
        setup: The run.
        folder: Its folder.
        report: Called with the rows that are done.
        cancelled: Asked before each strip.
        rasters: Gets each strip of the first pass, too.
    """

    def __init__(
        self,
        setup: SegmentSetup,
        folder: RunFolder,
        report: Report,
        cancelled: IsCancelled,
        rasters: Handover[Strip] | None = None,
    ) -> None:
        self._setup = setup
        self._folder = folder
        self._report = report
        self._cancelled = cancelled
        self._rasters = rasters

    def strips(self, stage: str) -> Iterator[Strip]:
        """Yield full-width strips and report the rows that are done."""
        plan, rasters, self._rasters = self._setup.plan, self._rasters, None
        self._report(Progress(stage, 0, plan.height, "rows"))
        for index in range(len(plan.row_starts)):
            if self._cancelled():
                raise JobCancelled
            if rasters is not None:
                rasters.wait()
            strip = self._strip(index)
            if rasters is not None and not rasters.give(strip):
                raise JobCancelled
            yield strip
            large = strip.labels.nbytes >= LARGE_BYTES
            del strip
            if large:
                give_back_memory()
            self._report(Progress(stage, plan.strip_rows(index)[1], plan.height, "rows"))
        if rasters is not None:
            rasters.end()

    def _strip(self, index: int) -> Strip:
        """Return one strip of the raster's full width."""
        plan = self._setup.plan
        start, stop = plan.strip_rows(index)
        for panel in plan.panels:
            self._folder.wait_for(panel.index, index)
        if len(plan.panels) == 1:
            part = self._folder.load(0, index)
            return Strip(start, part.labels, part.scores)
        labels, scores = (np.empty((stop - start, plan.width), np.uint8) for _ in range(2))
        for panel in plan.panels:
            part = self._folder.load(panel.index, index)
            labels[:, panel.col_start : panel.col_stop] = part.labels
            scores[:, panel.col_start : panel.col_stop] = part.scores
        return Strip(start, labels, scores)


def open_rasters(setup: SegmentSetup, partials: dict[Path, Path]) -> dict[str, RasterWriter]:
    """Return writers of the wanted rasters, by what they write of a strip.

    Raises:
        DiskError: If a raster cannot be written.
    """
    outputs, writers = setup.outputs, {}
    if outputs.class_raster is not None:
        writers["labels"] = _class_writer(setup, partials[outputs.class_raster])
    if outputs.score_raster is not None:
        writers["scores"] = _score_writer(setup, partials[outputs.score_raster])
    return writers


def fill_rasters(writers: dict[str, RasterWriter], strips: Generator[Strip, None, None]) -> None:
    """Write strips into rasters and close them.

    Raises:
        DiskError: If a raster cannot be written.
        JobCancelled: If the strips were stopped.
    """
    with ExitStack() as stack:
        stack.enter_context(closing(strips))
        for writer in writers.values():
            stack.enter_context(writer)
        for strip in strips:
            for name, writer in writers.items():
                writer.write_rows(getattr(strip, name))


def _tags(setup: SegmentSetup) -> dict[str, str]:
    return {"RS_SEGMENT_MODEL": setup.card.id, "RS_SEGMENT_RUN": setup.run_id}


def _class_writer(setup: SegmentSetup, path: Path) -> RasterWriter:
    classes = setup.card.classes
    return RasterWriter(
        path,
        setup.grid,
        nodata=NODATA_LABEL,
        colors={c.id: c.color for c in classes},
        names={c.id: c.name for c in classes},
        description="class",
        tags=_tags(setup),
        overviews="mode",
    )


def _score_writer(setup: SegmentSetup, path: Path) -> RasterWriter:
    return RasterWriter(
        path,
        setup.grid,
        nodata=NODATA_LABEL,
        description="score",
        tags=_tags(setup),
        scale=1 / SCORE_SCALE,
        overviews="average",
    )


def write_vector(setup: SegmentSetup, reader: StripReader, path: Path) -> ClassCounts:
    """Write the polygons with their style into a new GeoPackage.

    Raises:
        DiskError: If the file cannot be written.
    """
    card, job = setup.card, setup.job
    counts = ClassCounts()

    def batches() -> Iterator[FeatureBatch]:
        options = VectorOptions(job.min_area_m2, job.simplify_m, job.square)
        wanted = [c.id for c in card.classes if not c.background]
        found = vectorize(lambda: reader.strips("vectorize"), setup.grid, wanted, options)
        for batch in found:
            counts.add(batch)
            yield batch

    spec = LayerSpec(
        name=LAYER_NAME,
        crs_wkt=setup.grid.crs_wkt,
        class_names={c.id: c.name for c in card.classes},
        model_id=card.id,
        run_id=setup.run_id,
    )
    with Prefetcher(batches()) as ready:
        write_features(path, ready, spec)
    visible = [c for c in card.classes if not c.background]
    write_style(path, LAYER_NAME, class_layer_qml(visible), name=card.title)
    return counts


def manifest(
    setup: SegmentSetup, counts: ClassCounts, tiles: tuple[int, int], times: tuple[float, float]
) -> dict[str, Any]:
    """Return the run manifest: what went in, what came out, and how to do it again.

    Args:
        setup: The run.
        counts: Polygons by class.
        tiles: Tiles run and tiles skipped.
        times: Start (seconds since 1970, UTC) and duration in seconds.
    """
    card, grid, plan = setup.card, setup.grid, setup.plan
    started = datetime.fromtimestamp(times[0], tz=timezone.utc)
    return {
        "run_id": setup.run_id,
        "job_name": "segment",
        "job": setup.job.identity().to_dict(),
        "engine_version": __version__,
        "model_id": card.id,
        "model_sha256": card.weights.sha256 if card.weights else "",
        "raster_fingerprint": setup.raster_fingerprint,
        "bands": list(setup.bands),
        "grid": {
            "height": grid.height,
            "width": grid.width,
            "transform": list(grid.transform)[:6],
            "gsd_m": grid.gsd_m,
            "resampled": setup.shape_px is not None,
        },
        "tiles": {
            "tile_px": list(plan.tile_px),
            "overlap_px": plan.overlap_px,
            "run": tiles[0],
            "skipped": tiles[1],
        },
        "device": setup.backend.device,
        "precision": setup.backend.precision,
        "backend": setup.backend.runtime,
        "versions": {
            setup.backend.runtime: runtime_version(RUNTIMES[setup.backend.runtime]),
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
        "classes": class_table(setup, counts),
        "features": counts.total,
        "warnings": setup.warnings,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(times[1], 3),
    }


def class_table(setup: SegmentSetup, counts: ClassCounts) -> dict[str, dict[str, float]]:
    """Return polygons and area in m² by class name, for the classes that become polygons."""
    return {
        c.name: {
            "count": counts.count.get(c.id, 0),
            "area_m2": round(counts.area_m2.get(c.id, 0.0), 3),
        }
        for c in setup.card.classes
        if not c.background
    }


def add_manifest(path: Path, record: dict[str, Any]) -> None:
    """Write the manifest into the finished GeoPackage."""
    write_run(path, record)


def publish(partials: dict[Path, Path]) -> None:
    """Give finished files their final names, replacing what stands there.

    Side files of the old target are removed: SQLite would apply the write-ahead log of the
    old GeoPackage to the new one. Side files that were written with the new one move along.

    Raises:
        DiskError: If a file cannot be replaced.
    """
    for target, partial in partials.items():
        try:
            for suffix in SIDE_FILES:
                target.with_name(target.name + suffix).unlink(missing_ok=True)
            for written in partial.parent.glob(f"{glob.escape(partial.name)}*"):
                suffix = written.name[len(partial.name) :]
                written.replace(target.with_name(target.name + suffix))
        except OSError as error:
            raise DiskError(
                f"cannot replace {target}: {error.strerror or error}",
                "remove the layer from QGIS or close the program that uses it, then run again "
                "with resume",
            ) from None
