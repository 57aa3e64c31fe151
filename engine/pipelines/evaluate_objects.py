"""Instances on a raster against its labels: average precision in pixels, ground in m²."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ..evaluate.coco_eval import report_of
from ..evaluate.ground import mostly_outside, shared_ground_m2
from ..evaluate.matching import Objects, overlapping_pairs, precision_recall
from ..geo.grid import Grid
from ..geo.vector import layer_info, read_fields, read_polygons
from ..jobs import EvaluateJob
from .compare import LayerPair, object_report, with_ground
from .evaluate_labels import Labels, footprint
from .evaluate_model import MeasuredModel

SMALL_PX, LARGE_PX = 32.0**2, 96.0**2
Record = dict[str, Any]


def compare_objects(
    job: EvaluateJob, model: MeasuredModel, labels: Labels, grid: Grid, segmented: Path
) -> tuple[dict[str, int], Record]:
    """Compare the polygons that were found with the labels, in pixels of the raster.

    Average precision is that of all detections above the least score; objects and ground are
    those of the detections that a user would see.

    Args:
        job: The job.
        model: An instance model.
        labels: The true polygons.
        grid: Grid of the raster.
        segmented: The layer that was found.

    Returns:
        What was counted, and the figures.
    """
    area = footprint(grid)
    if job.aoi:
        polygons = read_polygons(job.aoi, layer=job.aoi_layer, crs_wkt=grid.crs_wkt)
        area = shapely.intersection(area, shapely.union_all(polygons))
    layers = _layers(model, labels, segmented, grid, area)
    names = layers.names
    least = model.card.score_threshold if job.score < 0 else job.score
    seen = _at_least(layers, least).found
    ground = shared_ground_m2(seen, layers.truth, len(names), grid.crs_wkt, area)
    kinds = {}
    in_pixels = replace(
        layers, found=_pixels(layers.found, grid), truth=_pixels(layers.truth, grid)
    )
    for kind in ("mask", "box"):
        found, truth = in_pixels.found, in_pixels.truth
        if kind == "box":
            found, truth = _boxes(found), _boxes(truth)
        pairs = overlapping_pairs(found, truth)
        kinds[kind] = precision_recall(found, truth, pairs, names, (SMALL_PX, LARGE_PX))
    sure = _at_least(in_pixels, least)
    objects = object_report(sure, overlapping_pairs(sure.found, sure.truth), 0.5)
    record = report_of(kinds)
    for row, other in zip(record["classes"], objects["classes"], strict=True):
        row["objects"] = other["objects"]
    record = {**record, "objects": objects["objects"], "min_iou": 0.5}
    record = {**with_ground(record, ground, names), "min_score": model.threshold(job)}
    counts = {
        "objects": int((~layers.truth.aside).sum()),
        "detections": int((~layers.found.aside).sum()),
    }
    return counts, record


def _layers(
    model: MeasuredModel, labels: Labels, segmented: Path, grid: Grid, area: shapely.Geometry
) -> LayerPair:
    """Return found and true polygons in the CRS of the raster, with class indices."""
    foreground = model.foreground
    place = {c.id: index for index, c in enumerate(foreground)}
    polygons, values = _read_found(segmented, grid)
    chosen = np.isin(labels.class_ids, list(place))
    true_polygons, true_ids = labels.polygons[chosen], labels.class_ids[chosen]

    def side(shapes: NDArray[Any], ids: NDArray[Any], score: NDArray[Any]) -> Objects:
        kinds = np.array([place[int(i)] for i in ids], np.int64)
        return Objects(shapes, kinds, score.astype(np.float64), mostly_outside(shapes, area))

    return LayerPair(
        side(polygons, values["class_id"], values["score"]),
        side(true_polygons, true_ids, np.ones(len(true_polygons))),
        [c.name for c in foreground],
        grid.crs_wkt,
        area,
        [],
    )


def _read_found(segmented: Path, grid: Grid) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    fields = ("class_id", "score")
    if layer_info(str(segmented)).features == 0:
        return np.zeros(0, dtype=object), {field: np.zeros(0) for field in fields}
    return read_fields(str(segmented), fields, crs_wkt=grid.crs_wkt)


def _pixels(side: Objects, grid: Grid) -> Objects:
    """Return objects in pixel coordinates of a grid."""

    def to_pixels(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        rows, cols = grid.map_to_pixel(x, y)
        return cols, rows

    return replace(side, polygons=shapely.transform(side.polygons, to_pixels, interleaved=False))


def _at_least(layers: LayerPair, score: float) -> LayerPair:
    """Return the layers with the found polygons that have this score."""
    found = layers.found
    sure = found.score >= score
    parts = (found.polygons[sure], found.kind[sure], found.score[sure], found.aside[sure])
    return replace(layers, found=Objects(*parts))


def _boxes(side: Objects) -> Objects:
    return replace(side, polygons=shapely.envelope(side.polygons))
