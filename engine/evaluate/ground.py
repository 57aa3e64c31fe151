"""Ground that two polygon layers share, in square metres, whatever the CRS and overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..geo.measure import measure
from .confusion import mean, number, ratio
from .matching import Objects

Polygons = NDArray[np.object_]


@dataclass(frozen=True)
class Ground:
    """Ground in square metres.

    Attributes:
        confusion: By true and found class, ``[K + 1, K + 1]``, rows are the truth; the last row
            and column are ground in no polygon of that side, their common cell is 0. A spot
            covered by polygons of two classes counts for both.
        truth: Covered by true polygons of each class, ``[K]``.
        found: Covered by found polygons of each class, ``[K]``.
    """

    confusion: NDArray[np.float64]
    truth: NDArray[np.float64]
    found: NDArray[np.float64]


def dissolved(polygons: Polygons) -> Polygons:
    """Return polygons that cover the same ground without overlaps.

    Only polygons that share ground are united; the others are kept as they are.
    """
    first, second = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    upper = first < second
    first, second = first[upper], second[upper]
    overlap = ~shapely.touches(polygons[first], polygons[second])
    first, second = first[overlap], second[overlap]
    if not len(first):
        return polygons
    links = coo_array((np.ones(len(first)), (first, second)), shape=(len(polygons),) * 2)
    _, group = connected_components(links, directed=False)
    sizes = np.bincount(group)
    alone = sizes[group] == 1
    order = np.argsort(group, kind="stable")
    parts = np.split(polygons[order], np.cumsum(sizes)[:-1])
    united = [shapely.union_all(part) for part in parts if len(part) > 1]
    return np.concatenate([polygons[alone], np.array(united, dtype=object)])


def clipped(polygons: Polygons, area: shapely.Geometry) -> Polygons:
    """Return the parts of polygons inside an area; those wholly outside become empty."""
    shapely.prepare(area)
    cut = ~shapely.contains_properly(area, polygons)
    parts = polygons.copy()
    parts[cut] = shapely.intersection(polygons[cut], area)
    return parts


def mostly_outside(polygons: Polygons, area: shapely.Geometry) -> NDArray[np.bool_]:
    """Return which polygons have less than half of themselves inside an area."""
    inside = shapely.area(clipped(polygons, area))
    return np.asarray(inside < 0.5 * shapely.area(polygons))


def shared_ground_m2(
    found: Objects,
    truth: Objects,
    classes: int,
    crs_wkt: str,
    area: shapely.Geometry | None = None,
) -> Ground:
    """Return the ground by true and found class in square metres.

    Args:
        found: Found polygons.
        truth: True polygons, in the same CRS.
        classes: Number of classes K.
        crs_wkt: That CRS; without one, areas are in squared map units.
        area: Only ground inside counts; None for all.
    """
    sides = [_by_class(side, classes, area) for side in (truth, found)]
    ground = np.zeros((classes + 1, classes + 1))
    true_m2, found_m2 = (
        np.array([measure(polygons, crs_wkt)[0].sum() for polygons in side]) for side in sides
    )
    for row, true_part in enumerate(sides[0]):
        tree = shapely.STRtree(true_part)
        for column, found_part in enumerate(sides[1]):
            first, second = tree.query(found_part, predicate="intersects")
            shared = shapely.intersection(found_part[first], true_part[second])
            ground[row, column] = measure(shared, crs_wkt)[0].sum()
    ground[:-1, -1] = np.maximum(true_m2 - ground[:-1].sum(axis=1), 0.0)
    ground[-1, :-1] = np.maximum(found_m2 - ground[:, :-1].sum(axis=0), 0.0)
    return Ground(ground, true_m2, found_m2)


def _by_class(side: Objects, classes: int, area: shapely.Geometry | None) -> list[Polygons]:
    parts = []
    for kind in range(classes):
        polygons = dissolved(side.polygons[side.kind == kind])
        parts.append(polygons if area is None else clipped(polygons, area))
    return parts


def ground_report(ground: Ground, names: Sequence[str]) -> dict[str, Any]:
    """Return the figures of shared ground as JSON values.

    Returns:
        ``iou, precision, recall, f1`` and ``miou`` (mean over classes), ``truth_m2, found_m2,
        shared_m2``, ``classes`` with the same, and ``confusion_m2`` (rows are the truth, the
        last row and column are no class).
    """
    shared, true, found = np.diagonal(ground.confusion)[:-1], ground.truth, ground.found
    rows = [
        {"name": name, **_figures(*map(float, values))}
        for name, *values in zip(names, shared, true, found, strict=True)
    ]
    every = ratio(shared, true + found - shared)
    return {
        **_figures(float(shared.sum()), float(true.sum()), float(found.sum())),
        "miou": mean(every),
        "classes": rows,
        "confusion_m2": np.round(ground.confusion, 3).tolist(),
    }


def _figures(shared: float, true: float, found: float) -> dict[str, Any]:
    parts = np.array([shared, shared, shared, 2 * shared])
    wholes = np.array([true + found - shared, found, true, true + found])
    values = dict(zip(("iou", "precision", "recall", "f1"), ratio(parts, wholes), strict=True))
    return {
        **{name: number(value) for name, value in values.items()},
        "truth_m2": round(true, 3),
        "found_m2": round(found, 3),
        "shared_m2": round(shared, 3),
    }
