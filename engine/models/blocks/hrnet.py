"""Parallel branches of several resolutions with repeated fusion, as Hi-ResNet builds them.

Chen et al., "Hi-ResNet", section III-A, figs. 3 and 5, after Wang et al., "Deep high-resolution
representation learning for visual recognition", TPAMI 2021. Batch normalisation stands before
the convolution in transitions and fusions, as the paper's text and figure 5 say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from timm.layers.drop import DropPath
from timm.models.hrnet import HighResolutionNetFeatures, cfg_cls
from torch import Tensor, nn
from torch.nn import functional

LAYER_SCALE = 1e-6

BlockFactory = Callable[[int], nn.Module]


def norm_conv(in_channels: int, width: int, side: int, *, stride: int = 1) -> nn.Sequential:
    """Return batch normalisation and a convolution without bias."""
    return nn.Sequential(
        nn.BatchNorm2d(in_channels),
        nn.Conv2d(in_channels, width, side, stride=stride, padding=side // 2, bias=False),
    )


class InvertedBottleneck(nn.Module):
    """Inverted bottleneck of the funnel: dense 3×3, 1×1 to four times the width, 1×1 back.

    Args:
        in_channels: Input width.
        width: Output width.
        drop_path: Probability of dropping the block in training, in [0, 1).
    """

    def __init__(self, in_channels: int, width: int, *, drop_path: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.Conv2d(width, 4 * width, 1, bias=False),
            nn.GELU(),
            nn.Conv2d(4 * width, width, 1, bias=False),
        )
        self.scale = nn.Parameter(torch.full((width, 1, 1), LAYER_SCALE))
        self.drop_path = DropPath(drop_path)
        self.shortcut = nn.Identity() if in_channels == width else norm_conv(in_channels, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output; there is no activation at the end."""
        shortcut: Tensor = self.shortcut(x)
        dropped: Tensor = self.drop_path(self.scale * self.body(x))
        return shortcut + dropped


class Fusion(nn.Module):
    """Exchange between branches: every branch receives the sum of all, resized to its scale.

    Args:
        widths: Channels of the branches, finest first; each has half the resolution of the one
            before.
        align_corners: How coarse maps are enlarged.
    """

    def __init__(self, widths: Sequence[int], *, align_corners: bool = True) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.paths = nn.ModuleList(
            nn.ModuleList(_path(widths, source, target) for source in range(len(widths)))
            for target in range(len(widths))
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the fused maps; shapes stay."""
        return [self._fuse(maps, target) for target in range(len(maps))]

    def _fuse(self, maps: Sequence[Tensor], target: int) -> Tensor:
        paths = list(self.paths[target].children())
        total = self._resize(paths[0](maps[0]), maps[target])
        for path, x in zip(paths[1:], maps[1:], strict=True):
            total = total + self._resize(path(x), maps[target])
        return functional.gelu(total)

    def _resize(self, x: Tensor, like: Tensor) -> Tensor:
        if x.shape[-2:] == like.shape[-2:]:
            return x
        return functional.interpolate(
            x, size=like.shape[-2:], mode="bilinear", align_corners=self.align_corners
        )


def _path(widths: Sequence[int], source: int, target: int) -> nn.Module:
    if source == target:
        return nn.Identity()
    if source > target:
        return norm_conv(widths[source], widths[target], 1)
    steps: list[nn.Module] = []
    for _ in range(target - source - 1):
        steps += [norm_conv(widths[source], widths[source], 3, stride=2), nn.GELU()]
    steps.append(norm_conv(widths[source], widths[target], 3, stride=2))
    return nn.Sequential(*steps)


class BranchModule(nn.Module):
    """Parallel chains of blocks, one per branch, and their fusion.

    Args:
        widths: Channels of the branches, finest first.
        blocks: Blocks per branch.
        block: Builds a block of a given width.
        align_corners: How coarse maps are enlarged in the fusion.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        blocks: int,
        block: BlockFactory,
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(block(width) for _ in range(blocks))) for width in widths
        )
        self.fusion = Fusion(widths, align_corners=align_corners)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the fused maps; shapes stay."""
        fused: list[Tensor] = self.fusion(
            [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        )
        return fused


def stretched_hrnet(
    *, in_channels: int, stage3_blocks: int = 4, stage4_blocks: int = 4
) -> nn.Module:
    """Build HRNet-W48 with longer branches in stage 3 or 4 (table V of the Hi-ResNet paper).

    Args:
        in_channels: Number of input bands.
        stage3_blocks: Blocks per branch in stage 3; 4 is HRNet's own.
        stage4_blocks: Blocks per branch in stage 4; 4 is HRNet's own.

    Returns:
        A module ``[N, C, H, W] -> list of four maps`` with random weights.
    """
    config = {
        name: dict(value) if isinstance(value, dict) else value
        for name, value in cfg_cls["hrnet_w48"].items()
    }
    for stage, blocks, branches in (("stage3", stage3_blocks, 3), ("stage4", stage4_blocks, 4)):
        config[stage]["num_blocks"] = (blocks,) * branches  # type: ignore[index]
    network: nn.Module = HighResolutionNetFeatures(  # type: ignore[no-untyped-call]
        config, in_chans=in_channels, feature_location="", out_indices=(1, 2, 3, 4)
    )
    return network
