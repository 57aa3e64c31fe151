"""Batch normalisation over all processes on the CPU, where torch's own works on GPUs only.

With statistics of the whole global batch, two processes compute what one process with twice
the batch does. The names of parameters and buffers are those of ``nn.BatchNorm2d``.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn

from ..models.blocks.pooled_norm import PooledBatchNorm2d

PLAIN = (nn.BatchNorm2d, PooledBatchNorm2d)


class SumOverProcesses(torch.autograd.Function):
    """Sum of a tensor over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """Return the sum."""
        total = values.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Return the sum of the gradients."""
        total = gradients[0].contiguous().clone()
        torch.distributed.all_reduce(total)
        return total


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation whose mean and variance are those of all processes together."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``[N, C, H, W]``; every process must take part in training mode."""
        if not (self.training and torch.distributed.is_initialized()):
            return super().forward(x)
        values = x if x.dtype == torch.float64 else x.float()
        wide = torch.float64  # the difference of two large sums must stay exact
        count = torch.full((1,), values.numel() // values.shape[1], dtype=wide, device=x.device)
        first = values.sum((0, 2, 3), dtype=wide)
        second = values.square().sum((0, 2, 3), dtype=wide)
        sums = SumOverProcesses.apply(torch.cat((first, second, count)))
        total = sums[-1]
        mean, square = (sums[:-1] / total).chunk(2)
        variance = (square - mean.square()).clamp_min(0)
        self._follow(mean.detach(), variance.detach() * total / (total - 1).clamp_min(1))
        scale = torch.rsqrt(variance + self.eps)
        shift = -mean * scale
        if self.affine:
            scale, shift = scale * self.weight, shift * self.weight + self.bias
        scale, shift = scale.to(values.dtype), shift.to(values.dtype)
        result: Tensor = values * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)
        return result.to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        count = self.num_batches_tracked
        if self.running_mean is None or self.running_var is None or count is None:
            return
        count.add_(1)
        share = self.momentum if self.momentum is not None else 1 / float(count)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance.to(self.running_var.dtype), share)


class SyncedNormAct2d(SyncedBatchNorm2d):
    """The same with the dropout and the activation of timm's ``BatchNormAct2d`` behind it."""

    drop: nn.Module
    act: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """Normalise and activate ``[N, C, H, W]``."""
        result: Tensor = self.act(self.drop(super().forward(x)))
        return result


def sync_batch_norm(network: nn.Module) -> nn.Module:
    """Replace every ``BatchNorm2d`` in place by its synchronised form; return the network.

    Those of timm that activate, too, and those that allow single values are among them; other
    subclasses stay as they are.
    """
    if isinstance(network, BatchNormAct2d):
        fused = SyncedNormAct2d(network.num_features)
        fused.drop, fused.act = network.drop, network.act
        return _take_over(fused, network)
    if isinstance(network, nn.BatchNorm2d) and type(network) in PLAIN:
        return _take_over(SyncedBatchNorm2d(network.num_features), network)
    for name, child in network.named_children():
        setattr(network, name, sync_batch_norm(child))
    return network


def _take_over(synced: SyncedBatchNorm2d, layer: nn.BatchNorm2d) -> SyncedBatchNorm2d:
    """Give a new layer the settings, the parameters and the buffers of another one."""
    synced.eps, synced.momentum, synced.affine = layer.eps, layer.momentum, layer.affine
    synced.track_running_stats = layer.track_running_stats
    synced._parameters.update(layer._parameters)
    synced._buffers.update(layer._buffers)
    return synced.train(layer.training)
