"""SOLOv2's head: category and kernel towers on grids, one mask feature for the whole image.

Wang, Zhang, Kong, Li, Shen, "SOLOv2: dynamic and fast instance segmentation", NeurIPS 2020,
sections 3.1 and 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .deform import ModulatedDeformConv
from .detection_necks import group_norm

PRIOR = 0.01
INIT_STD = 0.01
MASK_LEVELS = 4
DCN_PLACES = ("kernel", "cate", "mask")


def with_coordinates(x: Tensor) -> Tensor:
    """Append two channels: x, then y, both from -1 to 1."""
    n, _, height, width = x.shape
    rows = torch.linspace(-1, 1, height, device=x.device, dtype=x.dtype)
    cols = torch.linspace(-1, 1, width, device=x.device, dtype=x.dtype)
    return torch.cat(
        (
            x,
            cols.view(1, 1, 1, width).expand(n, 1, height, width),
            rows.view(1, 1, height, 1).expand(n, 1, height, width),
        ),
        dim=1,
    )


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize bilinearly; the map itself if it has the size already."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return functional.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


def _unit(in_channels: int, width: int, *, deformable: bool) -> nn.Sequential:
    conv: nn.Module
    if deformable:
        conv = ModulatedDeformConv(in_channels, width)
        nn.init.normal_(conv.conv.weight, std=INIT_STD)
    else:
        conv = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        nn.init.normal_(conv.weight, std=INIT_STD)
    return nn.Sequential(conv, group_norm(width), nn.ReLU(inplace=True))


class MaskFeatures(nn.Module):
    """Sum of four pyramid levels at stride 4; the coarsest knows its coordinates.

    Args:
        in_channels: Width of the pyramid.
        width: Width of the branches.
        out_channels: Width of the result, that of the dynamic kernels.
        deformable: Whether the 3×3 convolutions are deformable.
    """

    def __init__(
        self, in_channels: int, width: int, out_channels: int, *, deformable: bool = False
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList()
        for level in range(MASK_LEVELS):
            first = in_channels + 2 if level == MASK_LEVELS - 1 else in_channels
            layers: list[nn.Module] = []
            for step in range(max(1, level)):
                layers.append(_unit(width if step else first, width, deformable=deformable))
                if level:
                    layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
            self.branches.append(nn.Sequential(*layers))
        self.project = nn.Sequential(
            nn.Conv2d(width, out_channels, 1, bias=False),
            group_norm(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Return float ``[N, out_channels, H/4, W/4]`` of the levels at strides 4 to 32."""
        levels = list(pyramid[:MASK_LEVELS])
        levels[-1] = with_coordinates(levels[-1])
        maps = [branch(x) for branch, x in zip(self.branches, levels, strict=True)]
        result: Tensor = self.project(torch.stack(maps).sum(dim=0))
        return result


class SoloHead(nn.Module):
    """Towers that all levels share.

    Args:
        num_classes: Foreground classes.
        in_channels: Width of the pyramid.
        tower_width: Width of both towers.
        tower_depth: Convolutions per tower.
        kernel_width: Length of a dynamic kernel.
        grids: Cells per side, one per level.
        dcn_in: Which towers are deformable, out of :data:`DCN_PLACES`.

    Raises:
        ValueError: If ``dcn_in`` names something else.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 256,
        tower_width: int = 512,
        tower_depth: int = 4,
        kernel_width: int = 256,
        grids: Sequence[int] = (40, 36, 24, 16, 12),
        dcn_in: Collection[str] = (),
    ) -> None:
        super().__init__()
        unknown = sorted(set(dcn_in) - set(DCN_PLACES))
        if unknown:
            raise ValueError(f"dcn_in names {unknown}; known: {', '.join(DCN_PLACES)}")
        self.grids = tuple(grids)
        self.kernel_tower = tower(
            in_channels + 2, tower_width, tower_depth, deformable="kernel" in dcn_in
        )
        self.category_tower = tower(
            in_channels, tower_width, tower_depth, deformable="cate" in dcn_in
        )
        self.kernel = nn.Conv2d(tower_width, kernel_width, 3, padding=1)
        nn.init.normal_(self.kernel.weight, std=INIT_STD)
        if self.kernel.bias is not None:
            nn.init.zeros_(self.kernel.bias)
        self.category = category_layer(tower_width, num_classes)

    def forward(self, pyramid: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return category logits ``[N, K, S, S]`` and kernels ``[N, D, S, S]`` of each level.

        Args:
            pyramid: Maps at strides 4, 8, 16, 32 and 64.
        """
        categories, kernels = [], []
        for x, grid in zip(level_maps(pyramid), self.grids, strict=True):
            cells = resize(with_coordinates(x), (grid, grid))
            kernels.append(self.kernel(self.kernel_tower(cells)))
            categories.append(self.category(self.category_tower(cells[:, :-2])))
        return categories, kernels


def level_maps(pyramid: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return maps at strides 8, 8, 16, 32 and 32 of those at strides 4 to 64."""
    fine, second, third, fourth, coarse = pyramid
    half = functional.interpolate(fine, scale_factor=0.5, mode="bilinear", align_corners=False)
    return half, second, third, fourth, resize(coarse, fourth.shape[-2:])


def category_layer(width: int, num_classes: int) -> nn.Conv2d:
    """Return the convolution to class logits, which start at a probability of 1 %."""
    layer = nn.Conv2d(width, num_classes, 3, padding=1)
    nn.init.normal_(layer.weight, std=INIT_STD)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, math.log(PRIOR / (1 - PRIOR)))
    return layer


def tower(in_channels: int, width: int, depth: int, *, deformable: bool = False) -> nn.Sequential:
    """Return ``depth`` units of convolution, group normalisation and ReLU."""
    return nn.Sequential(
        *(
            _unit(width if step else in_channels, width, deformable=deformable)
            for step in range(depth)
        )
    )
