"""The instance path: tiles to detections on disk, detections to one polygon per object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import DiskError, JobCancelled
from ..geo.mask_runs import join_masks
from ..geo.style import class_layer_qml, one_by_one_qml
from ..geo.vector import FeatureBatch, LayerSpec, write_features, write_style
from ..merge.instances import Detections, InstanceMerger, Instances, join_detections
from ..predict.instances import InstancePredictor
from ..predict.instances_loop import InstanceLoop, own_tiles, tile_layout
from ..predict.semantic import warm_network
from ..predict.strips import TileCounts
from ..protocol import Log, Progress
from ..vectorize.instances import instance_features
from ..vectorize.stream import VectorOptions
from .segment_instances_records import decode_detections, encode_detections
from .segment_output import ClassCounts
from .segment_run import SegmentRun

LAYER_NAME = "instances"
ONE_BY_ONE = "one by one"
BATCH_OBJECTS = 4096
BATCH_BYTES = 1 << 24


def predict_instances(run: SegmentRun) -> TileCounts:
    """Compute the detections of the rows of tiles that are not finished yet."""
    setup, folder, plan = run.setup, run.folder, run.setup.plan
    folder.drop_damaged(lambda data, *_: decode_detections(data) is not None)
    counts, rows = TileCounts(), len(plan.row_starts)
    panels = [own_tiles(panel, plan) for panel in plan.panels]
    first_rows = [folder.first_missing(panel.index, rows) for panel in panels]
    total = sum(
        (rows - first) * len(panel.tile_starts)
        for panel, first in zip(panels, first_rows, strict=True)
    )
    if total == 0:
        return counts
    if any(first_rows):
        run.report(Log(f"continuing an interrupted run, {total} of {_tiles(run)} tiles to go"))
    run.report(Progress("predict", 0, total, "tiles"))
    loop = _tile_loop(run, total)
    for panel, first in zip(panels, first_rows, strict=True):
        if first < rows:
            with setup.open_panel(panel) as source:
                for row, found in loop.run_panel(source, panel, first, counts):
                    folder.save_bytes(panel.index, row, encode_detections(found))
    return counts


def _tiles(run: SegmentRun) -> int:
    layout = tile_layout(run.setup.plan)
    return len(layout.row_starts) * len(layout.column_starts)


def _tile_loop(run: SegmentRun, total: int) -> InstanceLoop:
    setup = run.setup
    card, job = setup.card, setup.job
    predictor = InstancePredictor(
        warm_network(setup.entry, setup.backend),
        setup.backend,
        class_ids=[c.id for c in card.classes if not c.background],
        threshold=card.score_threshold if job.score < 0 else job.score,
    )
    return InstanceLoop(
        plan=setup.plan,
        layout=tile_layout(setup.plan),
        bands=card.bands,
        predict=predictor,
        batch=setup.backend.batch,
        cancelled=run.cancelled,
        on_tiles=run.tile_reporter(total),
    )


def write_instances(run: SegmentRun, path: Path) -> ClassCounts:
    """Merge the detections and write the objects with their styles into a new GeoPackage.

    Raises:
        DiskError: If the file cannot be written, or a record of the run is damaged.
    """
    setup = run.setup
    card, job = setup.card, setup.job
    options = VectorOptions(job.min_area_m2, job.simplify_m, job.square)
    counts = ClassCounts()

    def batches() -> Iterator[FeatureBatch]:
        for found in _large_batches(merged_objects(run)):
            for batch in instance_features(
                found.masks, found.class_id, found.score, setup.grid, options
            ):
                counts.add(batch)
                yield batch

    visible = [c for c in card.classes if not c.background]
    spec = LayerSpec(
        name=LAYER_NAME,
        crs_wkt=setup.grid.crs_wkt,
        class_names={c.id: c.name for c in card.classes},
        model_id=card.id,
        run_id=setup.run_id,
        geometry_type="MultiPolygon",
    )
    write_features(path, batches(), spec)
    write_style(path, LAYER_NAME, class_layer_qml(visible), name=card.title)
    write_style(path, LAYER_NAME, one_by_one_qml(), name=ONE_BY_ONE, is_default=False)
    return counts


def merged_objects(run: SegmentRun) -> Iterator[Instances]:
    """Yield the objects of a run as they are finished, from the top of the raster.

    Raises:
        DiskError: If a record of the run is damaged.
        JobCancelled: If the run was cancelled.
    """
    plan = run.setup.plan
    merger = InstanceMerger(tile_layout(plan))
    for index in range(len(plan.row_starts)):
        if run.cancelled():
            raise JobCancelled
        yield merger.push(_detections(run, index))
        _, row_stop = plan.strip_rows(index)
        run.report(Progress("vectorize", row_stop, plan.height, "rows"))


def _detections(run: SegmentRun, row: int) -> Detections:
    """Return the detections of a row of tiles, all panels together."""
    parts = []
    for panel in run.setup.plan.panels:
        found = decode_detections(run.folder.load_bytes(panel.index, row))
        if found is None:
            raise DiskError(
                f"the detections of row {row} in {run.folder.path} are damaged",
                "run again without resume",
            )
        parts.append(found)
    return join_detections(parts)


@dataclass
class _Heap:
    """Finished objects that wait until there are enough of them."""

    parts: list[Instances] = field(default_factory=list)
    objects: int = 0
    bytes: int = 0

    def add(self, found: Instances) -> None:
        self.parts.append(found)
        self.objects += len(found)
        self.bytes += found.masks.nbytes

    def joined(self) -> Instances:
        return Instances(
            join_masks([part.masks for part in self.parts]),
            np.concatenate([part.class_id for part in self.parts]),
            np.concatenate([part.score for part in self.parts]),
            np.concatenate([part.pieces for part in self.parts]),
        )


def _large_batches(parts: Iterator[Instances]) -> Iterator[Instances]:
    """Collect objects until there are enough of them to be worth a canvas."""
    heap = _Heap()
    for part in parts:
        if len(part):
            heap.add(part)
        if heap.objects >= BATCH_OBJECTS or heap.bytes >= BATCH_BYTES:
            yield heap.joined()
            heap = _Heap()
    if heap.objects:
        yield heap.joined()
