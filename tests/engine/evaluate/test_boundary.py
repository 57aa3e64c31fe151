"""Boundary F1 on shapes whose outlines can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from engine.evaluate import boundary
from engine.evaluate.boundary import BoundaryCounts, boundary_pixels

LABELS = arrays(np.uint8, (9, 13), elements=st.sampled_from([0, 1, 2]))


def square(top: int, left: int, side: int = 6, shape: tuple[int, int] = (37, 61)) -> np.ndarray:
    labels = np.zeros(shape, np.uint8)
    labels[top : top + side, left : left + side] = 1
    return labels


def f1(truth: np.ndarray, found: np.ndarray, tolerance: float, **options: object) -> dict:
    counts = BoundaryCounts(2, tolerance, **options)
    counts.add(truth, found)
    return counts.metrics(["ground", "roof"])["classes"][1]


def test_the_outline_of_a_square_of_six_has_twenty_pixels() -> None:
    labels = square(10, 20)
    edge = boundary_pixels(labels, np.ones(labels.shape, bool))
    assert (edge & (labels == 1)).sum() == 20
    assert (edge & (labels == 0)).sum() == 24  # corners touch diagonally only


def test_a_square_shifted_by_two_columns_by_hand() -> None:
    """At a tolerance of 1: 5 of 6 pixels of the top row and 5 of the bottom row are near.

    The inner 4 pixels of the left column lie in the middle of the other square: the first and
    last are 1 away from its top and bottom row. Those of the right column are 2 away. So 12 of
    20, and the same the other way round.
    """
    truth, found = square(10, 20), square(10, 22)
    scores = f1(truth, found, 1.0)
    assert (scores["precision"], scores["recall"], scores["f1"]) == pytest.approx((0.6,) * 3)
    assert f1(truth, found, 2.0)["f1"] == 1.0


def test_far_apart_and_missing_outlines_score_zero() -> None:
    truth = square(3, 3)
    assert f1(truth, square(25, 50), 3.0)["f1"] == 0.0
    missed = f1(truth, np.zeros_like(truth), 3.0)
    assert (missed["f1"], missed["recall"], missed["precision"]) == (0.0, 0.0, None)
    nothing = f1(np.zeros_like(truth), np.zeros_like(truth), 3.0)
    assert nothing["f1"] is None


def test_a_tolerance_in_metres_knows_pixels_that_are_not_square() -> None:
    """Pixels 1 m high and 2 m wide: two rows down are 2 m, two columns aside are 4 m."""
    truth = np.zeros((37, 61), np.uint8)
    truth[15:, :] = 1
    down = np.roll(truth, 2, axis=0)
    down[:2] = 0
    assert f1(truth, down, 2.0, steps=(1.0, 2.0))["f1"] == 1.0
    assert f1(truth, down, 1.99, steps=(1.0, 2.0))["f1"] == 0.0
    assert f1(truth.T, down.T, 2.0, steps=(1.0, 2.0))["f1"] == 0.0
    assert f1(truth.T, down.T, 4.0, steps=(1.0, 2.0))["f1"] == 1.0


def test_ignored_ground_makes_no_outline() -> None:
    truth = square(10, 20)
    truth[:, :23] = 255
    edge = boundary_pixels(truth, truth != 255)
    assert (edge & (truth == 1)).sum() == 3 + 3 + 4  # top, bottom and right of three columns
    assert f1(truth, square(10, 20), 0.0)["f1"] == 1.0


@settings(max_examples=60)
@given(truth=LABELS, found=LABELS, tolerance=st.floats(0, 4))
def test_distances_are_those_of_the_distance_transform(
    truth: np.ndarray, found: np.ndarray, tolerance: float
) -> None:
    counts = BoundaryCounts(3, tolerance)
    counts.add(truth, found)
    known = np.ones(truth.shape, bool)
    for label in range(3):
        edges = [boundary_pixels(x, known) & (x == label) for x in (truth, found)]
        expected = [0, int(edges[1].sum()), 0, int(edges[0].sum())]
        if edges[0].any() and edges[1].any():
            limit = tolerance + 1e-6
            expected[0] = int((ndimage.distance_transform_edt(~edges[0])[edges[1]] <= limit).sum())
            expected[2] = int((ndimage.distance_transform_edt(~edges[1])[edges[0]] <= limit).sum())
        assert counts.counts[label].tolist() == expected


@given(truth=LABELS, found=LABELS, tolerance=st.sampled_from([0.0, 1.0, 1.5, 3.0]))
def test_strips_with_their_halo_add_up_to_the_whole(
    truth: np.ndarray, found: np.ndarray, tolerance: float
) -> None:
    whole, strips = BoundaryCounts(3, tolerance), BoundaryCounts(3, tolerance)
    whole.add(truth, found)
    halo = strips.halo_px
    for row in range(0, 9, 2):
        low, high = max(0, row - halo), min(9, row + 2 + halo)
        strips.add(truth[low:high], found[low:high], slice(row - low, row - low + 2))
    assert (whole.counts == strips.counts).all()


@settings(max_examples=40)
@given(truth=LABELS, found=LABELS, tolerance=st.floats(0, 9), row_step=st.sampled_from([0.5, 1, 2]))
def test_the_search_tree_of_large_tolerances_counts_the_same(
    truth: np.ndarray, found: np.ndarray, tolerance: float, row_step: float
) -> None:
    near, far = (BoundaryCounts(3, tolerance, (row_step, 1.0)) for _ in range(2))
    near.add(truth, found, slice(2, 8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boundary, "MOST_OFFSETS", 0)
        far.add(truth, found, slice(2, 8))
    assert (near.counts == far.counts).all()


@given(labels=LABELS)
def test_labels_agree_with_themselves(labels: np.ndarray) -> None:
    counts = BoundaryCounts(3, 0.0)
    counts.add(labels, labels)
    score = counts.metrics("abc")["mean_f1"]
    assert score == (1.0 if len(np.unique(labels)) > 1 else None)
