"""Lightning module of momentum contrast: the same keeper, checkpoints and resume as training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .module import TrainModule


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
