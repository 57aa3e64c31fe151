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

from .confusion import IGNORED_LABEL, mean, number, ratio

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
        true_edge, found_edge = boundary_pixels(truth, known), boundary_pixels(codes, known)
        counted = np.zeros(len(truth), bool)
        counted[rows] = True
        for label in range(classes):
            true_px = np.argwhere(true_edge & (truth == label))
            found_px = np.argwhere(found_edge & (codes == label))
            self.counts[label] += (
                *self._near(found_px, true_px, counted),
                *self._near(true_px, found_px, counted),
            )

    def _near(
        self, pixels: NDArray[np.int64], others: NDArray[np.int64], counted: NDArray[np.bool_]
    ) -> tuple[int, int]:
        """Return how many counted pixels are near another one, and how many there are."""
        own = pixels[counted[pixels[:, 0]]]
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
