"""Pyramids of the instance networks: five maps at strides 4 to 64."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

WIDTH = 256
LEVELS = 5
GROUPS = 32
LEAST_PER_GROUP = 4


def group_norm(width: int) -> nn.GroupNorm:
    """Return a normalisation over 32 groups of channels, fewer for narrow maps.

    A group has at least four channels, so that a map of one pixel can be normalised too.
    """
    return nn.GroupNorm(math.gcd(GROUPS, max(1, width // LEAST_PER_GROUP)), width)


class FpnNeck(nn.Module):
    """Feature pyramid with biases and a fifth level by subsampling.

    Lin, Dollár, Girshick, He, Hariharan, Belongie, "Feature pyramid networks for object
    detection", CVPR 2017.

    Args:
        in_channels: Widths of the backbone's maps, finest first.
        width: Width of the pyramid.
    """

    def __init__(self, in_channels: Sequence[int], width: int = WIDTH) -> None:
        super().__init__()
        self.width = width
        self.pyramid = FeaturePyramidNetwork(
            list(in_channels), width, extra_blocks=LastLevelMaxPool()
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return five maps of the pyramid's width, finest first."""
        named: dict[str, Tensor] = self.pyramid({str(i): x for i, x in enumerate(maps)})
        return list(named.values())


class HighResolutionNeck(nn.Module):
    """HRFPN: all maps to stride 4, mixed, then averaged down to each level.

    Sun, Zhao, Jiang, Cheng, Xiao, Liu, Mu, Wang, Liu, Wang, "High-resolution representations for
    labeling pixels and regions", 2019, arXiv:1904.04514, figure 3 (HRNetV2p).

    Args:
        in_channels: Widths of the backbone's maps, finest first.
        width: Width of the pyramid.
    """

    def __init__(self, in_channels: Sequence[int], width: int = WIDTH) -> None:
        super().__init__()
        self.width = width
        self.mix = nn.Conv2d(sum(in_channels), width, 1)
        self.outputs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(LEVELS))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return five maps of the pyramid's width, finest first."""
        size = maps[0].shape[-2:]
        enlarged = [
            functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
            for x in maps[1:]
        ]
        mixed = self.mix(torch.cat([maps[0], *enlarged], dim=1))
        return [
            layer(functional.avg_pool2d(mixed, 2**level, ceil_mode=min(size) < 2**level))
            for level, layer in enumerate(self.outputs)
        ]
