"""Measure a model on chips, on a published data set, or on a raster with labels."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from ..geo.disk import disk_errors
from ..jobs import ChipsJob, EvaluateJob
from ..protocol import IsCancelled, Report, Result
from .evaluate_chips import instance_record, prepare_chips, semantic_record
from .evaluate_model import MeasuredModel, load_model
from .evaluate_raster import raster_record
from .metrics_file import check_output, result_details, write_metrics


def run_evaluate(job: EvaluateJob, report: Report, cancelled: IsCancelled) -> Result:
    """Measure a model and write ``metrics.json``.

    Args:
        job: What to do.
        report: Called with progress and log events.
        cancelled: Asked before each chip, batch and strip.

    Returns:
        The result: ``outputs`` (``metrics``, ``figure_*``), ``counts`` and the figures of
        ``docs/evaluate.md`` as ``details``.

    Raises:
        EngineError: If something is wrong that the user can mend.
        JobCancelled: If ``cancelled`` returned True.
    """
    start = time.monotonic()
    output = check_output(job.output, overwrite=job.overwrite)
    model = load_model(job)
    folder = Path(job.output).expanduser().absolute()
    work = folder.with_name(f".{folder.name}.run")
    try:
        shutil.rmtree(work, ignore_errors=True)  # of a run that was killed
        with disk_errors(work):
            work.mkdir(exist_ok=True)
        counts, figures = _measure(job, model, work, report, cancelled)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    record = {
        "kind": model.card.task,
        "data": job.chips or job.raster or f"{job.dataset}: {job.root}",
        "split": "all" if job.raster else job.split,
        "count": counts,
        "model": model.card.id,
        "model_sha256": model.card.weights.sha256 if model.card.weights else "",
        "device": model.backend.device,
        "precision": model.backend.precision,
        **figures,
        "seconds": round(time.monotonic() - start, 3),
    }
    outputs = write_metrics(output, job.figures, record)
    return Result(outputs, counts, record["seconds"], result_details(record))


def _measure(
    job: EvaluateJob, model: MeasuredModel, work: Path, report: Report, cancelled: IsCancelled
) -> tuple[dict[str, int], dict[str, Any]]:
    """Return what was counted and the figures."""
    if job.raster:
        return raster_record(job, model, work, report, cancelled)
    chips = job.chips or _cut(job, work / "chips", report, cancelled)
    run = prepare_chips(job, model, chips, report, cancelled)
    record = instance_record(run) if model.card.task == "instance" else semantic_record(run)
    counts = {"chips": len(run.chips)}
    if model.card.task == "instance":
        counts["objects"] = sum(chip.instances for chip in run.chips)
        counts["detections"] = record.pop("detections")
    else:
        counts["pixels"] = record.pop("pixels")
    return counts, record


def _cut(job: EvaluateJob, output: Path, report: Report, cancelled: IsCancelled) -> str:
    """Cut a data set into chips; returns the folder."""
    from .chips import run_chips

    cut = ChipsJob(output=str(output), dataset=job.dataset, root=job.root)
    run_chips(cut, report, cancelled)
    return str(output)
