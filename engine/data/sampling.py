"""Which chips make up an epoch, in which order, and which process takes which of them.

The order depends on seed and epoch only. All processes cut the same global batches, so two
processes with ``batch`` chips each see in every step what one process with twice the batch sees.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_ORDER_STREAM = 1


class Draw(NamedTuple):
    """One chip of an epoch; epoch and position seed its augmentation."""

    chip: int
    epoch: int
    position: int


def epoch_order(
    empty: NDArray[np.bool_], *, seed: int, epoch: int, empty_ratio: float = 1.0, repeat: int = 1
) -> NDArray[np.int64]:
    """Return the chips of an epoch in random order.

    Args:
        empty: Which chips hold no object, ``[n]``.
        seed: Seed of the training.
        epoch: Number of the epoch, from 0.
        empty_ratio: Largest share of empty chips in the epoch; another part of them is drawn
            in each epoch. Does nothing if all chips are empty.
        repeat: How often each chip comes.

    Raises:
        ValueError: If there is no chip.
    """
    if not len(empty):
        raise ValueError("no chips")
    rng = np.random.default_rng((seed, _ORDER_STREAM, epoch))
    full, bare = np.flatnonzero(~empty), np.flatnonzero(empty)
    most = most_empty(len(full), empty_ratio)
    if len(full) and len(bare) > most:
        bare = rng.choice(bare, most, replace=False)
    chosen = np.tile(np.concatenate((full, bare)), repeat)
    return rng.permutation(chosen).astype(np.int64)


def most_empty(full: int, empty_ratio: float) -> int:
    """Return how many empty chips go with ``full`` others so that their share is not exceeded."""
    if empty_ratio >= 1:
        return np.iinfo(np.int64).max
    return math.floor(full * empty_ratio / (1 - empty_ratio) + 1e-9)


@dataclass(frozen=True)
class EpochBatches:
    """The batches of one process in one epoch; a batch sampler of torch's data loader.

    The last global batch is filled up from the start of the order, so that all batches are full.

    Attributes:
        order: Chips of the epoch, see :func:`epoch_order`.
        epoch: Number of the epoch.
        batch: Chips per process and batch.
        rank: Number of this process.
        world: Number of processes.
        start: First batch that is still to come (a training that continues in mid-epoch).
    """

    order: NDArray[np.int64]
    epoch: int
    batch: int
    rank: int = 0
    world: int = 1
    start: int = 0

    @property
    def total(self) -> int:
        """Batches of the whole epoch."""
        return math.ceil(len(self.order) / (self.batch * self.world))

    def __len__(self) -> int:
        return max(0, self.total - self.start)

    def __iter__(self) -> Iterator[list[Draw]]:
        for number in range(self.start, self.total):
            first = (number * self.world + self.rank) * self.batch
            yield [self._draw(first + i) for i in range(self.batch)]

    def _draw(self, position: int) -> Draw:
        return Draw(int(self.order[position % len(self.order)]), self.epoch, position)


def shard(count: int, *, rank: int, world: int) -> Sequence[int]:
    """Return the chips that a process validates: every ``world``-th one, without repeats."""
    return range(rank, count, world)
