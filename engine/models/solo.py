"""SOLO: one mask channel per cell of a grid.

Wang, Kong, Shen, Jiang, Li, "SOLO: segmenting objects by locations", ECCV 2020, arXiv:1912.04488.
FACENet is compared with it.

Implemented: vanilla head with seven convolutions per branch, focal and dice loss.

Differences from the paper:
    * Matrix NMS and the weighting of scores by masks are those of SOLOv2, as in the authors' later
      code;
    * a cell that two instances claim belongs to the smaller one; ``collision="reference"`` gives
      what the authors' code does;
    * images come in normalised and are neither resized nor augmented here;
    * random weights unless ``pretrained`` is given; only then stem and first stage are frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks.detection_backbone import DetectionBackbone
from .blocks.detection_necks import WIDTH
from .blocks.solo_builder import solo_builder
from .blocks.solo_head import (
    category_layer,
    level_maps,
    resize,
    tower,
    with_coordinates,
)
from .blocks.solo_losses import (
    LEVEL_STRIDES_PX,
    MASK_STRIDE_PX,
    Candidates,
    SoloOptions,
    assign_levels,
    category_loss,
    dice_loss,
    find_candidates,
    select_instances,
)
from .blocks.solo_targets import CellTargets, batch_images, quarter_masks
from .contracts import check_instance_targets
from .registry import INSTANCE, register, register_backbones

STRIDE_PX = 32
TOWER_WIDTH = 256
TOWER_DEPTH = 7

Target = dict[str, Tensor]


class SoloGridHead(nn.Module):
    """Category tower on grids and mask tower on maps, shared by all levels.

    Args:
        num_classes: Foreground classes.
        in_channels: Width of the pyramid.
        options: Widths, depths and grids.
    """

    def __init__(self, num_classes: int, in_channels: int, options: SoloOptions) -> None:
        super().__init__()
        width, depth = options.tower_width, options.tower_depth
        self.grids = tuple(options.grids)
        self.mask_tower = tower(in_channels + 2, width, depth)
        self.category_tower = tower(in_channels, width, depth)
        self.category = category_layer(width, num_classes)
        self.masks = nn.ModuleList(nn.Conv2d(width, grid * grid, 1) for grid in self.grids)

    def forward(self, pyramid: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return category logits ``[N, K, S, S]`` and mask features ``[N, width, h, w]``.

        Mask features have half the stride of their level; :attr:`masks` turns them into one
        channel per cell.
        """
        categories, features = [], []
        for x, grid in zip(level_maps(pyramid), self.grids, strict=True):
            categories.append(self.category(self.category_tower(resize(x, (grid, grid)))))
            inner = self.mask_tower(with_coordinates(x))
            size = [2 * side for side in inner.shape[-2:]]
            features.append(resize(inner, size))
        return categories, features


class Solo(nn.Module):
    """SOLO on any backbone and neck; torchvision's detection contract.

    Args:
        num_classes: Foreground classes.
        backbone: Maps at strides 4 to 32.
        neck: From these maps to five maps of ``neck.width`` channels at strides 4 to 64.
        options: Head, targets and inference.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        backbone: DetectionBackbone,
        neck: nn.Module,
        options: SoloOptions,
    ) -> None:
        super().__init__()
        self.options = options
        self.num_classes = num_classes
        self.backbone = backbone
        self.neck = neck
        self.head = SoloGridHead(num_classes, int(getattr(neck, "width", WIDTH)), options)

    def forward(
        self, images: Sequence[Tensor], targets: Sequence[Target] | None = None
    ) -> dict[str, Tensor] | list[Target]:
        """Return losses in training mode, else the instances of each image.

        Images, targets and results as for :meth:`engine.models.solov2.SoloV2.forward`.

        Raises:
            ValueError: If targets are missing in training or do not fit the images.
        """
        if self.training:
            targets = check_instance_targets(images, targets, self.num_classes)
        batch = batch_images(images, STRIDE_PX)
        categories, features = self.head(self.neck(self.backbone(batch)))
        if self.training and targets is not None:
            size_px = (int(batch.shape[2]), int(batch.shape[3]))
            assigned = [assign_levels(target, size_px, self.options) for target in targets]
            weight = self.options.mask_weight
            return {
                "loss_category": category_loss(categories, assigned),
                "loss_mask": weight * self.mask_loss(features, assigned, targets, size_px),
            }
        quarter = [side // MASK_STRIDE_PX for side in batch.shape[2:]]
        return [
            self.instances(
                [x[i] for x in categories], [x[i] for x in features], quarter, image.shape[-2:]
            )
            for i, image in enumerate(images)
        ]

    def mask_loss(
        self,
        features: Sequence[Tensor],
        assigned: Sequence[Sequence[CellTargets]],
        targets: Sequence[Target],
        size_px: tuple[int, int],
    ) -> Tensor:
        """Return the mean dice loss of all positive cells; 0 if there are none."""
        terms = []
        for i, (levels, target) in enumerate(zip(assigned, targets, strict=True)):
            quarter = quarter_masks(target["masks"], size_px, soft=self.options.soft_masks)
            for number, (cells, maps) in enumerate(zip(levels, features, strict=True)):
                if cells.cells.numel() == 0:
                    continue
                logits = self._channels(number, maps[i], cells.cells)
                truth = quarter[cells.instances]
                factor = LEVEL_STRIDES_PX[number] // 2 // MASK_STRIDE_PX
                if factor > 1:
                    truth = functional.avg_pool2d(truth[:, None], factor)[:, 0]
                    truth = truth if self.options.soft_masks else (truth >= 0.5).float()
                terms.append(dice_loss(logits.float().sigmoid(), truth))
        if not terms:
            idle = [*features, *self.head.masks.parameters()]
            return torch.stack([x.sum() * 0 for x in idle]).sum()
        return torch.cat(terms).mean()

    @torch.no_grad()
    def instances(
        self,
        categories: Sequence[Tensor],
        features: Sequence[Tensor],
        quarter: Sequence[int],
        size_px: Sequence[int],
    ) -> Target:
        """Return the instances of one image.

        Args:
            categories: Logits ``[K, S, S]`` of each level.
            features: Mask features ``[width, h, w]`` of each level.
            quarter: Height and width of the padded image at stride 4.
            size_px: Height and width of the image.
        """
        found = find_candidates(categories, self.options)
        parts, order, first = [], [], 0
        for number, maps in enumerate(features):
            last = first + self.options.grids[number] ** 2
            mine = torch.nonzero((found.cells >= first) & (found.cells < last)).flatten()
            if mine.numel():
                logits = self._channels(number, maps, found.cells[mine] - first)
                parts.append(resize(logits[None].float().sigmoid(), quarter)[0])
                order.append(mine)
            first = last
        masks = features[0].new_zeros((0, quarter[0], quarter[1]), dtype=torch.float32)
        if parts:
            chosen = torch.cat(order)
            masks = torch.cat(parts)
            found = Candidates(
                found.cells[chosen],
                found.labels[chosen],
                found.scores[chosen],
                found.strides_px[chosen],
            )
        return select_instances(found, masks, size_px, self.options)

    def _channels(self, level: int, features: Tensor, cells: Tensor) -> Tensor:
        """Return the mask logits ``[P, h, w]`` of some cells; the others are not computed."""
        layer: Any = self.head.masks[level]
        logits: Tensor = functional.conv2d(features[None], layer.weight[cells], layer.bias[cells])[
            0
        ]
        return logits


DEFAULTS = SoloOptions(tower_width=TOWER_WIDTH, tower_depth=TOWER_DEPTH)
solo = register("solo", task=INSTANCE)(solo_builder("solo", Solo, DEFAULTS))
register_backbones(
    solo,
    task=INSTANCE,
    backbones={"solo_r50": "resnet50", "solo_r101": "resnet101"},
)
