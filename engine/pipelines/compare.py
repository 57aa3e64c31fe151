"""Compare a polygon layer with a true one: objects, and ground in square metres."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ..errors import JobCancelled, LabelError
from ..evaluate.class_names import are_numbers, class_texts, shared_classes
from ..evaluate.ground import Ground, ground_report, mostly_outside, shared_ground_m2
from ..evaluate.matching import (
    Matches,
    Objects,
    Pairs,
    match,
    overlapping_pairs,
    precision_recall,
)
from ..geo.vector import LayerInfo, layer_info, read_fields, read_polygons, read_runs
from ..jobs import CompareJob
from ..protocol import IsCancelled, Log, Progress, Report, Result
from .metrics_file import check_output, result_details, write_metrics

CLASS_FIELD, CLASS_ID_FIELD, SCORE_FIELD = "class_name", "class_id", "score"
STAGES = 4


@dataclass(frozen=True)
class LayerPair:
    """Two layers, ready to be compared.

    Attributes:
        found: Found polygons.
        truth: True polygons, in the same CRS.
        names: Names of the classes.
        crs_wkt: The CRS of both: that of the truth, or of the found layer where the truth has none.
        area: Area of interest, None for all.
        notes: What was chosen for the user.
    """

    found: Objects
    truth: Objects
    names: list[str]
    crs_wkt: str
    area: shapely.Geometry | None
    notes: list[str]


def run_compare(job: CompareJob, report: Report, cancelled: IsCancelled) -> Result:
    """Compare two polygon layers.

    Args:
        job: What to compare.
        report: Called with progress and log events.
        cancelled: Asked between the stages.

    Returns:
        The result: ``outputs`` (``metrics``, ``figure_*``), ``counts`` (``predicted``,
        ``truth``) and the figures of ``docs/evaluate.md`` as ``details``.

    Raises:
        EngineError: If something is wrong that the user can mend.
        JobCancelled: If ``cancelled`` returned True.
    """
    start = time.monotonic()
    output = check_output(job.output, overwrite=job.overwrite)

    def stage(number: int) -> None:
        if cancelled():
            raise JobCancelled
        report(Progress("compare", number, STAGES, "steps"))

    stage(0)
    layers = read_layers(job)
    for note in layers.notes:
        report(Log(note))
    stage(1)
    pairs = overlapping_pairs(layers.found, layers.truth)
    record = object_report(layers, pairs, job.min_iou)
    stage(2)
    ground = shared_ground_m2(
        layers.found, layers.truth, len(layers.names), layers.crs_wkt, layers.area
    )
    stage(3)
    record = {**_head(job, layers), **with_ground(record, ground, layers.names)}
    record["seconds"] = round(time.monotonic() - start, 3)
    outputs = write_metrics(output, job.figures, record)
    stage(4)
    return Result(outputs, record["count"], record["seconds"], result_details(record))


def read_layers(job: CompareJob) -> LayerPair:
    """Read both layers and match their classes.

    Raises:
        LabelError: If a layer cannot be used, classes do not fit, or nothing is common.
    """
    truth_info = layer_info(job.truth, job.truth_layer)
    found_info = layer_info(job.predicted, job.predicted_layer)
    crs_wkt = truth_info.crs_wkt or found_info.crs_wkt
    truth, found = _read_truth(job, truth_info), _read_found(job, found_info, crs_wkt)
    where = f"layer {truth_info.name!r} of {job.truth}"
    texts = None if truth[1] is None else class_texts(truth[1], where)
    names, found_kind, truth_kind = shared_classes(_found_classes(found, texts), texts)
    area = _area(job, crs_wkt)
    _check_overlap(job, found.polygons, truth[0], area)
    found_objects, truth_objects = (
        Objects(
            polygons,
            kind if len(kind) else np.zeros(len(polygons), np.int64),
            score,
            np.zeros(len(polygons), bool) if area is None else mostly_outside(polygons, area),
        )
        for polygons, kind, score in (
            (found.polygons, found_kind, found.score),
            (truth[0], truth_kind, np.ones(len(truth[0]))),
        )
    )
    notes = [*found.notes, *_crs_notes(truth_info, found_info)]
    for side, own, other in (
        ("true", truth_objects, found_objects),
        ("predicted", found_objects, truth_objects),
    ):
        only = sorted(set(own.kind.tolist()) - set(other.kind.tolist()))
        if only and len(names) > 1:
            notes.append(f"classes of {side} polygons only: {', '.join(names[i] for i in only)}")
    return LayerPair(found_objects, truth_objects, names, crs_wkt, area, notes)


def _crs_notes(truth: LayerInfo, found: LayerInfo) -> list[str]:
    """Return what is assumed where a layer does not say where it lies."""
    if truth.crs_wkt:
        return []  # a found layer without a CRS is warned of when it is read
    if found.crs_wkt:
        return [f"layer {truth.name!r} has no CRS; it is taken to be in that of {found.name!r}"]
    return ["no layer has a CRS: areas are in squared map units"]


@dataclass(frozen=True)
class _Found:
    """Found polygons as they were read; ``classes`` and ``ids`` are None without such fields."""

    polygons: NDArray[Any]
    classes: list[str] | None
    ids: list[str] | None
    score: NDArray[np.float64]
    notes: tuple[str, ...]


def _read_truth(job: CompareJob, info: LayerInfo) -> tuple[NDArray[Any], NDArray[Any] | None]:
    fields = (job.truth_class_field,) if job.truth_class_field else ()
    polygons, values = read_fields(job.truth, fields, layer=info.name)
    return polygons, values[fields[0]] if fields else None


def _read_found(job: CompareJob, info: LayerInfo, crs_wkt: str) -> _Found:
    class_field = job.class_field or (CLASS_FIELD if CLASS_FIELD in info.fields else "")
    id_field = CLASS_ID_FIELD if CLASS_ID_FIELD in info.fields else ""
    score_field = job.score_field
    notes: tuple[str, ...] = ()
    if score_field == SCORE_FIELD and SCORE_FIELD not in info.fields:
        score_field = ""
        notes = (f"layer {info.name!r} has no field {SCORE_FIELD!r}: all scores count as equal",)
    if info.features == 0:
        empty = np.zeros(0, dtype=object)
        notes = (f"layer {info.name!r} of {job.predicted} is empty",)
        return _Found(empty, [] if class_field else None, None, np.zeros(0), notes)
    wanted = tuple(field for field in (class_field, id_field, score_field) if field)
    polygons, values = read_fields(job.predicted, wanted, layer=info.name, crs_wkt=crs_wkt)
    where = f"layer {info.name!r} of {job.predicted}"
    return _Found(
        polygons,
        class_texts(values[class_field], where) if class_field else None,
        class_texts(values[id_field], where) if id_field else None,
        _scores(values[score_field], score_field) if score_field else np.ones(len(polygons)),
        notes,
    )


def _scores(values: NDArray[Any], field: str) -> NDArray[np.float64]:
    try:
        return np.nan_to_num(np.asarray(values, np.float64), nan=0.0)
    except (TypeError, ValueError):
        raise LabelError(
            f"field {field!r} holds other values than numbers", "choose a field with scores"
        ) from None


def _found_classes(found: _Found, truth: Sequence[str] | None) -> list[str] | None:
    """Return the classes of found polygons: their ids where the truth has numbers."""
    if truth and found.ids and found.classes and are_numbers(truth):
        return found.classes if are_numbers(found.classes) else found.ids
    return found.classes


def _area(job: CompareJob, crs_wkt: str) -> shapely.Geometry | None:
    if not job.aoi:
        return None
    polygons = read_polygons(job.aoi, layer=job.aoi_layer, crs_wkt=crs_wkt)
    return shapely.union_all(polygons)


def _check_overlap(
    job: CompareJob,
    found: NDArray[Any],
    truth: NDArray[Any],
    area: shapely.Geometry | None,
) -> None:
    """Raise LabelError where the layers, or the truth and the area, lie apart."""
    hint = "check the CRS of both layers, and that they show the same ground"
    ground = shapely.box(*shapely.total_bounds(truth))
    if len(found) and not ground.intersects(shapely.box(*shapely.total_bounds(found))):
        raise LabelError(f"{job.predicted} and {job.truth} do not touch each other", hint)
    if area is not None and not shapely.intersects(area, truth).any():
        raise LabelError(f"no polygon of {job.truth} touches the area {job.aoi}", hint)


def object_report(
    layers: LayerPair,
    pairs: Pairs,
    min_iou: float,
    size_limits: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Return the figures of objects: ``objects``, ``mask``, ``classes`` and ``curves``.

    Args:
        layers: The two layers.
        pairs: Their overlapping pairs.
        min_iou: IoU of a match for precision, recall and F1 of all detections.
        size_limits: See :func:`engine.evaluate.matching.precision_recall`.
    """
    found, truth, names = layers.found, layers.truth, layers.names
    scores = precision_recall(found, truth, pairs, names, size_limits)
    matches = match(pairs, min_iou, found.aside, truth.aside)
    rows = []
    for index, row in enumerate(scores.classes()):
        counts = ("name", "truth", "found")
        rows.append(
            {
                **{key: row[key] for key in counts},
                "objects": _object_counts(layers, matches, index),
                "mask": {key: value for key, value in row.items() if key not in counts},
            }
        )
    return {
        "min_iou": min_iou,
        "objects": _object_counts(layers, matches),
        "mask": scores.summary(),
        "classes": rows,
        "curves": scores.curves(),
    }


def _object_counts(layers: LayerPair, matches: Matches, kind: int | None = None) -> dict[str, Any]:
    """Return right, wrong and missed objects of one class or all, and the ratios."""
    found, truth = layers.found, layers.truth
    of_kind = np.ones(len(found), bool) if kind is None else found.kind == kind
    true_of_kind = np.ones(len(truth), bool) if kind is None else truth.kind == kind
    counted = matches.counts & of_kind
    right = int((counted & (matches.partner >= 0)).sum())
    wrong = int(counted.sum()) - right
    missed = int((true_of_kind & ~truth.aside).sum()) - right
    return {
        "precision": _share(right, right + wrong),
        "recall": _share(right, right + missed),
        "f1": _share(2 * right, 2 * right + wrong + missed),
        "right": right,
        "wrong": wrong,
        "missed": missed,
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def with_ground(record: dict[str, Any], ground: Ground, names: list[str]) -> dict[str, Any]:
    """Return the report of objects with the figures of shared ground added."""
    shared = ground_report(ground, names)
    rows = shared.pop("classes")
    classes = [
        {**row, "ground": {k: v for k, v in rows[i].items() if k != "name"}}
        for i, row in enumerate(record["classes"])
    ]
    return {**record, "classes": classes, "ground": shared}


def _head(job: CompareJob, layers: LayerPair) -> dict[str, Any]:
    """Return what every ``metrics.json`` begins with."""
    runs = read_runs(Path(job.predicted)) if job.predicted.lower().endswith(".gpkg") else []
    last = runs[-1] if runs else {}
    return {
        "kind": "compare",
        "data": job.truth,
        "predicted": job.predicted,
        "split": "all",
        "count": {
            "predicted": int((~layers.found.aside).sum()),
            "truth": int((~layers.truth.aside).sum()),
        },
        "model": str(last.get("model_id", "")),
        "run_id": str(last.get("run_id", "")),
    }
