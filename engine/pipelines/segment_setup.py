"""Everything that is settled before the first tile: model, raster, grid, plan, outputs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..errors import DiskError, JobError, ModelError, RasterError
from ..geo.aoi import AoiMask
from ..geo.extent import extent_window, intersect
from ..geo.grid import Grid, crs_to_wkt
from ..geo.raster import RasterReader
from ..geo.resolution import check_dtype, plan_resolution
from ..geo.windows import Window
from ..jobs import SegmentJob
from ..predict.backend import Backend
from ..predict.plan import Panel, TilePlan, column_bytes, plan_tiles
from ..predict.second_look import card_look
from ..zoo.bands import choose_bands
from ..zoo.card import ModelCard
from ..zoo.registry import ModelEntry, file_sha256, find_model
from .segment_backend import job_backend, trial_tiles
from .segment_instances_checks import check_instance_job

INSTANCE = "instance"


@dataclass(frozen=True)
class Outputs:
    """Final paths of a run; None where an output is not wanted."""

    vector: Path
    class_raster: Path | None
    score_raster: Path | None

    def all(self) -> list[Path]:
        """Return the wanted outputs, the vector layer last."""
        return [p for p in (self.class_raster, self.score_raster, self.vector) if p is not None]


@dataclass(frozen=True)
class SegmentSetup:
    """A segment job made concrete.

    Attributes:
        job: The job.
        entry: The model folder.
        card: Its card.
        outputs: Absolute paths of the outputs.
        window: Part of the source raster that is read, in source pixels.
        shape_px: Size to which the window is resampled on reading, None for its own.
        grid: Grid of the results.
        bands: Raster band numbers, one per model band.
        aoi: Mask of the area of interest on ``grid``, None for all of it.
        plan: The plan of tiles.
        backend: Device, precision, batch size and runtime.
        raster_fingerprint: Identifies the raster's content.
        run_id: Identifies what the results depend on: equal inputs give an equal id.
        notes: What was chosen for the user.
        warnings: What the user should check.
    """

    job: SegmentJob
    entry: ModelEntry
    card: ModelCard
    outputs: Outputs
    window: Window
    shape_px: tuple[int, int] | None
    grid: Grid
    bands: tuple[int, ...]
    aoi: AoiMask | None
    plan: TilePlan
    backend: Backend
    raster_fingerprint: str
    run_id: str
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @contextmanager
    def open_panel(self, panel: Panel) -> Iterator[PanelRows]:
        """Open the raster for the columns that a panel reads."""
        columns = slice(panel.read_start, panel.read_stop)
        window, cut = self.window, columns
        if self.shape_px is None:
            width = panel.read_stop - panel.read_start
            window = window._replace(col_off=window.col_off + columns.start, width=width)
            cut = slice(None)
        with RasterReader(
            self.job.raster, bands=self.bands, window=window, shape_px=self.shape_px
        ) as reader:
            yield PanelRows(reader, cut, self.aoi, columns)

    def identity(self) -> dict[str, Any]:
        """Return what must be equal for a run to be continued."""
        return {
            "run_id": self.run_id,
            "job": self.job.identity().to_dict(),
            "engine": __version__,
            "raster_state": _file_state(self.job.raster),
            "device": self.backend.device,
            "precision": self.backend.precision,
            "backend": self.backend.runtime,
        }


@dataclass(frozen=True)
class PanelRows:
    """The rows of a panel, valid inside the area of interest only.

    A resampled raster is read in its full width and cut, any other one is read as a window.
    """

    reader: RasterReader
    cut: slice
    aoi: AoiMask | None
    columns: slice

    def read_rows(self, row0: int, row1: int) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Return pixels ``[C, h, w]`` and validity ``[h, w]``."""
        pixels, valid = self.reader.read_rows(row0, row1)
        pixels, valid = pixels[:, :, self.cut], valid[:, self.cut]
        if self.aoi is not None:
            valid = valid & self.aoi.rows(row0, row1)[:, self.columns]
        return pixels, valid


def prepare(job: SegmentJob) -> SegmentSetup:
    """Check a job against its model, raster and outputs.

    Raises:
        EngineError: With the value that is wrong and the way out.
    """
    job.check()
    outputs = _outputs(job)
    entry = find_model(job.model)
    card = _usable_card(entry)
    with RasterReader(job.raster) as reader:
        bands, note = choose_bands(reader.band_names, reader.count, card.bands, job.bands)
        warnings = check_dtype(reader.dtype, card.dtypes)
        source_grid = placed_grid(reader.source_grid, job.raster, job.crs)
        fingerprint, itemsize = reader.fingerprint(), np.dtype(reader.dtype).itemsize
    window = _window(job, source_grid)
    shape_px, resolution_note = plan_resolution(source_grid.window(window), card.resolution_m)
    warnings += [resolution_note] if resolution_note else []
    grid = source_grid.window(window)
    grid = grid.scaled(*shape_px) if shape_px else grid
    plan = _plan(job, card, grid, itemsize)
    warnings += check_instance_job(job, plan) if card.task == INSTANCE else []
    backend, backend_note = job_backend(
        job,
        entry,
        plan,
        outputs.vector,
        lambda: trial_tiles(job.raster, card, bands, window, shape_px, plan),
    )
    return SegmentSetup(
        job=job,
        entry=entry,
        card=card,
        outputs=outputs,
        window=window,
        shape_px=shape_px,
        grid=grid,
        bands=bands,
        aoi=AoiMask(job.aoi, job.aoi_layer, grid) if job.aoi else None,
        plan=plan,
        backend=backend,
        raster_fingerprint=fingerprint,
        run_id=_run_id(job, card, fingerprint, (bands, plan.tile_px, plan.overlap_px, backend)),
        notes=[text for text in (note, backend_note) if text],
        warnings=warnings,
    )


def _usable_card(entry: ModelEntry) -> ModelCard:
    card = entry.card
    if card is None or card.weights is None:
        raise ModelError(f"model {entry.id!r} has no weights", "train it first, or import weights")
    return card


def placed_grid(grid: Grid, raster: str, crs: str) -> Grid:
    """Return the grid of a raster with the CRS that a job gives, or its own.

    Raises:
        RasterError: If there is neither, or the given text is no CRS.
    """
    if crs:
        return replace(grid, crs_wkt=crs_to_wkt(crs))
    if not grid.crs_wkt:
        raise RasterError(
            f"raster {raster} has no coordinate reference system (CRS)",
            "assign one to the layer in QGIS, or give it with --crs EPSG:...",
        )
    return grid


def _window(job: SegmentJob, grid: Grid) -> Window:
    """Return the part of the raster that extent and area of interest leave."""
    window = Window(0, 0, grid.height, grid.width)
    if job.extent is not None:
        window = extent_window(grid, job.extent, job.extent_crs)
    if job.aoi:
        common = intersect(window, AoiMask(job.aoi, job.aoi_layer, grid).window)
        if common is None:
            raise RasterError(
                f"the polygons of {job.aoi} do not touch the raster or its chosen extent",
                "check the CRS of both layers, or choose other polygons",
            )
        window = common
    return window


def _plan(job: SegmentJob, card: ModelCard, grid: Grid, itemsize: int) -> TilePlan:
    tile_px = job.tile_px or card.tile_px
    overlap_px = card.overlap_px if job.overlap_px < 0 else job.overlap_px
    if overlap_px >= tile_px:
        raise JobError(
            f"overlap {overlap_px} px is not smaller than the tile of {tile_px} px",
            "choose a smaller overlap",
        )
    layers = 0 if card.task == INSTANCE else max(2, len(card.classes)) + 1
    look = card_look(card)
    return plan_tiles(
        (grid.height, grid.width),
        tile_px=tile_px,
        overlap_px=overlap_px,
        stride=card.stride,
        # Rows of up to two tiles wait for a second look.
        column_bytes=column_bytes(layers, len(card.bands), itemsize) * (3 if look else 1),
        memory_mib=job.max_memory_mib,
        halo_px=look.patch_px - 1 if look else 0,
    )


def _outputs(job: SegmentJob) -> Outputs:
    """Return the outputs as absolute paths after checking that they can be written."""
    paths = [
        Path(p).expanduser().absolute() if p else None
        for p in (job.output, job.class_raster, job.score_raster)
    ]
    wanted = [p for p in paths if p is not None]
    if len(set(wanted)) != len(wanted):
        raise JobError("two outputs have the same path", "give each output its own name")
    for path in wanted:
        _check_writable(path, overwrite=job.overwrite or job.resume)
    return Outputs(wanted[0], paths[1], paths[2])


def _check_writable(path: Path, *, overwrite: bool) -> None:
    if path.is_dir():
        raise DiskError(f"output {path} is a folder", "choose a file name")
    if path.exists() and not overwrite:
        raise DiskError(
            f"output {path} exists already", "allow overwriting, or choose another name"
        )
    if not path.parent.is_dir():
        raise DiskError(f"folder {path.parent} does not exist", "create it, or choose another one")
    if not os.access(path.parent, os.W_OK):
        raise DiskError(
            f"cannot write into folder {path.parent}", "choose a folder that you may write to"
        )


def _file_state(source: str) -> list[int]:
    """Return size and time of change of a local raster, so that an edited one is noticed."""
    try:
        found = Path(source).stat()
    except (OSError, ValueError):
        return []
    return [found.st_size, found.st_mtime_ns]


def _run_id(
    job: SegmentJob, card: ModelCard, fingerprint: str, settings: tuple[object, ...]
) -> str:
    """Return a short hash of all that the results depend on, and of nothing else."""
    weights = card.weights.sha256 if card.weights else ""
    aoi = file_sha256(Path(job.aoi)) if job.aoi and Path(job.aoi).is_file() else job.aoi
    values = (
        fingerprint,
        card.id,
        weights,
        aoi,
        job.aoi_layer,
        job.crs,
        job.extent,
        job.extent_crs,
        (job.score, job.min_area_m2, job.simplify_m, job.square, job.tta),
        settings,
        __version__,
    )
    return sha256(repr(values).encode("utf-8")).hexdigest()[:12]
