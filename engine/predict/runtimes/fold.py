"""Batch normalisation folded into the convolutions before it.

In evaluation ``norm(conv(x))`` is one convolution with other weights: ``w' = w g / s`` and
``b' = (b - m) g / s + o`` with mean m, deviation s, gain g and offset o of the normalisation
(Jacob et al., CVPR 2018, eq. 14). That saves a pass over memory per layer, and a rounding in bf16.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import resnet

from ...models.blocks.pooled_norm import PooledBatchNorm2d

NORMS = (nn.BatchNorm2d, PooledBatchNorm2d)
"""Normalisations that are the plain one in evaluation."""
RESNET_PARTS = (resnet.ResNet, resnet.BasicBlock, resnet.Bottleneck)
RESNET_PAIRS = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))


def fold_norms(network: nn.Module) -> None:
    """Fold what can be folded, in place: layers are replaced, none is changed.

    Pairs are neighbours in a plain ``nn.Sequential`` and the parts of torchvision's ResNets.

    Args:
        network: In evaluation mode.
    """
    for module in list(network.modules()):
        for first, second in _pairs(module):
            conv, norm = getattr(module, first), getattr(module, second)
            if _fits(conv, norm):
                setattr(module, first, fuse_conv_bn_eval(conv, norm))
                setattr(module, second, nn.Identity())


def _pairs(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield the names of children that run one right after the other."""
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        names = [name for name, _ in module.named_children()]
        yield from pairwise(names)
    elif isinstance(module, RESNET_PARTS):
        yield from (p for p in RESNET_PAIRS if hasattr(module, p[0]) and hasattr(module, p[1]))


def _fits(conv: nn.Module, norm: nn.Module) -> bool:
    return (
        type(conv) is nn.Conv2d
        and isinstance(norm, nn.BatchNorm2d)
        and type(norm) in NORMS
        and norm.running_mean is not None
        and conv.out_channels == norm.num_features
        and not norm.training
    )
