"""Backbone of Hi-ResNet: stem, funnel, parallel branches, and how wide and long they are.

Chen et al., "Hi-ResNet: Edge detail enhancement for high-resolution remote sensing
segmentation", section III-A.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from timm.layers import GELU
from timm.models.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn

from .attention import AggregationBlock, Partition
from .hrnet import BranchModule, InvertedBottleneck, norm_conv


@dataclass(frozen=True)
class Size:
    """Widths and lengths of Hi-ResNet; the defaults are the paper's.

    Attributes:
        stem: Channels of the stem.
        funnel: Channels of the funnel, a multiple of 4.
        funnel_blocks: Blocks of the funnel.
        widths: Channels of the three branches, multiples of the head width of 24.
        layer1_blocks: Blocks per branch of the first module.
        layer2_blocks: Blocks per branch of each later module.
        layer2_modules: Number of later modules.
        coarse: Channels of the coarse head.
        refined: Channels of the feature refinement.
    """

    stem: int = 64
    funnel: int = 256
    funnel_blocks: int = 4
    widths: tuple[int, int, int] = (48, 96, 192)
    layer1_blocks: int = 4
    layer2_blocks: int = 12
    layer2_modules: int = 4
    coarse: int = 512
    refined: int = 256


PAPER = Size()
SMALL = Size(32, 96, 2, (24, 48, 96), 2, 2, 2, 128, 64)


class HiResNetBackbone(nn.Module):
    """Funnel and multi-branch module: an image to three maps at strides 4, 8 and 16.

    Args:
        in_channels: Number of input bands.
        funnel: Funnel of inverted bottlenecks; HRNet's first stage otherwise.
        aggregation: IA blocks; residual blocks of two 3×3 convolutions otherwise.
        partition: Windows of the IA blocks, see ``blocks/attention.py``.
        window_px: Side of the windows.
        drop_path: Probability of dropping a block in training, in [0, 1).
        align_corners: How coarse maps are enlarged in fusions.
        size: Widths and lengths.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        funnel: bool = True,
        aggregation: bool = True,
        partition: Partition = "grid",
        window_px: int = 8,
        drop_path: float = 0.0,
        align_corners: bool = True,
        size: Size = PAPER,
    ) -> None:
        super().__init__()
        if partition not in ("grid", "block"):
            raise ValueError(f"partition {partition!r} is not grid or block")
        self.stem = _stem(in_channels, size.stem)
        self.funnel = _funnel(size, drop_path) if funnel else _bottlenecks(size)
        block = (
            partial(AggregationBlock, side_px=window_px, partition=partition, drop_path=drop_path)
            if aggregation
            else _residual_block
        )
        branches = partial(BranchModule, block=block, align_corners=align_corners)
        fine, middle, coarse = size.widths
        self.to_fine = nn.Sequential(norm_conv(size.funnel, fine, 3), nn.GELU())
        self.to_middle = nn.Sequential(norm_conv(size.funnel, middle, 3, stride=2), nn.GELU())
        self.to_coarse = nn.Sequential(norm_conv(middle, coarse, 3, stride=2), nn.GELU())
        self.layer1 = branches(size.widths[:2], blocks=size.layer1_blocks)
        self.layer2 = nn.ModuleList(
            branches(size.widths, blocks=size.layer2_blocks) for _ in range(size.layer2_modules)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return three maps at strides 4, 8 and 16, finest first."""
        features = self.funnel(self.stem(images))
        fine, middle = self.layer1([self.to_fine(features), self.to_middle(features)])
        maps = [fine, middle, self.to_coarse(middle)]
        for module in self.layer2:
            maps = module(maps)
        return maps


def _stem(in_channels: int, stem: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (in_channels, stem):
        layers += [
            nn.Conv2d(width, stem, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(stem),
            nn.GELU(),
        ]
    return nn.Sequential(*layers)


def _funnel(size: Size, drop_path: float) -> nn.Sequential:
    inputs = (size.stem,) + (size.funnel,) * (size.funnel_blocks - 1)
    return nn.Sequential(
        *(InvertedBottleneck(width, size.funnel, drop_path=drop_path) for width in inputs)
    )


def _bottlenecks(size: Size) -> nn.Sequential:
    inner = size.funnel // 4
    shortcut = nn.Sequential(
        nn.Conv2d(size.stem, size.funnel, 1, bias=False), nn.BatchNorm2d(size.funnel)
    )
    first = Bottleneck(size.stem, inner, downsample=shortcut, act_layer=GELU)
    others = (Bottleneck(size.funnel, inner, act_layer=GELU) for _ in range(size.funnel_blocks - 1))
    return nn.Sequential(first, *others)


def _residual_block(width: int) -> nn.Module:
    block: nn.Module = BasicBlock(width, width, act_layer=GELU)
    return block
