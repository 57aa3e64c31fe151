"""Segment a raster: tiles through a network, strips to rasters and polygons, all or nothing."""

from __future__ import annotations

import glob
import time
from dataclasses import replace
from pathlib import Path

from torch import nn

from ..errors import EngineError, JobCancelled
from ..geo.disk import disk_errors
from ..geo.vector import read_runs
from ..jobs import SegmentJob
from ..merge.scores import LabelRule
from ..predict.handover import Handover
from ..predict.lane import Lane
from ..predict.memory import LARGE_BYTES, give_back_memory
from ..predict.second_look import first_look, look_twice, start_row
from ..predict.semantic import SemanticPredictor, model_key, warm_network
from ..predict.strips import TileCounts, TileLoop
from ..protocol import IsCancelled, Log, Progress, Report, Result
from ..vectorize.stream import Strip
from .run_folder import RunFolder, run_folder_for
from .segment_instances import predict_instances, write_instances
from .segment_output import (
    ClassCounts,
    StripReader,
    add_manifest,
    class_table,
    fill_rasters,
    manifest,
    open_rasters,
    publish,
    write_vector,
)
from .segment_run import SegmentRun
from .segment_setup import INSTANCE, SegmentSetup, prepare


def run_segment(job: SegmentJob, report: Report, cancelled: IsCancelled) -> Result:
    """Segment one raster with one model, semantic or instance.

    Outputs get their final names only when all of them are whole. An interrupted run leaves
    its folder beside the output, from which the same job with ``resume`` goes on.

    Args:
        job: What to do.
        report: Called with progress and log events.
        cancelled: Asked before each batch and each strip.

    Returns:
        The result: ``outputs`` (``output``, ``class_raster``, ``score_raster``), ``counts``
        (``features``, ``tiles``, ``tiles_skipped``) and ``details``.

    Raises:
        EngineError: If something is wrong that the user can mend.
        JobCancelled: If ``cancelled`` returned True.
    """
    started, clock = time.time(), time.monotonic()
    setup = prepare(job)
    for note in setup.notes:
        report(Log(note))
    for warning in setup.warnings:
        report(Log(warning, "warning"))
    if job.resume and (done := _finished_before(setup)):
        report(Log(f"{setup.outputs.vector} holds this run already, nothing to do"))
        return done
    with RunFolder(
        run_folder_for(setup.outputs.vector), setup.identity(), resume=job.resume
    ) as folder:
        run = SegmentRun(setup, folder, report, cancelled)
        tiles, counts = _run(run, started, clock)
        folder.remove()
    return _result(setup, counts, tiles, time.monotonic() - clock)


def _run(run: SegmentRun, started: float, clock: float) -> tuple[TileCounts, ClassCounts]:
    """Write all outputs under partial names, then give them their final ones."""
    setup = run.setup
    partials = {path: _partial(path) for path in setup.outputs.all()}
    try:
        tiles, counts = _predict_and_write(run, partials)
        record = manifest(
            setup, counts, (tiles.done, tiles.skipped), (started, time.monotonic() - clock)
        )
        add_manifest(partials[setup.outputs.vector], record)
        publish(partials)
    finally:
        for partial in partials.values():
            _remove_partial(partial)
    return tiles, counts


def _predict_and_write(
    run: SegmentRun, partials: dict[Path, Path]
) -> tuple[TileCounts, ClassCounts]:
    """Compute what is not finished yet and write it, under partial names."""
    if _is_instance(run.setup):
        tiles = predict_instances(run)
        return tiles, write_instances(run, partials[run.setup.outputs.vector])
    run.folder.drop_damaged()
    if writes_beside(run.setup):
        return _predict_beside(run, partials)
    tiles = _predict(run)
    run.predicted.set()
    return tiles, _write_results(run, partials)


def writes_beside(setup: SegmentSetup) -> bool:
    """Return whether strips become rasters and polygons while the network is at later tiles.

    With several panels, a strip is whole only when the last panel comes to it.
    """
    return len(setup.plan.panels) == 1


def _predict_beside(run: SegmentRun, partials: dict[Path, Path]) -> tuple[TileCounts, ClassCounts]:
    """Predict here and write in another thread; an error of one ends the other, too."""
    with Lane("rs-segment-write") as lane:
        writing = lane.send(_write_results, run.beside(), partials)
        try:
            ended = replace(run, cancelled=lambda: writing.done() or run.cancelled())
            tiles = _predict(ended)
            rows = run.setup.plan.height
            run.report(Progress("vectorize", 0, rows, "rows"))
            run.predicted.set()
            counts = writing.result()
            run.report(Progress("vectorize", rows, rows, "rows"))
            return tiles, counts
        except BaseException:
            failed = writing.exception() if writing.done() else None  # before it is ended, too
            run.folder.end()
            if failed is not None:
                raise failed from None
            raise


def _predict(run: SegmentRun) -> TileCounts:
    """Compute the strips that are not finished yet."""
    setup, folder, plan = run.setup, run.folder, run.setup.plan
    counts = TileCounts()
    first_rows = [folder.first_missing(p.index, len(plan.row_starts)) for p in plan.panels]
    total = sum(
        (len(plan.row_starts) - start_row(setup.card, plan, first)) * len(panel.tile_starts)
        for panel, first in zip(plan.panels, first_rows, strict=True)
        if first < len(plan.row_starts)
    )
    if total == 0:
        return counts
    if any(first_rows):
        run.report(Log(f"continuing an interrupted run, {total} of {plan.tiles} tiles to go"))
    run.report(Progress("predict", 0, total, "tiles"))
    loop = _tile_loop(run, warm_network(setup.entry, setup.backend), total)
    for panel, first in zip(plan.panels, first_rows, strict=True):
        if first < len(plan.row_starts):
            with setup.open_panel(panel) as source, Lane("rs-segment-save") as lane:
                for strip in loop.run_panel(source, panel, first, counts):
                    lane.send(folder.save, strip)
                    if strip.labels.nbytes >= LARGE_BYTES:
                        lane.send(give_back_memory)
            give_back_memory()
    return counts


def _tile_loop(run: SegmentRun, network: nn.Module, total: int) -> TileLoop:
    card, job, backend = run.setup.card, run.setup.job, run.setup.backend
    key = model_key(card)
    predictor = SemanticPredictor(first_look(network), backend, key=key, tta=job.tta)
    background = tuple(c.id for c in card.classes if c.background)
    threshold = card.score_threshold if job.score < 0 else job.score
    loop = TileLoop(
        plan=run.setup.plan,
        bands=card.bands,
        classes=max(2, len(card.classes)),
        rule=LabelRule(background, threshold),
        predict=predictor,
        logits=predictor.gives_logits,
        batch=backend.batch,
        cancelled=run.cancelled,
        on_tiles=run.tile_reporter(total),
    )
    return look_twice(loop, network, backend, key=key, tta=job.tta)


def _write_results(run: SegmentRun, partials: dict[Path, Path]) -> ClassCounts:
    """Write rasters and polygons under their partial names."""
    setup = run.setup
    vector = partials[setup.outputs.vector]
    if not partials.keys() - {setup.outputs.vector}:
        reader = StripReader(setup, run.folder, run.report, run.cancelled)
        return write_vector(setup, reader, vector)
    strips: Handover[Strip] = Handover()
    reader = StripReader(setup, run.folder, run.report, run.cancelled, strips)
    with Lane("rs-segment-raster") as lane:
        writers = lane.send(open_rasters, setup, partials).result()
        filling = lane.send(fill_rasters, writers, strips.items())
        try:
            counts = write_vector(setup, reader, vector)
        except JobCancelled:
            strips.end(stopped=True)
            filling.result()  # an error of the rasters stops the strips, too
            raise
        except BaseException:
            strips.end(stopped=True)
            raise
        strips.end()
    return counts


def _is_instance(setup: SegmentSetup) -> bool:
    return setup.card.task == INSTANCE


def _partial(path: Path) -> Path:
    """Return the name under which an output is written until it is whole."""
    return path.with_name(f".{path.stem}.partial{path.suffix}")


def _remove_partial(partial: Path) -> None:
    with disk_errors(partial):
        for path in partial.parent.glob(f"{glob.escape(partial.name)}*"):
            path.unlink(missing_ok=True)


def _finished_before(setup: SegmentSetup) -> Result | None:
    """Return the result of this very run if the outputs hold it already."""
    if run_folder_for(setup.outputs.vector).exists():
        return None
    if not all(path.is_file() for path in setup.outputs.all()):
        return None
    try:
        records = [r for r in read_runs(setup.outputs.vector) if r.get("run_id") == setup.run_id]
    except EngineError:
        return None
    if not records:
        return None
    record = records[-1]
    counts = {
        "features": int(record["features"]),
        "tiles": int(record["tiles"]["run"]),
        "tiles_skipped": int(record["tiles"]["skipped"]),
    }
    return Result(_paths(setup), counts, 0.0, {"run_id": setup.run_id, "finished_before": True})


def _paths(setup: SegmentSetup) -> dict[str, str]:
    outputs = setup.outputs
    named = {
        "output": outputs.vector,
        "class_raster": outputs.class_raster,
        "score_raster": outputs.score_raster,
    }
    return {name: str(path) for name, path in named.items() if path is not None}


def _result(setup: SegmentSetup, counts: ClassCounts, tiles: TileCounts, seconds: float) -> Result:
    return Result(
        outputs=_paths(setup),
        counts={
            "features": counts.total,
            "tiles": tiles.done,
            "tiles_skipped": tiles.skipped,
        },
        seconds=round(seconds, 3),
        details={
            "run_id": setup.run_id,
            "classes": class_table(setup, counts),
            "warnings": setup.warnings,
            "device": setup.backend.device,
            "precision": setup.backend.precision,
            "backend": setup.backend.runtime,
            "pixels": setup.grid.height * setup.grid.width,
        },
    )
