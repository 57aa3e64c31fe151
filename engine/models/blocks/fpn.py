"""Feature pyramid and the light-weight decoder on it, as in FarSeg and its baseline.

Lin, Dollár, Girshick, He, Hariharan, Belongie, "Feature pyramid networks for object detection",
CVPR 2017. Decoder: Zheng, Zhong, Wang, Ma, CVPR 2020, section 3.3 and eq. 6; the same decoder as
in Kirillov, Girshick, He, Dollár, "Panoptic feature pyramid networks", CVPR 2019, with a mean
instead of a sum.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class FeaturePyramid(nn.Module):
    """Top-down pathway: 1×1 laterals, nearest upsampling, a 3×3 convolution per level.

    Args:
        in_channels: Widths of the backbone's maps, finest first.
        width: Width of all pyramid maps.
    """

    def __init__(self, in_channels: Sequence[int], width: int = 256) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(c, width, 1, bias=False) for c in in_channels)
        self.outputs = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in in_channels
        )
        for layer in (*self.laterals, *self.outputs):
            nn.init.kaiming_uniform_(layer.weight, a=1)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return one map of the pyramid's width per input map, finest first."""
        inner = [lateral(x) for lateral, x in zip(self.laterals, maps, strict=True)]
        for level in range(len(inner) - 2, -1, -1):
            above = functional.interpolate(inner[level + 1], size=inner[level].shape[-2:])
            inner[level] = inner[level] + above
        return [layer(x) for layer, x in zip(self.outputs, inner, strict=True)]


class PyramidDecoder(nn.Module):
    """Light-weight decoder: every level to stride 4, averaged.

    Level ``i`` (0 is stride 4) runs through ``max(1, i)`` units of 3×3 convolution, batch
    normalisation and ReLU, each followed by a bilinear ×2 if ``i > 0``.

    Args:
        in_channels: Width of the pyramid's maps.
        width: Width of the result.
        levels: Number of pyramid levels.
        align_corners: How maps are enlarged.
    """

    def __init__(
        self,
        in_channels: int = 256,
        width: int = 128,
        *,
        levels: int = 4,
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            _branch(in_channels, width, level, align_corners) for level in range(levels)
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the mean of the decoded levels, float ``[N, width, H/4, W/4]``."""
        decoded = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        return torch.stack(decoded).mean(dim=0)


def _branch(in_channels: int, width: int, level: int, align_corners: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for unit in range(max(1, level)):
        layers += [
            nn.Conv2d(width if unit else in_channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        if level > 0:
            layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=align_corners))
    return nn.Sequential(*layers)
