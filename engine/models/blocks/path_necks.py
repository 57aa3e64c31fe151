"""Pyramids with more than one path, which FACENet is compared with (its table 8).

PAFPN: Liu, Qi, Qin, Shi, Jia, "Path aggregation network for instance segmentation", CVPR 2018,
section 3.1. BiFPN: Tan, Pang, Le, "EfficientDet: scalable and efficient object detection", CVPR
2020, section 3. Both return five maps at strides 4 to 64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from .detection_necks import LEVELS, WIDTH, FpnNeck, HighResolutionNeck, group_norm

NeckName = Literal["fpn", "pafpn", "bifpn", "hrfpn"]
FUSION_EPS = 1e-4


class PathAggregationNeck(nn.Module):
    """PAFPN: a feature pyramid and a path from fine to coarse behind it.

    Args:
        in_channels: Widths of the backbone's maps, finest first.
        width: Width of the pyramid.
    """

    def __init__(self, in_channels: Sequence[int], width: int = WIDTH) -> None:
        super().__init__()
        self.width = width
        self.top_down = FpnNeck(in_channels, width)
        steps = range(len(in_channels) - 1)
        self.shrink = nn.ModuleList(nn.Conv2d(width, width, 3, stride=2, padding=1) for _ in steps)
        self.outputs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in steps)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return five maps of the pyramid's width, finest first."""
        pyramid = self.top_down(maps)[: len(maps)]
        inner = [pyramid[0]]
        for layer, x in zip(self.shrink, pyramid[1:], strict=True):
            inner.append(x + layer(inner[-1]))
        levels = [inner[0]]
        levels += [layer(x) for layer, x in zip(self.outputs, inner[1:], strict=True)]
        return [*levels, functional.max_pool2d(levels[-1], 1, stride=2)]


class WeightedFusion(nn.Module):
    """Fast normalised fusion of maps of one size, then a separable convolution.

    Args:
        inputs: Number of maps.
        width: Their width.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(inputs))
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.pointwise = nn.Conv2d(width, width, 1)
        self.norm = group_norm(width)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the fused map; the shape is that of each input."""
        weights = functional.relu(self.weights)
        weights = weights / (weights.sum() + FUSION_EPS)
        mixed = torch.stack([w * x for w, x in zip(weights, maps, strict=True)]).sum(dim=0)
        fused: Tensor = self.norm(self.pointwise(self.depthwise(functional.silu(mixed))))
        return fused


class BiFpnLayer(nn.Module):
    """One pass down and up through all levels with learnt weights.

    Args:
        width: Width of the pyramid.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(WeightedFusion(2, width) for _ in range(LEVELS - 1))
        # The coarsest level has no map of the way down besides its own.
        self.up = nn.ModuleList(
            WeightedFusion(3 if level < LEVELS - 1 else 2, width) for level in range(1, LEVELS)
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return five maps of the shapes of the inputs."""
        inner = list(maps)
        for level in range(LEVELS - 2, -1, -1):
            above = functional.interpolate(inner[level + 1], size=maps[level].shape[-2:])
            inner[level] = self.down[level]([maps[level], above])
        levels = [inner[0]]
        for level in range(1, LEVELS):
            below = functional.adaptive_max_pool2d(levels[-1], maps[level].shape[-2:])
            parts = [maps[level], below]
            if level < LEVELS - 1:
                parts.insert(1, inner[level])
            levels.append(self.up[level - 1](parts))
        return levels


class BiFpnNeck(nn.Module):
    """BiFPN on four maps of a backbone; normalisation over groups, so that one image can train.

    Args:
        in_channels: Widths of the backbone's maps, finest first.
        width: Width of the pyramid.
        repeats: Number of passes.
    """

    def __init__(self, in_channels: Sequence[int], width: int = WIDTH, repeats: int = 3) -> None:
        super().__init__()
        self.width = width
        self.laterals = nn.ModuleList(nn.Conv2d(c, width, 1) for c in in_channels)
        self.coarsest = nn.Conv2d(in_channels[-1], width, 1)
        self.layers = nn.ModuleList(BiFpnLayer(width) for _ in range(repeats))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return five maps of the pyramid's width, finest first."""
        levels = [lateral(x) for lateral, x in zip(self.laterals, maps, strict=True)]
        pooled = functional.max_pool2d(self.coarsest(maps[-1]), 3, stride=2, padding=1)
        levels.append(pooled)
        for layer in self.layers:
            levels = layer(levels)
        return levels


def named_neck(name: str, in_channels: Sequence[int], width: int = WIDTH) -> nn.Module:
    """Return a pyramid by the name that the comparison uses.

    Raises:
        ValueError: If the name is not one of :data:`NeckName`.
    """
    if name == "fpn":
        return FpnNeck(in_channels, width)
    if name == "hrfpn":
        return HighResolutionNeck(in_channels, width)
    if name == "pafpn":
        return PathAggregationNeck(in_channels, width)
    if name == "bifpn":
        return BiFpnNeck(in_channels, width)
    raise ValueError(f"neck {name!r} is not fpn, hrfpn, pafpn or bifpn")
