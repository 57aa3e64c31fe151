"""Lightning module of momentum contrast: the same keeper, checkpoints and resume as training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from ..data.sampling import EpochBatches, epoch_order
from ..data.views import ViewPairs
from .checkpoint import TrainingState
from .module import TrainModule
from .recipe import Recipe


class ContrastModule(TrainModule):
    """Pre-training of a backbone; the network is a ``MomentumContrast``."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the contrastive loss of a batch of pairs."""
        first, second = (v.contiguous(memory_format=torch.channels_last) for v in batch)
        losses: dict[str, Tensor] = self.network(first, second)
        return losses["loss"]

    def metric(self) -> str:
        """There is no validation."""
        return ""


class PairLoader(LightningDataModule):
    """Loader of view pairs from where the pre-training stands."""

    def __init__(self, data: ViewPairs, recipe: Recipe, state: TrainingState, seed: int) -> None:
        super().__init__()
        self.data, self.recipe, self.state, self.seed = data, recipe, state, seed

    def batches(self, epoch: int, start: int = 0) -> EpochBatches:
        """Return the batches of an epoch."""
        order = epoch_order(np.zeros(len(self.data), bool), seed=self.seed, epoch=epoch)
        return EpochBatches(order, epoch, self.recipe.batch, start=start)

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the rest of the current epoch."""
        batches = self.batches(self.state.epoch, self.state.batch)
        return DataLoader(self.data, batch_sampler=batches)
