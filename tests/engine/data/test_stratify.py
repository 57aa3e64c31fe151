"""Sharing out: wanted shares, each class in every part where that is possible."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.stratify import share_out


def test_shares_are_met_with_one_class():
    parts = share_out(np.ones((100, 1)), (70, 15, 15), seed=3)
    assert np.bincount(parts).tolist() == [70, 15, 15]


@given(st.integers(3, 60), st.integers(1, 6), st.integers(0, 99))
@settings(deadline=None)
def test_every_class_is_in_every_part_if_alone_possible(count, classes, seed):
    """One class per item: a class with three items or more is in all three parts."""
    rng = np.random.default_rng(seed)
    owner = rng.integers(0, classes, count)
    amounts = np.zeros((count, classes))
    amounts[np.arange(count), owner] = rng.random(count) + 0.01
    parts = share_out(amounts, (70, 15, 15), seed=seed)
    assert set(parts) == {0, 1, 2}
    for class_id in range(classes):
        mine = parts[owner == class_id]
        assert len(set(mine)) == min(3, len(mine))


@pytest.mark.parametrize(("shares", "allowed"), [((100, 0, 0), {0}), ((80, 20, 0), {0, 1})])
def test_parts_without_a_share_stay_empty(shares, allowed):
    assert set(share_out(np.ones((30, 2)), shares, seed=0)) == allowed


def test_the_seed_decides_and_items_without_class_are_shared_out_too():
    amounts = np.zeros((40, 0))
    assert np.array_equal(
        share_out(amounts, (50, 25, 25), seed=1), share_out(amounts, (2, 1, 1), seed=1)
    )
    assert not np.array_equal(
        share_out(amounts, (2, 1, 1), seed=1), share_out(amounts, (2, 1, 1), seed=2)
    )
    assert np.bincount(share_out(amounts, (2, 1, 1), seed=1)).tolist() == [20, 10, 10]


def test_amounts_count_not_items():
    """One item holds as much as the nine others: its part gets fewer of them."""
    amounts = np.array([[9.0]] + [[1.0]] * 9)
    parts = share_out(amounts, (50, 50, 0), seed=0)
    sums, counts = np.bincount(parts, amounts[:, 0]), np.bincount(parts)
    assert sums.max() <= 12 and counts.min() >= 3


def test_shares_of_items_are_met_with_uneven_amounts():
    amounts = np.random.default_rng(0).random((200, 3)) ** 4
    parts = share_out(amounts, (70, 15, 15), seed=0)
    assert np.abs(np.bincount(parts) / 200 - [0.7, 0.15, 0.15]).max() <= 0.05
    sums = np.array([amounts[parts == part].sum(axis=0) for part in range(3)])
    assert np.abs(sums / amounts.sum(axis=0) - [[0.7], [0.15], [0.15]]).max() <= 0.06


def test_items_without_ground_do_not_count():
    """Three blocks with data among 30 empty ones: one for each part."""
    sizes = np.zeros(33)
    sizes[[4, 15, 30]] = 100.0
    parts = share_out(np.zeros((33, 0)), (70, 15, 15), seed=0, sizes=sizes)
    assert sorted(parts[[4, 15, 30]]) == [0, 1, 2]
    assert set(parts[sizes == 0]) == {0}
