"""Masks as points: where a mask is uncertain, it is drawn anew at finer and finer grids.

Kirillov, Wu, He, Girshick, "PointRend: image segmentation as rendering", CVPR 2020, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

COARSE_SIDE = 7
POINT_DEPTH = 3


class CoarseMaskHead(nn.Module):
    """A coarse mask per class from region features of 14 × 14.

    Args:
        num_classes: Foreground classes.
        width: Width of the region features.
        hidden: Width of the linear layers.
    """

    def __init__(self, num_classes: int, width: int, hidden: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.shrink = nn.Conv2d(width, width, 2, stride=2)
        self.linears = nn.Sequential(
            nn.Linear(width * COARSE_SIDE**2, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, num_classes * COARSE_SIDE**2),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return mask logits float32 ``[R, classes, 7, 7]``."""
        flat = self.linears(functional.relu(self.shrink(x)).flatten(1))
        logits: Tensor = flat.view(-1, self.num_classes, COARSE_SIDE, COARSE_SIDE)
        return logits.float()


class PointHead(nn.Module):
    """Mask logits of single points from fine features and the coarse mask.

    Args:
        num_classes: Foreground classes.
        width: Width of the fine features and of the layers.
    """

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv1d(width + num_classes, width, 1) for _ in range(POINT_DEPTH)
        )
        self.predict = nn.Conv1d(width + num_classes, num_classes, 1)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Return logits float32 ``[R, classes, P]`` of ``[R, width, P]`` and the coarse ones."""
        x = fine
        for layer in self.layers:
            x = functional.relu(layer(torch.cat([x, coarse.to(x)], dim=1)))
        logits: Tensor = self.predict(torch.cat([x, coarse.to(x)], dim=1))
        return logits.float()


def sample_points(maps: Tensor, points: Tensor) -> Tensor:
    """Return bilinear values of maps ``[R, C, h, w]`` at points, ``[R, C, P]``.

    Args:
        maps: One map per region.
        points: ``[R, P, 2]``, x and y as shares of width and height in [0, 1].
    """
    sampled = functional.grid_sample(
        maps, 2 * points[:, :, None].to(maps) - 1, align_corners=False, padding_mode="border"
    )
    return sampled[..., 0]


def fine_features(
    features: Tensor, boxes: Sequence[Tensor], points: Tensor, stride_px: int
) -> Tensor:
    """Return image features at points of boxes, ``[R, C, P]``.

    Args:
        features: ``[N, C, h, w]``.
        boxes: Boxes ``[R_i, 4]`` of each image.
        points: ``[R, P, 2]``, x and y as shares of the box.
        stride_px: Pixels per cell of the features.
    """
    size_px = points.new_tensor([features.shape[3], features.shape[2]]) * stride_px
    parts = []
    for image, (own, inside) in enumerate(
        zip(boxes, torch.split(points, [x.shape[0] for x in boxes]), strict=True)
    ):
        if own.shape[0] == 0:
            continue
        sides = (own[:, 2:] - own[:, :2])[:, None]
        shares = (own[:, None, :2] + inside * sides) / size_px
        sampled = sample_points(features[image : image + 1], shares.reshape(1, -1, 2))[0]
        parts.append(sampled.view(-1, own.shape[0], points.shape[1]).movedim(0, 1))
    if not parts:
        return features.new_zeros((0, features.shape[1], points.shape[1]))
    return torch.cat(parts)


def uncertain_points(logits: Tensor, count: int, *, candidates: float, share: float) -> Tensor:
    """Draw points for training, most of them where the coarse mask is uncertain.

    Args:
        logits: Coarse mask of each region's class ``[R, 1, h, w]``.
        count: Points per region.
        candidates: Candidates per point.
        share: Share of the points that are the most uncertain candidates.

    Returns:
        ``[R, count, 2]``, x and y in [0, 1].
    """
    drawn = torch.rand(logits.shape[0], int(count * candidates), 2, device=logits.device)
    certainty = sample_points(logits, drawn)[:, 0].abs()
    chosen = certainty.argsort(dim=1)[:, : int(count * share)]
    kept = drawn.gather(1, chosen[..., None].expand(-1, -1, 2))
    others = torch.rand(logits.shape[0], count - kept.shape[1], 2, device=logits.device)
    return torch.cat([kept, others], dim=1)


def uncertain_cells(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the cells of masks ``[R, 1, h, w]`` nearest to undecided, and their centres.

    Returns:
        Flat indices int64 ``[R, P]`` and points ``[R, P, 2]``; ``P`` is at most ``count``.
    """
    height, width = logits.shape[-2:]
    cells = logits.flatten(1).abs().topk(min(count, height * width), dim=1, largest=False).indices
    x = (cells % width + 0.5) / width
    y = (cells // width + 0.5) / height
    return cells, torch.stack([x, y], dim=2)
