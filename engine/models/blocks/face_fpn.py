"""FACENet's neck: semantic enhancement module and feature aggregation and enhancement pyramid.

The paper "FACENet" (see :mod:`engine.models.facenet`), eqs. 1 to 7. Sub-pixel laterals,
sub-pixel context enhancement and channel attention guidance come from Luo, Cao, Zhang, Zheng, Cui,
"CE-FPN: enhancing channel information for object detection", 2021, arXiv:2103.10643; the
pyramid pooling from Chen, Papandreou, Schroff, Adam, arXiv:1706.05587.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .detection_necks import WIDTH

RATES = (6, 12, 18)


class SemanticEnhancement(nn.Module):
    """SEM (eqs. 6 and 7): three dilated convolutions beside a shortcut.

    Args:
        channels: Width of input and output.
        width: Width inside.
    """

    def __init__(self, channels: int, width: int = 128) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, width, 1)
        self.dilated = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=rate, dilation=rate) for rate in (1, 2, 3)
        )
        self.expand = nn.Conv2d(width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the enhanced map; the shape stays."""
        inner = self.reduce(x)
        total = torch.stack([layer(inner) for layer in self.dilated]).sum(dim=0)
        enhanced: Tensor = x + self.expand(total)
        return enhanced


class SubPixelContext(nn.Module):
    """SCE (eq. 3): three views of the coarsest map, twice its size, summed.

    Args:
        in_channels: Width of the coarsest map.
        width: Width of the result.
    """

    def __init__(self, in_channels: int, width: int = WIDTH) -> None:
        super().__init__()
        self.local = nn.Conv2d(in_channels, 4 * width, 3, padding=1)
        self.wide = nn.Conv2d(in_channels, 16 * width, 1)
        self.scene = nn.Conv2d(in_channels, width, 1)
        for layer in (self.local, self.wide, self.scene):
            _xavier(layer)

    def forward(self, x: Tensor) -> Tensor:
        """Return float ``[N, width, 2h, 2w]`` for float ``[N, in_channels, h, w]``."""
        local = functional.pixel_shuffle(self.local(x), 2)
        pooled = functional.max_pool2d(x, 3, stride=2, padding=1)
        wide = functional.pixel_shuffle(self.wide(pooled), 4)
        scene: Tensor = self.scene(x.mean(dim=(2, 3), keepdim=True))
        return local + _nearest(wide, local) + scene


class PyramidPooling(nn.Module):
    """ASPP: 1×1, three dilated 3×3 and the scene, concatenated and mixed.

    The branch of the scene is normalised over its channels: its map is one pixel large.

    Args:
        channels: Width of input and output.
        width: Width of each branch.
    """

    def __init__(self, channels: int = WIDTH, width: int = 64) -> None:
        super().__init__()
        self.branches = nn.ModuleList([_pooling_branch(channels, width, 1, 1)])
        self.branches.extend(_pooling_branch(channels, width, 3, rate) for rate in RATES)
        self.scene = nn.Sequential(
            nn.Conv2d(channels, width, 1, bias=False),
            nn.GroupNorm(1, width),
            nn.ReLU(inplace=True),
        )
        self.mix = _pooling_branch((len(RATES) + 2) * width, channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled map; the shape stays."""
        scene = self.scene(x.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        mixed: Tensor = self.mix(torch.cat([*(b(x) for b in self.branches), scene], dim=1))
        return mixed


class ChannelAttention(nn.Module):
    """CAG (eqs. 4 and 5): channel weights from mean and maximum of the integrated map.

    Args:
        width: Width of the integrated map.
        relu: Whether a ReLU follows each projection, as in CE-FPN's code.
    """

    def __init__(self, width: int = WIDTH, *, relu: bool = False) -> None:
        super().__init__()
        self.of_mean = nn.Conv2d(width, width, 1)
        self.of_max = nn.Conv2d(width, width, 1)
        self.activation = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return weights in (0, 1), float ``[N, width, 1, 1]``."""
        mean = self.activation(self.of_mean(x.mean(dim=(2, 3), keepdim=True)))
        largest = self.activation(self.of_max(x.amax(dim=(2, 3), keepdim=True)))
        weights: Tensor = (mean + largest).sigmoid()
        return weights


class FaceFpn(nn.Module):
    """FACE-FPN (eqs. 1 to 5): from four maps of a backbone to five of one width.

    Args:
        in_channels: Widths of the backbone's maps, finest first, multiples of four.
        width: Width of the pyramid.
        cag_relu: See :class:`ChannelAttention`.
    """

    def __init__(
        self, in_channels: Sequence[int], width: int = WIDTH, *, cag_relu: bool = False
    ) -> None:
        super().__init__()
        self.width = width
        self.laterals = nn.ModuleList(nn.Conv2d(c, width, 1) for c in in_channels[:3])
        self.sub_pixel = nn.ModuleList(nn.Conv2d(c // 4, width, 1) for c in in_channels[2:])
        self.pooling = nn.ModuleList(PyramidPooling(width) for _ in range(3))
        self.context = SubPixelContext(in_channels[3], width)
        self.attention = ChannelAttention(width, relu=cag_relu)
        for layer in (*self.laterals, *self.sub_pixel):
            _xavier(layer)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return five maps at strides 4 to 64 of maps whose sizes halve exactly."""
        b2, b3, b4, b5 = maps
        f2 = self.laterals[0](b2)
        f3 = self.laterals[1](b3) + self.sub_pixel[0](functional.pixel_shuffle(b4, 2))
        f4 = self.laterals[2](b4) + self.sub_pixel[1](functional.pixel_shuffle(b5, 2))
        f2, f3, p4 = (pool(x) for pool, x in zip(self.pooling, (f2, f3, f4), strict=True))
        p3 = f3 + _nearest(p4, f3)
        p2 = f2 + _nearest(p3, f2)
        integrated = self.integrate(b5, p2, p3, p4)
        weights = self.attention(integrated)
        guided = [
            _nearest(integrated, f2) + f2,
            integrated + f3,
            functional.adaptive_max_pool2d(integrated, b4.shape[-2:]) + p4,
            functional.adaptive_max_pool2d(integrated, b5.shape[-2:]),
        ]
        pyramid = [weights * x for x in guided]
        return [*pyramid, functional.max_pool2d(pyramid[-1], 1, stride=2)]

    def integrate(self, b5: Tensor, p2: Tensor, p3: Tensor, p4: Tensor) -> Tensor:
        """Return the integrated map (eq. 2) at stride 8: the mean of context and pyramid."""
        parts = (
            _nearest(self.context(b5), p3),
            _nearest(p4, p3),
            p3,
            functional.adaptive_max_pool2d(p2, p3.shape[-2:]),
        )
        return torch.stack(parts).mean(dim=0)


def _pooling_branch(in_channels: int, width: int, side: int, rate: int) -> nn.Sequential:
    padding = rate if side == 3 else 0
    return nn.Sequential(
        nn.Conv2d(in_channels, width, side, padding=padding, dilation=rate, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )


def _nearest(x: Tensor, like: Tensor) -> Tensor:
    if x.shape[-2:] == like.shape[-2:]:
        return x
    return functional.interpolate(x, size=like.shape[-2:])


def _xavier(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
