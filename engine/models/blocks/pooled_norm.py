"""Batch normalisation of features that are averaged over the image, for batches of one image.

One value per channel has no variance, and torch refuses it in training. Ioffe, Szegedy, "Batch
normalization", ICML 2015, section 3.1, uses running statistics in inference; here they also
stand in where a batch has none.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class PooledBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that uses the running statistics for one value per channel."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised ``[N, C, H, W]``; a single value changes no statistics."""
        if not self.training or input.shape[0] * input.shape[2] * input.shape[3] > 1:
            return super().forward(input)
        return functional.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


def allow_single_values(network: nn.Module) -> None:
    """Make the normalisations of a network, in place, those that take one value per channel.

    Names and values of the state do not change.
    """
    for module in network.modules():
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(module, name, _pooled(child))


def _pooled(norm: nn.BatchNorm2d) -> PooledBatchNorm2d:
    """Return the same normalisation, parameters and buffers shared."""
    pooled = PooledBatchNorm2d(
        norm.num_features,
        eps=norm.eps,
        momentum=norm.momentum,
        affine=norm.affine,
        track_running_stats=norm.track_running_stats,
    )
    pooled._parameters.update(norm._parameters)
    pooled._buffers.update(norm._buffers)
    pooled.train(norm.training)
    return pooled
