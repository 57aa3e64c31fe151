"""Which found polygon is which true one, and the precision and recall that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from .coco_eval import IOU_THRESHOLDS, RECALLS, PrecisionRecall

ANY_SIZE = (0.0, np.inf)
NO_TRUTH = -1.0


@dataclass(frozen=True)
class Objects:
    """Polygons of one side.

    Attributes:
        polygons: Valid shapely Polygons or MultiPolygons, object ``[n]``.
        kind: Class index of each, int64 ``[n]``.
        score: Score of each, float64 ``[n]``; higher comes first. Not used for the truth.
        aside: Which do not count, bool ``[n]``: ground outside the area of interest. A found
            polygon on true ones aside is neither right nor wrong.
    """

    polygons: NDArray[np.object_]
    kind: NDArray[np.int64]
    score: NDArray[np.float64]
    aside: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.polygons)


@dataclass(frozen=True)
class Pairs:
    """Overlapping polygons of the same class, in the order in which they are matched.

    Attributes:
        found: Row of the found polygon, int64 ``[m]``.
        truth: Row of the true polygon, int64 ``[m]``.
        iou: Area of the intersection over that of the union, ``[m]``, above 0.
    """

    found: NDArray[np.int64]
    truth: NDArray[np.int64]
    iou: NDArray[np.float64]


def overlapping_pairs(found: Objects, truth: Objects) -> Pairs:
    """Return all pairs of one class that share ground.

    Pairs come by falling score of the found polygon, then by falling IoU, then by place, so the
    order of the polygons does not matter. IoU is planar: polygons are small against the Earth,
    and a ratio of areas on the same spot does not depend on the map's scale there.
    """
    first, second = shapely.STRtree(truth.polygons).query(found.polygons, predicate="intersects")
    same = found.kind[first] == truth.kind[second]
    first, second = first[same], second[same]
    shared = shapely.area(shapely.intersection(found.polygons[first], truth.polygons[second]))
    areas = shapely.area(found.polygons)[first] + shapely.area(truth.polygons)[second]
    iou = shared / (areas - shared)
    first, second, iou = (part[shared > 0] for part in (first, second, iou))
    places = (_place(truth)[second], _place(found)[first])
    order = np.lexsort((*places, -iou, -found.score[first]))
    return Pairs(first[order], second[order], iou[order])


def _place(objects: Objects) -> NDArray[np.int64]:
    """Return the rank of each polygon by its bounds and area."""
    keys = np.column_stack([shapely.bounds(objects.polygons), shapely.area(objects.polygons)])
    rank = np.empty(len(keys), np.int64)
    rank[np.lexsort(keys.T)] = np.arange(len(keys))
    return rank


@dataclass(frozen=True)
class Matches:
    """The outcome at one IoU threshold.

    Attributes:
        partner: Row of the true polygon that a found one was matched with, or -1, ``[n]``.
        counts: Which found polygons count, as right or wrong, bool ``[n]``.
    """

    partner: NDArray[np.int64]
    counts: NDArray[np.bool_]


def match(
    pairs: Pairs,
    min_iou: float,
    found_aside: NDArray[np.bool_],
    truth_aside: NDArray[np.bool_],
) -> Matches:
    """Match found polygons with true ones, each at most once, as the COCO evaluation does.

    Args:
        pairs: Pairs in matching order.
        min_iou: Smallest IoU of a match.
        found_aside: Which found polygons do not count unless matched with one that counts.
        truth_aside: Which true polygons do not count. They are matched last.
    """
    first, second = _candidates(pairs, min_iou, truth_aside)
    partner = np.full(len(found_aside), -1, np.int64)
    if len(np.unique(first)) == len(first) and len(np.unique(second)) == len(second):
        partner[first] = second
    else:
        taken: set[int] = set()
        done: set[int] = set()
        for row, other in zip(first.tolist(), second.tolist(), strict=True):
            if row not in done and other not in taken:
                partner[row] = other
                done.add(row)
                taken.add(other)
    matched = partner >= 0
    on_aside = np.zeros(len(partner), bool)
    on_aside[matched] = truth_aside[partner[matched]]
    return Matches(partner, np.where(matched, ~on_aside, ~found_aside))


def _candidates(
    pairs: Pairs, min_iou: float, truth_aside: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of pairs that may match; true polygons aside come last for each found one."""
    near = pairs.iou >= min_iou
    first, second = pairs.found[near], pairs.truth[near]
    aside = truth_aside[second]
    if not aside.any():
        return first, second
    rank = np.full(int(first.max()) + 1, -1, np.int64)
    rank[first[::-1]] = np.arange(len(first))[::-1]
    order = np.lexsort((np.arange(len(first)), aside, rank[first]))
    return first[order], second[order]


def precision_recall(
    found: Objects,
    truth: Objects,
    pairs: Pairs,
    names: Sequence[str],
    size_limits: tuple[float, float] | None = None,
) -> PrecisionRecall:
    """Return precision over recall of all detections, for the ten IoU thresholds of COCO.

    Found polygons of the same score enter the curve together: without scores there is one
    point, and the average precision is the precision times the share of recalls reached.

    Args:
        found: Found polygons.
        truth: True polygons.
        pairs: Their overlapping pairs.
        names: Name of each class.
        size_limits: Areas between small, medium and large, in squared units of the
            coordinates; None leaves these figures out.
    """
    sizes = [ANY_SIZE]
    if size_limits is not None:
        low, high = size_limits
        sizes += [(0.0, low), (low, high), (high, np.inf)]
    shape = (len(IOU_THRESHOLDS), len(names), 4)
    precision = np.full((shape[0], len(RECALLS), *shape[1:]), NO_TRUTH)
    recall = np.full(shape, NO_TRUTH)
    areas = shapely.area(found.polygons), shapely.area(truth.polygons)
    for size, (low, high) in enumerate(sizes):
        found_aside, truth_aside = (
            side.aside | (area < low) | (area > high)
            for side, area in zip((found, truth), areas, strict=True)
        )
        for step, threshold in enumerate(IOU_THRESHOLDS):
            matches = match(pairs, float(threshold), found_aside, truth_aside)
            for kind in range(len(names)):
                total = int(((truth.kind == kind) & ~truth_aside).sum())
                if total:
                    chosen = (found.kind == kind) & matches.counts
                    curve = _curve(found.score[chosen], matches.partner[chosen] >= 0, total)
                    precision[step, :, kind, size], recall[step, kind, size] = curve
    count = len(names)
    return PrecisionRecall(
        names=tuple(names),
        truth=np.bincount(truth.kind[~truth.aside], minlength=count).astype(np.int64),
        found=np.bincount(found.kind[~found.aside], minlength=count).astype(np.int64),
        precision=precision,
        recall=recall,
        max_detections=0,
    )


def _curve(
    score: NDArray[np.float64], right: NDArray[np.bool_], total: int
) -> tuple[NDArray[np.float64], float]:
    """Return the best precision at or beyond each of the 101 recalls, and the largest recall."""
    if not len(score):
        return np.zeros(len(RECALLS)), 0.0
    order = np.argsort(-score, kind="stable")
    score, hits = score[order], np.cumsum(right[order])
    last = np.flatnonzero(np.r_[score[1:] != score[:-1], True])
    hits = hits[last]
    recall, precision = hits / total, hits / (last + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(recall, RECALLS, side="left")
    values = np.where(place < len(best), best[np.minimum(place, len(best) - 1)], 0.0)
    return values, float(recall[-1])
