"""PointRend: Mask R-CNN whose masks are rendered point by point.

Kirillov, Wu, He, Girshick, "PointRend: image segmentation as rendering", CVPR 2020,
arXiv:1912.08193. FACENet is compared with it.

Implemented: coarse mask of 7 × 7 from the finest map, point head on fine features and coarse mask,
points for training by uncertainty, subdivision to 224 × 224 in inference.

Differences from the paper:
    * images come in normalised and keep their pixels unless ``resize_px`` is given;
    * random weights unless ``pretrained`` is given; only then stem and first stage are frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import LevelMapper

from .blocks.hooked_roi_heads import (
    HookedRoiHeads,
    Positives,
    Sizes,
    Target,
    mask_cross_entropy,
    own_channel,
)
from .blocks.point_masks import (
    COARSE_SIDE,
    CoarseMaskHead,
    PointHead,
    fine_features,
    sample_points,
    uncertain_cells,
    uncertain_points,
)
from .blocks.rcnn_parts import (
    MASK_SIDE,
    ROI_LEVELS,
    ROI_STRIDES_LOG2,
    InstanceRcnn,
    RcnnOptions,
)
from .mask_rcnn import build_rcnn, single_stage_heads
from .registry import INSTANCE, register, register_backbones

FINE = ROI_LEVELS[0]
FINE_STRIDE_PX = 2 ** ROI_STRIDES_LOG2[0]
TRAIN_POINTS = 14 * 14
CANDIDATES, UNCERTAIN_SHARE = 3.0, 0.75
STEPS, STEP_POINTS = 5, 28 * 28


class PointRendRoiHeads(HookedRoiHeads):
    """Box heads of Mask R-CNN, coarse mask head and point head.

    Args:
        num_classes: Foreground classes.
        options: Widths, sampling and inference.
    """

    def __init__(self, num_classes: int, options: RcnnOptions) -> None:
        parts = single_stage_heads(num_classes, options)
        parts["mask_head"] = CoarseMaskHead(num_classes, options.width, options.hidden)
        parts["mask_predictor"] = PointHead(num_classes, options.width)
        parts["mask_roi_pool"] = _finest_level()
        super().__init__(**parts)

    def mask_losses(
        self,
        features: dict[str, Tensor],
        positives: Positives,
        image_shapes: Sizes,
        targets: Sequence[Target],
    ) -> dict[str, Tensor]:
        """Return the losses of the coarse masks and of the points."""
        coarse = self.mask_head(self.mask_roi_pool(features, positives.boxes, image_shapes))
        labels = positives.all_labels - 1
        own = own_channel(coarse, labels)
        with torch.no_grad():
            points = uncertain_points(
                own[:, None], TRAIN_POINTS, candidates=CANDIDATES, share=UNCERTAIN_SHARE
            )
            truth = _truth_at(points, positives, targets)
        logits = self._points(features, positives.boxes, coarse, points)
        return {
            "loss_mask": mask_cross_entropy(own, positives.mask_targets(targets, COARSE_SIDE)),
            "loss_point": mask_cross_entropy(own_channel(logits, labels), truth),
        }

    def add_masks(
        self, features: dict[str, Tensor], found: list[Target], image_shapes: Sizes
    ) -> list[Target]:
        """Return the instances with masks ``[N, 1, 224, 224]``."""
        boxes = [x["boxes"] for x in found]
        labels = torch.cat([x["labels"] for x in found]) - 1
        coarse = self.mask_head(self.mask_roi_pool(features, boxes, image_shapes))
        masks = own_channel(coarse, labels)[:, None]
        for _ in range(STEPS if labels.numel() else 0):
            masks = functional.interpolate(
                masks, scale_factor=2, mode="bilinear", align_corners=False
            )
            cells, points = uncertain_cells(masks, STEP_POINTS)
            logits = own_channel(self._points(features, boxes, coarse, points), labels)
            masks = masks.flatten(1).scatter(1, cells, logits).view_as(masks)
        counts = [x["labels"].numel() for x in found]
        return [
            {**item, "masks": drawn}
            for item, drawn in zip(found, torch.split(masks.sigmoid(), counts), strict=True)
        ]

    def _points(
        self, features: dict[str, Tensor], boxes: Sequence[Tensor], coarse: Tensor, points: Tensor
    ) -> Tensor:
        fine = fine_features(features[FINE], boxes, points, FINE_STRIDE_PX)
        logits: Tensor = self.mask_predictor(fine, sample_points(coarse, points))
        return logits


def _truth_at(points: Tensor, positives: Positives, targets: Sequence[Target]) -> Tensor:
    """Return the instances' masks at points of the boxes, float ``[P, points]``."""
    parts = []
    split = torch.split(points, [x.shape[0] for x in positives.boxes])
    for target, boxes, matched, inside in zip(
        targets, positives.boxes, positives.matched, split, strict=True
    ):
        masks = target["masks"]
        size_px = points.new_tensor([masks.shape[2], masks.shape[1]])
        for box, instance, own in zip(boxes, matched.tolist(), inside, strict=True):
            shares = (box[:2] + own * (box[2:] - box[:2])) / size_px
            mask = (masks[instance] > 0).float()[None, None]
            parts.append(sample_points(mask, shares[None])[0, 0])
    return torch.stack(parts) if parts else points.new_zeros((0, points.shape[1]))


def _finest_level() -> MultiScaleRoIAlign:
    pool = MultiScaleRoIAlign([FINE], MASK_SIDE, sampling_ratio=2)
    pool.scales = [1 / FINE_STRIDE_PX]
    pool.map_levels = LevelMapper(ROI_STRIDES_LOG2[0], ROI_STRIDES_LOG2[0])
    return pool


@register("point_rend", task=INSTANCE)
def point_rend(
    *, num_classes: int, in_channels: int = 3, backbone: str = "resnet50", **options: Any
) -> InstanceRcnn:
    """Build PointRend on a backbone of timm; options of :func:`.mask_rcnn.build_rcnn`."""
    return build_rcnn(
        PointRendRoiHeads,
        backbone,
        num_classes=num_classes,
        in_channels=in_channels,
        options=options,
    )


register_backbones(
    point_rend,
    task=INSTANCE,
    backbones={"point_rend_r50": "resnet50", "point_rend_r101": "resnet101"},
)
