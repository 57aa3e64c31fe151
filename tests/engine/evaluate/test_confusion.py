"""Figures of semantic evaluation, worked out by hand and by what must hold for any labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.evaluate.confusion import (
    ConfusionMatrix,
    class_ratios,
    confusion_matrix,
    semantic_metrics,
)

LABELS = arrays(np.uint8, (7, 11), elements=st.sampled_from([0, 1, 2, 255]))


def counted(truth: np.ndarray, predicted: np.ndarray, classes: int = 3) -> np.ndarray:
    matrix = ConfusionMatrix(classes)
    matrix.add(truth, predicted)
    return matrix.counts


def test_a_matrix_worked_out_by_hand() -> None:
    truth = np.array([[0, 0, 0, 0, 1], [1, 1, 1, 255, 255]], np.uint8)
    found = np.array([[0, 0, 0, 1, 1], [1, 1, 0, 1, 0]], np.uint8)
    counts = counted(truth, found, 2)
    assert counts.tolist() == [[3, 1, 0], [1, 3, 0]]
    metrics = semantic_metrics(counts, ["ground", "roof"])
    assert metrics["miou"] == pytest.approx(3 / 5)
    assert metrics["pixel_accuracy"] == pytest.approx(6 / 8)
    assert metrics["mean_f1"] == pytest.approx(6 / 8)
    assert metrics["confusion"] == [[3, 1], [1, 3]]
    assert metrics["classes"][1] == {
        "name": "roof", "iou": 0.6, "precision": 0.75, "recall": 0.75, "f1": 0.75,
        "truth_px": 4, "predicted_px": 4,
    }  # fmt: skip


def test_unequal_classes_by_hand() -> None:
    """3 of 4 true pixels found with 2 false alarms: IoU 3 / 6, precision 3 / 5, recall 3 / 4."""
    counts = np.array([[10, 2], [1, 3]])
    ratios = class_ratios(counts)
    assert ratios["iou"].tolist() == pytest.approx([10 / 13, 3 / 6])
    assert ratios["precision"].tolist() == pytest.approx([10 / 11, 3 / 5])
    assert ratios["recall"].tolist() == pytest.approx([10 / 12, 3 / 4])
    assert ratios["f1"].tolist() == pytest.approx([20 / 23, 6 / 9])


def test_an_absent_class_has_no_figures_and_is_left_out_of_the_mean() -> None:
    metrics = semantic_metrics(counted(np.zeros((3, 3), int), np.zeros((3, 3), int)), "abc")
    assert metrics["miou"] == 1.0
    assert metrics["classes"][2]["iou"] is None
    assert metrics["classes"][2]["f1"] is None


def test_a_class_that_is_only_predicted_counts_as_zero() -> None:
    metrics = semantic_metrics(counted(np.array([0, 0, 0, 0]), np.array([0, 0, 0, 2])), "abc")
    assert metrics["miou"] == pytest.approx((3 / 4 + 0) / 2)
    assert metrics["classes"][2]["recall"] is None


def test_pixels_without_a_class_are_mistakes() -> None:
    metrics = semantic_metrics(counted(np.array([1, 1, 1, 255]), np.array([1, 255, 255, 1])), "abc")
    assert metrics["classes"][1]["recall"] == pytest.approx(1 / 3)
    assert metrics["classes"][1]["precision"] == 1.0
    assert metrics["pixel_accuracy"] == pytest.approx(1 / 3)
    assert metrics["without_class_px"] == [0, 2, 0]


def test_nothing_known_gives_no_figures() -> None:
    metrics = semantic_metrics(counted(np.full(4, 255), np.zeros(4, int)), "abc")
    assert metrics["miou"] is None
    assert metrics["pixel_accuracy"] is None


@given(truth=LABELS, found=LABELS)
def test_ratios_are_those_of_sets(truth: np.ndarray, found: np.ndarray) -> None:
    ratios = class_ratios(counted(truth, found))
    known = truth != 255
    for label in range(3):
        true, seen = (truth == label) & known, (found == label) & known
        both, either = (true & seen).sum(), (true | seen).sum()
        if either:
            assert ratios["iou"][label] == pytest.approx(both / either)
            assert ratios["f1"][label] == pytest.approx(2 * both / (true.sum() + seen.sum()))
        else:
            assert np.isnan(ratios["iou"][label])


@given(truth=LABELS)
def test_a_perfect_prediction_has_ones(truth: np.ndarray) -> None:
    found = np.where(truth == 255, 0, truth)
    metrics = semantic_metrics(counted(truth, found), "abc")
    expected = None if (truth == 255).all() else 1.0
    assert metrics["miou"] == metrics["pixel_accuracy"] == metrics["mean_f1"] == expected


@given(first=LABELS, second=LABELS)
def test_iou_is_symmetric_and_precision_becomes_recall(
    first: np.ndarray, second: np.ndarray
) -> None:
    both = (first != 255) & (second != 255)
    one = class_ratios(counted(first[both], second[both]))
    other = class_ratios(counted(second[both], first[both]))
    np.testing.assert_allclose(one["iou"], other["iou"])
    np.testing.assert_allclose(one["precision"], other["recall"])


@given(truth=LABELS, found=LABELS, cut=st.integers(0, 7))
def test_parts_add_up_to_the_whole(truth: np.ndarray, found: np.ndarray, cut: int) -> None:
    matrix = ConfusionMatrix(3)
    matrix.add(truth[:cut], found[:cut])
    matrix.add(truth[cut:], found[cut:])
    assert (matrix.counts == counted(truth, found)).all()
    assert matrix.pixels == (truth != 255).sum()


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="differ"):
        counted(np.zeros(3, int), np.zeros(4, int))
    with pytest.raises(ValueError, match="truth holds 7 with 3"):
        counted(np.array([0, 7]), np.array([0, 0]))
    with pytest.raises(ValueError, match="no class"):
        confusion_matrix(np.array([0, 1]), np.array([0, 255]), 2)
    with pytest.raises(ValueError, match="names"):
        semantic_metrics(np.eye(2, dtype=int), ["a"])
