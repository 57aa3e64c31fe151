"""Mask Scoring R-CNN: Mask R-CNN that also learns how good its masks are.

Huang, Huang, Gong, Huang, Wang, "Mask Scoring R-CNN", CVPR 2019, arXiv:1903.00241.

Implemented: MaskIoU head (four convolutions, three linear layers) on region features and the
predicted mask; its target is the overlap of the binary mask with the whole object; the score of an
instance is class score times predicted overlap.

Differences from the paper:
    * images come in normalised and keep their pixels unless ``resize_px`` is given;
    * masks are pooled to half their size by a maximum, as in the paper's best design, and its loss
      counts half, as in the authors' code;
    * random weights unless ``pretrained`` is given; only then stem and first stage are frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks.hooked_roi_heads import (
    HookedRoiHeads,
    Positives,
    Sizes,
    Target,
    mask_cross_entropy,
    own_channel,
)
from .blocks.rcnn_parts import MASK_SIDE, InstanceRcnn, RcnnOptions
from .mask_rcnn import build_rcnn, single_stage_heads
from .registry import INSTANCE, register, register_backbones

DEPTH = 4
IOU_WEIGHT = 0.5
MASK_THRESHOLD = 0.5


class MaskIouHead(nn.Module):
    """Predicts the overlap of a predicted mask with its object, for every class.

    Args:
        num_classes: Foreground classes.
        width: Width of the region features.
        hidden: Width of the linear layers.
    """

    def __init__(self, num_classes: int, width: int, hidden: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for step in range(DEPTH):
            stride = 2 if step == DEPTH - 1 else 1
            first = width if step else width + 1
            layers += [nn.Conv2d(first, width, 3, stride=stride, padding=1), nn.ReLU(inplace=True)]
        self.convs = nn.Sequential(*layers)
        last = nn.Linear(hidden, num_classes)
        nn.init.normal_(last.weight, std=0.01)
        nn.init.zeros_(last.bias)
        self.linears = nn.Sequential(
            nn.Linear(width * (MASK_SIDE // 2) ** 2, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            last,
        )

    def forward(self, features: Tensor, masks: Tensor) -> Tensor:
        """Return float32 ``[P, classes]``.

        Args:
            features: Region features ``[P, width, 14, 14]``.
            masks: Mask logits of the regions' classes ``[P, 28, 28]``.
        """
        pooled = functional.max_pool2d(masks.sigmoid()[:, None], 2)
        x = self.convs(torch.cat([features, pooled.to(features)], dim=1))
        overlaps: Tensor = self.linears(x.flatten(1))
        return overlaps.float()


def overlap_targets(
    logits: Tensor, truth: Tensor, positives: Positives, targets: Sequence[Target]
) -> Tensor:
    """Return the overlap of each binary mask with its whole object, float ``[P]`` in [0, 1].

    The object's area outside the box counts: it is scaled from the share of the object inside.

    Args:
        logits: Mask logits ``[P, M, M]``.
        truth: The object within the box ``[P, M, M]``.
        positives: The regions.
        targets: Targets of each image.
    """
    predicted = (logits.detach().float().sigmoid() > MASK_THRESHOLD).float()
    truth = (truth > MASK_THRESHOLD).float()
    shared = (predicted * truth).sum(dim=(1, 2))
    shares = torch.cat(
        [
            share_inside(target["masks"], boxes, matched)
            for target, boxes, matched in zip(
                targets, positives.boxes, positives.matched, strict=True
            )
        ]
    )
    whole = truth.sum(dim=(1, 2)) / shares.clamp_min(1e-7)
    return shared / (predicted.sum(dim=(1, 2)) + whole - shared).clamp_min(1e-7)


def share_inside(masks: Tensor, boxes: Tensor, matched: Tensor) -> Tensor:
    """Return the share of each region's object that lies in its box, float ``[P]`` in [0, 1]."""
    shares = boxes.new_zeros(boxes.shape[0])
    for index, (box, instance) in enumerate(zip(boxes, matched.tolist(), strict=True)):
        x0, y0 = box[:2].floor().int().tolist()
        x1, y1 = box[2:].ceil().int().tolist()
        mask = masks[instance] > 0
        shares[index] = mask[y0:y1, x0:x1].sum() / mask.sum().clamp_min(1)
    return shares


class MaskScoringRoiHeads(HookedRoiHeads):
    """Heads of Mask R-CNN and the MaskIoU head.

    Args:
        iou_head: The MaskIoU head.
        parts: Arguments of torchvision's ``RoIHeads``.
    """

    def __init__(self, iou_head: MaskIouHead, **parts: Any) -> None:
        super().__init__(**parts)
        self.iou_head = iou_head

    def mask_losses(
        self,
        features: dict[str, Tensor],
        positives: Positives,
        image_shapes: Sizes,
        targets: Sequence[Target],
    ) -> dict[str, Tensor]:
        """Return the losses of masks and of their predicted overlaps."""
        pooled, logits = self._masks(features, positives.boxes, image_shapes)
        labels = positives.all_labels
        own = own_channel(logits, labels)
        truth = positives.mask_targets(targets, own.shape[-1])
        overlaps = own_channel(self.iou_head(pooled, own), labels - 1)
        wanted = overlap_targets(own, truth, positives, targets)
        counted = wanted > 0
        of_overlaps = overlaps.sum() * 0
        if bool(counted.any()):
            of_overlaps = functional.mse_loss(overlaps[counted], wanted[counted])
        return {
            "loss_mask": mask_cross_entropy(own, truth),
            "loss_mask_iou": IOU_WEIGHT * of_overlaps,
        }

    def add_masks(
        self, features: dict[str, Tensor], found: list[Target], image_shapes: Sizes
    ) -> list[Target]:
        """Return the instances with masks; scores are multiplied by the predicted overlap."""
        pooled, logits = self._masks(features, [x["boxes"] for x in found], image_shapes)
        labels = torch.cat([x["labels"] for x in found])
        own = own_channel(logits, labels)
        overlaps = own_channel(self.iou_head(pooled, own), labels - 1).clamp(0, 1)
        counts = [x["labels"].numel() for x in found]
        results = []
        for item, masks, factors in zip(
            found,
            torch.split(own.float().sigmoid(), counts),
            torch.split(overlaps, counts),
            strict=True,
        ):
            scored = {**item, "scores": item["scores"] * factors, "masks": masks[:, None]}
            order = scored["scores"].argsort(descending=True, stable=True)
            order = order[scored["scores"][order] > 0]
            results.append({key: value[order] for key, value in scored.items()})
        return results

    def _masks(
        self, features: dict[str, Tensor], boxes: list[Tensor], image_shapes: Sizes
    ) -> tuple[Tensor, Tensor]:
        pooled = self.mask_roi_pool(features, boxes, image_shapes)
        return pooled, self.mask_predictor(self.mask_head(pooled))


@register("mask_scoring_rcnn", task=INSTANCE)
def mask_scoring_rcnn(
    *, num_classes: int, in_channels: int = 3, backbone: str = "resnet50", **options: Any
) -> InstanceRcnn:
    """Build Mask Scoring R-CNN on a backbone of timm; options of :func:`.mask_rcnn.build_rcnn`."""
    return build_rcnn(
        _heads, backbone, num_classes=num_classes, in_channels=in_channels, options=options
    )


def _heads(num_classes: int, options: RcnnOptions) -> MaskScoringRoiHeads:
    overlap = MaskIouHead(num_classes, options.width, options.hidden)
    return MaskScoringRoiHeads(overlap, **single_stage_heads(num_classes, options))


register_backbones(
    mask_scoring_rcnn,
    task=INSTANCE,
    backbones={"mask_scoring_rcnn_r50": "resnet50", "mask_scoring_rcnn_r101": "resnet101"},
)
