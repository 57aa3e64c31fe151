"""Semantic branch of the hybrid task cascade: one map of the whole scene for all regions.

Chen, Pang, Wang, Xiong, Li, Sun, Feng, Liu, Shi, Ouyang, Loy, Lin, "Hybrid task cascade for
instance segmentation", CVPR 2019, section 3.2 and figure 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

DEPTH = 4
LEVEL = 1  # of the pyramid, stride 8
IGNORED = 255


class SemanticBranch(nn.Module):
    """All levels of a pyramid at stride 8, summed and refined; class map and embedding.

    Args:
        num_classes: Foreground classes; the background is added.
        width: Width of the pyramid and of the embedding.
        levels: Number of levels of the pyramid.
    """

    def __init__(self, num_classes: int, width: int, levels: int = 5) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(_unit(width, 1) for _ in range(levels))
        self.convs = nn.Sequential(*(_unit(width, 3) for _ in range(DEPTH)))
        self.embed = _unit(width, 1)
        self.classify = nn.Conv2d(width, num_classes + 1, 1)

    def forward(self, pyramid: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return embedding ``[N, width, H/8, W/8]`` and logits ``[N, 1 + classes, H/8, W/8]``."""
        size = pyramid[LEVEL].shape[-2:]
        maps = [
            layer(
                x
                if x.shape[-2:] == size
                else functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
            )
            for layer, x in zip(self.laterals, pyramid, strict=True)
        ]
        x = self.convs(torch.stack(maps).sum(dim=0))
        return self.embed(x), self.classify(x)


def class_maps(
    targets: Sequence[dict[str, Tensor]], image_shapes: Sequence[tuple[int, int]], stride_px: int
) -> list[Tensor]:
    """Draw the instances of each image as a class map, small ones over large ones.

    Args:
        targets: ``labels`` and ``masks`` of each image.
        image_shapes: Height and width of each image.
        stride_px: Pixels per cell of the maps; the middle pixel decides.

    Returns:
        Per image int64 ``[⌈H / stride⌉, ⌈W / stride⌉]``, 0 is the background.
    """
    maps = []
    for target, (height, width) in zip(targets, image_shapes, strict=True):
        rows = torch.arange(-(-height // stride_px), device=target["masks"].device)
        cols = torch.arange(-(-width // stride_px), device=target["masks"].device)
        rows = (rows * stride_px + stride_px // 2).clamp_max(height - 1)
        cols = (cols * stride_px + stride_px // 2).clamp_max(width - 1)
        masks = target["masks"][:, rows][:, :, cols] > 0
        drawn = torch.zeros((rows.numel(), cols.numel()), dtype=torch.int64, device=rows.device)
        order = masks.sum(dim=(1, 2)).argsort(descending=True, stable=True)
        for index in order.tolist():
            drawn[masks[index]] = target["labels"][index]
        maps.append(drawn)
    return maps


def semantic_loss(logits: Tensor, maps: Sequence[Tensor]) -> Tensor:
    """Return the cross entropy of a batch; cells beyond an image's map do not count.

    Args:
        logits: Float ``[N, 1 + classes, h, w]``.
        maps: Of :func:`class_maps`.
    """
    height, width = logits.shape[-2:]
    truth = torch.stack(
        [
            functional.pad(x, (0, width - x.shape[1], 0, height - x.shape[0]), value=IGNORED)
            for x in maps
        ]
    )
    return functional.cross_entropy(logits.float(), truth, ignore_index=IGNORED)


def _unit(width: int, side: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, width, side, padding=side // 2), nn.ReLU(inplace=True))
