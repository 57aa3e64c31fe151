"""Loaders of chips: training batches from where the training stands, validation in shares."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Subset

from ..data.dataset import ChipDataset
from ..data.sampling import EpochBatches, epoch_order, shard
from .checkpoint import TrainingState
from .chip_loader import ChipLoader, Collate
from .recipe import Recipe

MOST_WORKERS = 8
LEAST_BATCHES_FOR_WORKERS = 8


class ChipLoaders(LightningDataModule):
    """Train and validation loaders of one process.

    Args:
        train: Chips to learn from.
        val: Chips that choose the best weights.
        empty: Which training chips hold no object.
        recipe: Batch, repeats and share of empty chips.
        state: Where the training stands: epoch and batch.
        collate: Makes a batch of samples.
        seed: Seed of the order.
        workers: Processes that read chips; -1 means automatic.
    """

    def __init__(
        self,
        train: ChipDataset,
        val: ChipDataset,
        empty: NDArray[np.bool_],
        recipe: Recipe,
        state: TrainingState,
        *,
        collate: Collate,
        seed: int,
        workers: int = -1,
    ) -> None:
        super().__init__()
        self.train, self.val, self.empty = train, val, empty
        self.recipe, self.state = recipe, state
        self.collate, self.seed, self.workers = collate, seed, workers
        self.rank, self.world, self.pin_memory = 0, 1, False

    def batches(self, epoch: int, start: int = 0) -> EpochBatches:
        """Return the batches of an epoch, counted over all stages."""
        order = epoch_order(
            self.empty,
            seed=self.seed,
            epoch=epoch,
            empty_ratio=self.recipe.empty_ratio,
            repeat=self.recipe.repeat,
        )
        return EpochBatches(
            order, epoch, self.recipe.batch, rank=self.rank, world=self.world, start=start
        )

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the rest of the current epoch; asked for at the start of each epoch."""
        stage_offset = self.state.stage << 20
        batches = self.batches(stage_offset + self.state.epoch, self.state.batch)
        return ChipLoader(
            self.train,
            self.collate,
            batch_sampler=batches,
            **self._reading(len(batches)),
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """Return this process's share of the validation chips."""
        chosen = shard(len(self.val), rank=self.rank, world=self.world)
        return ChipLoader(
            Subset(self.val, list(chosen)),
            self.collate,
            batch_size=max(1, min(self.recipe.batch, 4)),
            shuffle=False,
            **self._reading(len(chosen) // 4),
        )

    def _reading(self, batches: int) -> dict[str, Any]:
        workers = self.workers
        if workers < 0:
            workers = automatic_workers(batches, self.world)
        if workers == 0:
            return {"num_workers": 0, "pin_memory": self.pin_memory}
        return {"num_workers": workers, "pin_memory": self.pin_memory, "prefetch_factor": 2}


def automatic_workers(batches: int, world: int) -> int:
    """Return how many processes read chips: cores but one, shared by all ranks.

    None where an epoch is too short to be worth the start of processes, and none where
    processes start slowly (no fork).
    """
    if batches < LEAST_BATCHES_FOR_WORKERS or not hasattr(os, "fork"):
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    return max(0, min(MOST_WORKERS, (cores - 1) // world))
