"""Order of an epoch, shares of empty chips, and what each process sees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.sampling import EpochBatches, epoch_order, most_empty, shard


def flags(full: int, bare: int) -> np.ndarray:
    return np.array([False] * full + [True] * bare)


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    first = epoch_order(flags(20, 5), seed=3, epoch=4)
    assert first.tolist() == epoch_order(flags(20, 5), seed=3, epoch=4).tolist()
    assert first.tolist() != epoch_order(flags(20, 5), seed=3, epoch=5).tolist()
    assert first.tolist() != epoch_order(flags(20, 5), seed=4, epoch=4).tolist()
    assert sorted(first.tolist()) == list(range(25))


@given(full=st.integers(1, 40), bare=st.integers(0, 40), ratio=st.floats(0, 0.99))
def test_empty_chips_never_exceed_their_share(full: int, bare: int, ratio: float) -> None:
    order = epoch_order(flags(full, bare), seed=1, epoch=2, empty_ratio=ratio)
    empty = int((order >= full).sum())
    assert empty <= ratio * len(order) + 1e-6
    assert sorted(order[order < full].tolist()) == list(range(full))
    more = empty + 1
    assert empty == bare or more > ratio * (full + more) - 1e-6  # no more would fit


def test_other_empty_chips_in_other_epochs() -> None:
    seen = {
        int(i)
        for epoch in range(30)
        for i in epoch_order(flags(4, 8), seed=0, epoch=epoch, empty_ratio=0.2)
    }
    assert seen == set(range(12))
    assert most_empty(4, 0.2) == 1


def test_all_empty_stays_all_and_none_is_refused() -> None:
    assert len(epoch_order(flags(0, 5), seed=0, epoch=0, empty_ratio=0.1)) == 5
    with pytest.raises(ValueError, match="no chips"):
        epoch_order(flags(0, 0), seed=0, epoch=0)


def test_repeats_come_as_often_as_asked() -> None:
    order = epoch_order(flags(3, 0), seed=0, epoch=0, repeat=5)
    assert np.bincount(order).tolist() == [5, 5, 5]


@given(count=st.integers(1, 30), batch=st.integers(1, 5), world=st.integers(1, 4))
def test_processes_together_see_what_one_with_the_whole_batch_sees(
    count: int, batch: int, world: int
) -> None:
    order = np.random.default_rng(count).permutation(count)
    one = list(EpochBatches(order, 2, batch * world))
    parts = [list(EpochBatches(order, 2, batch, rank=r, world=world)) for r in range(world)]
    joined = [[d for part in step for d in part] for step in zip(*parts, strict=True)]
    assert joined == one
    assert all(len(b) == batch * world for b in one)
    assert {d.chip for b in one for d in b} == set(range(count))


@given(count=st.integers(1, 30), batch=st.integers(1, 5), start=st.integers(0, 40))
def test_a_later_start_gives_the_rest(count: int, batch: int, start: int) -> None:
    order = np.arange(count)
    rest = EpochBatches(order, 0, batch, start=start)
    assert list(rest) == list(EpochBatches(order, 0, batch))[start:]
    assert len(rest) == len(list(rest))


def test_validation_chips_are_shared_out_once_each() -> None:
    parts = [list(shard(7, rank=r, world=3)) for r in range(3)]
    assert sorted(i for part in parts for i in part) == list(range(7))
