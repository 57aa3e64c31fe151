"""Confusion matrix of labels, counted part by part, and the figures that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

IGNORED_LABEL = 255
"""In the truth: pixels that do not count. In a prediction: pixels without a class."""

Ratios = dict[str, NDArray[np.float64]]


class ConfusionMatrix:
    """Counts of pixels by true and predicted class, gathered over any number of parts.

    Args:
        classes: Number of classes K; labels are 0 to K - 1.

    Attributes:
        counts: int64 ``[K, K + 1]``, rows are the truth, columns the prediction; the last
            column holds pixels that were given no class.
    """

    def __init__(self, classes: int) -> None:
        if not 1 <= classes <= IGNORED_LABEL:
            raise ValueError(f"{classes} classes are not between 1 and {IGNORED_LABEL}")
        self.counts: NDArray[np.int64] = np.zeros((classes, classes + 1), np.int64)

    @property
    def pixels(self) -> int:
        """Number of pixels that count."""
        return int(self.counts.sum())

    def add(self, truth: NDArray[np.integer[Any]], predicted: NDArray[np.integer[Any]]) -> None:
        """Add pixels; those whose truth is 255 are left out.

        Args:
            truth: True labels of any shape, 0 to K - 1, or 255.
            predicted: Predicted labels of the same shape, 0 to K - 1; any other value means
                that no class was given, which is a mistake for every true class.

        Raises:
            ValueError: If shapes differ, or the truth holds another value.
        """
        if truth.shape != predicted.shape:
            raise ValueError(f"truth {truth.shape} and prediction {predicted.shape} differ")
        classes = len(self.counts)
        pairs = _as_bytes(truth).astype(np.uint16) << 8
        pairs |= _as_bytes(predicted)
        table = np.bincount(pairs.ravel(), minlength=1 << 16).reshape(256, 256)
        if wrong := np.flatnonzero(table[classes:IGNORED_LABEL].any(axis=1)).tolist():
            raise ValueError(f"truth holds {wrong[0] + classes} with {classes} classes")
        self.counts[:, :classes] += table[:classes, :classes]
        self.counts[:, classes] += table[:classes, classes:].sum(axis=1)

    def metrics(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the figures of :func:`semantic_metrics`."""
        return semantic_metrics(self.counts, names)


def _as_bytes(labels: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    """Return labels as uint8; values below 0 or above 254 become 255."""
    if labels.dtype == np.uint8:
        return labels.view(np.uint8)
    inside = (labels >= 0) & (labels < IGNORED_LABEL)
    return np.where(inside, labels, IGNORED_LABEL).astype(np.uint8)


def confusion_matrix(
    truth: NDArray[np.integer[Any]], predicted: NDArray[np.integer[Any]], classes: int
) -> NDArray[np.int64]:
    """Return pixel counts ``[truth, predicted]``, ``[K, K]``, where every pixel has a class.

    Raises:
        ValueError: If a predicted value is not a class, or a true one neither a class nor 255.
    """
    matrix = ConfusionMatrix(classes)
    matrix.add(truth, predicted)
    if matrix.counts[:, -1].any():
        raise ValueError("some pixels were given no class")
    return matrix.counts[:, :-1]


def class_ratios(counts: NDArray[np.integer[Any]]) -> Ratios:
    """Return the ratios of each class.

    Args:
        counts: ``[K, K]``, or ``[K, K + 1]`` with the pixels without a class last.

    Returns:
        ``iou``, ``precision``, ``recall`` and ``f1``, float64 ``[K]`` each; NaN where the
        denominator is 0 (for ``iou`` and ``f1``: a class in neither truth nor prediction).
    """
    hits = np.diagonal(counts).astype(np.float64)
    truth = counts.sum(axis=1).astype(np.float64)
    predicted = counts[:, : len(counts)].sum(axis=0).astype(np.float64)
    return {
        "iou": ratio(hits, truth + predicted - hits),
        "precision": ratio(hits, predicted),
        "recall": ratio(hits, truth),
        "f1": ratio(2 * hits, truth + predicted),
    }


def semantic_metrics(counts: NDArray[np.integer[Any]], names: Sequence[str]) -> dict[str, Any]:
    """Return the figures of a semantic evaluation as plain JSON values.

    Means run over the classes that are there, in the truth or in the prediction; a figure that
    has no value is None.

    Args:
        counts: As for :func:`class_ratios`.
        names: One name per class.

    Returns:
        ``miou``, ``pixel_accuracy``, ``mean_f1``, ``classes`` (``name, iou, precision, recall,
        f1, truth_px, predicted_px``), ``confusion`` (rows are the truth) and, with a last
        column, ``without_class_px`` per class.
    """
    if len(names) != len(counts):
        raise ValueError(f"{len(names)} names for {len(counts)} classes")
    square = counts[:, : len(counts)]
    ratios, total = class_ratios(counts), int(counts.sum())
    classes = [
        {
            "name": name,
            **{key: number(values[index]) for key, values in ratios.items()},
            "truth_px": int(counts[index].sum()),
            "predicted_px": int(square[:, index].sum()),
        }
        for index, name in enumerate(names)
    ]
    found: dict[str, Any] = {
        "miou": mean(ratios["iou"]),
        "pixel_accuracy": float(np.trace(square)) / total if total else None,
        "mean_f1": mean(ratios["f1"]),
        "classes": classes,
        "confusion": square.tolist(),
    }
    if counts.shape[1] > len(counts):
        found["without_class_px"] = counts[:, -1].tolist()
    return found


def ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``part / whole``, NaN where the whole is 0."""
    known = whole > 0
    return np.where(known, part / np.where(known, whole, 1.0), np.nan)


def number(value: float) -> float | None:
    """Return a figure for JSON: None for NaN."""
    return None if np.isnan(value) else float(value)


def mean(values: NDArray[np.float64]) -> float | None:
    """Return the mean of the values that are not NaN, None if there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
