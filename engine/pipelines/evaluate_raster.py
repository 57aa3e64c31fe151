"""A model on a raster with labels: segment it, then compare pixels or polygons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import JobCancelled
from ..evaluate.confusion import IGNORED_LABEL, ConfusionMatrix
from ..geo.aoi import AoiMask
from ..geo.raster import RasterReader
from ..jobs import EvaluateJob, SegmentJob
from ..protocol import IsCancelled, Progress, Report
from ..zoo.card import NODATA_CLASS_ID
from .evaluate_labels import LabelRows, Labels, read_truth
from .evaluate_model import MeasuredModel
from .evaluate_objects import compare_objects
from .evaluate_outlines import boundary_counts, semantic_figures
from .segment_setup import placed_grid

STRIP_ROWS = 512
Record = dict[str, Any]


def raster_record(
    job: EvaluateJob, model: MeasuredModel, work: Path, report: Report, cancelled: IsCancelled
) -> tuple[dict[str, int], Record]:
    """Segment the raster of a job into the work folder and compare it with the labels.

    Returns:
        What was counted, and the figures.

    Raises:
        LabelError: If labels and raster share no ground, or classes do not fit.
        EngineError: As the segmentation raises them.
    """
    with RasterReader(job.raster) as reader:
        grid = placed_grid(reader.source_grid, job.raster, job.crs)
    labels = read_truth(job, model.card, grid)
    instance = model.card.task == "instance"
    segmented = _segment(job, model, work, report, cancelled)
    if instance:
        return compare_objects(job, model, labels, grid, segmented)
    return _compare_pixels(job, model, labels, segmented, report, cancelled)


def _segment(
    job: EvaluateJob, model: MeasuredModel, work: Path, report: Report, cancelled: IsCancelled
) -> Path:
    """Segment the raster into the work folder; returns the layer."""
    from .segment import run_segment

    instance = model.card.task == "instance"
    segment = SegmentJob(
        raster=job.raster,
        model=job.model,
        output=str(work / "found.gpkg"),
        class_raster="" if instance else str(work / "classes.tif"),
        score_raster="" if instance else str(work / "scores.tif"),
        crs=job.crs,
        aoi=job.aoi,
        aoi_layer=job.aoi_layer,
        bands=job.bands,
        batch=job.batch,
        device=job.device,
        score=model.threshold(job) if instance else job.score,
        overwrite=True,
    )
    run_segment(segment, report, cancelled)
    return work / "found.gpkg"


def _compare_pixels(
    job: EvaluateJob,
    model: MeasuredModel,
    labels: Labels,
    segmented: Path,
    report: Report,
    cancelled: IsCancelled,
) -> tuple[dict[str, int], Record]:
    """Compare the class raster with the burnt labels, strip by strip."""
    card, folder = model.card, segmented.parent
    names = [c.name for c in card.classes]
    matrix = ConfusionMatrix(len(names))
    background = next((c.id for c in card.classes if c.background), NODATA_CLASS_ID)
    with (
        RasterReader(str(folder / "classes.tif")) as classes,
        RasterReader(str(folder / "scores.tif")) as scores,
    ):
        grid = classes.grid
        boundary = boundary_counts(job, len(names), grid.pixel_size_m)
        truth_rows = LabelRows(labels, grid, background)
        area = AoiMask(job.aoi, job.aoi_layer, grid) if job.aoi else None
        for row in range(0, grid.height, STRIP_ROWS):
            if cancelled():
                raise JobCancelled
            report(Progress("compare", row, grid.height, "rows"))
            stop = min(row + STRIP_ROWS, grid.height)
            top, end = (
                max(0, row - boundary.counts.halo_px),
                min(grid.height, stop + boundary.counts.halo_px),
            )
            truth = truth_rows.rows(top, end)
            truth[scores.read_rows(top, end)[0][0] == NODATA_CLASS_ID] = IGNORED_LABEL
            if area is not None:
                truth[~area.rows(top, end)] = IGNORED_LABEL
            found = classes.read_rows(top, end)[0][0]
            own = slice(row - top, stop - top)
            matrix.add(truth[own], found[own])
            boundary.counts.add(truth, found, own)
        report(Progress("compare", grid.height, grid.height, "rows"))
    record = semantic_figures(matrix, boundary, names)
    return {"pixels": record.pop("pixels"), "polygons": len(labels.polygons)}, record
