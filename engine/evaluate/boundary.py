"""Boundary F1: how well the outlines of classes agree, within a tolerance.

A boundary pixel of a class has a neighbour above, below, left or right of another class. The
share of predicted boundary pixels that lie within the tolerance of a true one is the precision,
the share of true ones near a predicted one is the recall (Csurka, Larlus, Perronnin: What is a
good evaluation measure for semantic segmentation? BMVC 2013). Distances are exact, from pixel
centre to pixel centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..geo.jit import kernel
from .confusion import IGNORED_LABEL, mean, number, ratio

ByteArray = NDArray[np.uint8]

MOST_OFFSETS = 2000
"""Places around a pixel that are looked at one by one; beyond, a search tree is quicker."""
_SLACK = 1 + 1e-9
"""Rounding of distances: a pixel that lies exactly at the tolerance counts as near."""


class BoundaryCounts:
    """Boundary pixels by class, near one of the other side and all, over any number of parts.

    Args:
        classes: Number of classes K.
        tolerance: Largest distance of pixels that agree, in units of ``steps``.
        steps: Distance from row to row and from column to column: ``(1, 1)`` for a tolerance in
            pixels, the pixel's height and width in metres for one in metres.

    Attributes:
        counts: int64 ``[K, 4]``: predicted pixels that are near, predicted pixels, true pixels
            that are near, true pixels.
    """

    def __init__(
        self, classes: int, tolerance: float, steps: tuple[float, float] = (1.0, 1.0)
    ) -> None:
        if tolerance < 0 or min(steps) <= 0:
            raise ValueError(f"tolerance {tolerance} with steps {steps}")
        self.tolerance = tolerance
        self.steps = steps
        self.counts: NDArray[np.int64] = np.zeros((classes, 4), np.int64)

    @property
    def halo_px(self) -> int:
        """Rows above and below a strip that have to be given with it."""
        return int(np.ceil(self.tolerance / self.steps[0])) + 1

    def add(
        self,
        truth: NDArray[np.integer[Any]],
        predicted: NDArray[np.integer[Any]],
        rows: slice = slice(None),
    ) -> None:
        """Add one image, or a strip of it with its halo.

        Args:
            truth: True labels ``[h, w]``; where it is 255 nothing counts, in the prediction
                neither.
            predicted: Predicted labels ``[h, w]``; values that are no class are one of their
                own without a figure.
            rows: The rows whose pixels count; the others are only looked at.
        """
        known = truth != IGNORED_LABEL
        classes = len(self.counts)
        codes = np.where((predicted >= 0) & (predicted < classes), predicted, classes)
        true_edge = _edge_labels(truth, known)
        found_edge = _edge_labels(codes.astype(np.uint8), known)
        start, stop, _ = rows.indices(len(truth))
        offsets = _disc(self.tolerance, self.steps)
        if len(offsets) > MOST_OFFSETS:
            self._add_far(true_edge, found_edge, (start, stop))
            return
        count_near(found_edge, true_edge, offsets, start, stop, self.counts[:, :2])
        count_near(true_edge, found_edge, offsets, start, stop, self.counts[:, 2:])

    def _add_far(self, true_edge: ByteArray, found_edge: ByteArray, rows: tuple[int, int]) -> None:
        """Count with a search tree, for tolerances of many pixels."""
        for label in range(len(self.counts)):
            true_px, found_px = (np.argwhere(edge == label) for edge in (true_edge, found_edge))
            self.counts[label] += (
                *self._near(found_px, true_px, rows),
                *self._near(true_px, found_px, rows),
            )

    def _near(
        self, pixels: NDArray[np.int64], others: NDArray[np.int64], rows: tuple[int, int]
    ) -> tuple[int, int]:
        """Return how many pixels of some rows are near another one, and how many there are."""
        own = pixels[(pixels[:, 0] >= rows[0]) & (pixels[:, 0] < rows[1])]
        if not len(own) or not len(others):
            return 0, len(own)
        steps = np.array(self.steps)
        reach = self.tolerance * _SLACK + 1e-12
        distance, _ = cKDTree(others * steps).query(own * steps, distance_upper_bound=reach)
        return int(np.isfinite(distance).sum()), len(own)

    def metrics(self, names: Sequence[str]) -> dict[str, Any]:
        """Return ``mean_f1`` and per class ``name, f1, precision, recall``; None if unknown.

        A class with an outline on one side only has an F1 of 0; one without any outline has
        none, and does not count in the mean.
        """
        near_found, found, near_true, true = self.counts.astype(np.float64).T
        precision, recall = ratio(near_found, found), ratio(near_true, true)
        filled = np.nan_to_num(precision), np.nan_to_num(recall)
        f1 = np.nan_to_num(ratio(2 * filled[0] * filled[1], filled[0] + filled[1]))
        f1[(found + true) == 0] = np.nan
        rows = zip(names, f1, precision, recall, strict=True)
        return {
            "mean_f1": mean(f1),
            "classes": [
                {"name": n, "f1": number(f), "precision": number(p), "recall": number(r)}
                for n, f, p, r in rows
            ],
        }


def boundary_pixels(
    labels: NDArray[np.integer[Any]], known: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which known pixels have a known 4-neighbour with another label, bool ``[h, w]``.

    The image's edge and the edge of unknown ground are no boundaries.
    """
    found = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        first = (slice(None),) * axis + (slice(None, -1),)
        second = (slice(None),) * axis + (slice(1, None),)
        differ = (labels[first] != labels[second]) & known[first] & known[second]
        found[first] |= differ
        found[second] |= differ
    return found


def _edge_labels(labels: NDArray[np.integer[Any]], known: NDArray[np.bool_]) -> ByteArray:
    """Return the label of each boundary pixel, 255 elsewhere, uint8 ``[h, w]``."""
    edge = boundary_pixels(labels, known)
    return np.where(edge, labels, IGNORED_LABEL).astype(np.uint8)


def _disc(tolerance: float, steps: tuple[float, float]) -> NDArray[np.int64]:
    """Return the offsets (row, column) within a distance, the nearest first, ``[n, 2]``."""
    reach = tolerance * _SLACK + 1e-12
    height, width = (int(reach // step) for step in steps)
    if (2 * height + 1) * (2 * width + 1) > 4 * MOST_OFFSETS:
        return np.zeros((MOST_OFFSETS + 1, 2), np.int64)
    rows, cols = np.mgrid[-height : height + 1, -width : width + 1].reshape(2, -1)
    distance = np.hypot(rows * steps[0], cols * steps[1])
    order = np.argsort(distance, kind="stable")[: int((distance <= reach).sum())]
    return np.ascontiguousarray(np.column_stack([rows[order], cols[order]]))


@kernel
def count_near(
    own: ByteArray,
    other: ByteArray,
    offsets: NDArray[np.int64],
    start: int,
    stop: int,
    counts: NDArray[np.int64],
) -> None:
    """Count the boundary pixels of some rows, and those near one of the same class.

    Args:
        own: Label of each boundary pixel, 255 elsewhere, ``[h, w]``.
        other: The same of the other side.
        offsets: Where to look around a pixel, the nearest places first.
        start: First row that counts.
        stop: Row after the last one.
        counts: ``[K, 2]``, near and all, to which is added.
    """
    height, width = own.shape
    for row in range(start, stop):
        for column in range(width):
            label = own[row, column]
            if label >= len(counts):
                continue
            counts[label, 1] += 1
            for k in range(len(offsets)):
                r, c = row + offsets[k, 0], column + offsets[k, 1]
                if 0 <= r < height and 0 <= c < width and other[r, c] == label:
                    counts[label, 0] += 1
                    break
