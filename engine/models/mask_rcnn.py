"""Mask R-CNN on ResNet with feature pyramid and on HRNet with high-resolution pyramid.

He, Gkioxari, Dollár, Girshick, "Mask R-CNN", ICCV 2017, arXiv:1703.06870. The variants are those
that HQ-ISNet is compared with (Su et al., Remote Sensing 12 (2020), 989, tables 3 to 8).

Implemented: heads of torchvision, class-specific boxes, masks of 28 × 28; pyramids, anchors and
sampling as in the paper's tables.

Differences from the paper:
    * images come in normalised and keep their pixels unless ``resize_px`` is given;
    * box loss with the transition at 1/9, torchvision's;
    * the mask predictor has a channel for the background, torchvision's: 257 parameters more;
    * random weights unless ``pretrained`` is given; only then stem and first stage are frozen.
"""

from __future__ import annotations

from typing import Any

from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads
from torchvision.models.detection.roi_heads import RoIHeads

from .blocks.detection_backbone import DetectionBackbone
from .blocks.detection_necks import WIDTH
from .blocks.path_necks import named_neck
from .blocks.rcnn_parts import (
    BOX_SIDE,
    MASK_SIDE,
    ExactBoxPredictor,
    ExactMaskPredictor,
    InstanceRcnn,
    RcnnBackbone,
    RcnnOptions,
    roi_align,
)
from .registry import register

MASK_DEPTH = 4


def rcnn_backbone(
    name: str,
    *,
    in_channels: int,
    width: int = WIDTH,
    pretrained: str = "",
    freeze: bool | None = None,
) -> RcnnBackbone:
    """Build backbone and neck: high-resolution pyramid on HRNet, else a feature pyramid."""
    backbone = DetectionBackbone(
        name, in_channels=in_channels, pretrained=pretrained, freeze=freeze
    )
    neck = named_neck("hrfpn" if name.startswith("hrnet") else "fpn", backbone.channels, width)
    return RcnnBackbone(backbone, neck)


def single_stage_heads(num_classes: int, options: RcnnOptions) -> dict[str, Any]:
    """Return the arguments of torchvision's ``RoIHeads`` for one stage of boxes and masks."""
    width, hidden = options.width, options.hidden
    return {
        "box_roi_pool": roi_align(BOX_SIDE),
        "box_head": TwoMLPHead(width * BOX_SIDE**2, hidden),
        "box_predictor": ExactBoxPredictor(hidden, num_classes + 1),
        "fg_iou_thresh": 0.5,
        "bg_iou_thresh": 0.5,
        "batch_size_per_image": options.rois_per_image,
        "positive_fraction": options.positive_ratio,
        "bbox_reg_weights": None,
        "score_thresh": options.score_threshold,
        "nms_thresh": options.nms_iou,
        "detections_per_img": options.max_instances,
        "mask_roi_pool": roi_align(MASK_SIDE),
        "mask_head": MaskRCNNHeads(width, (width,) * MASK_DEPTH, 1),
        "mask_predictor": ExactMaskPredictor(width, width, num_classes + 1),
    }


@register("mask_rcnn", task="instance")
def mask_rcnn(
    *, num_classes: int, in_channels: int = 3, backbone: str = "resnet50", **options: Any
) -> InstanceRcnn:
    """Build Mask R-CNN on a backbone of timm.

    Args:
        num_classes: Foreground classes.
        in_channels: Number of input bands.
        backbone: timm's name, for example ``resnet18`` or ``hrnet_w18``.
        options: ``pretrained`` and ``freeze`` of the backbone, and those of
            :class:`engine.models.blocks.rcnn_parts.RcnnOptions`.
    """
    pretrained, freeze = options.pop("pretrained", ""), options.pop("freeze", None)
    chosen = RcnnOptions(**options)
    body = rcnn_backbone(
        backbone,
        in_channels=in_channels,
        width=chosen.width,
        pretrained=pretrained,
        freeze=freeze,
    )
    heads = RoIHeads(**single_stage_heads(num_classes, chosen))
    return InstanceRcnn(
        body, heads, num_classes=num_classes, in_channels=in_channels, options=chosen
    )


@register("mask_rcnn_r50", task="instance")
def mask_rcnn_r50(*, num_classes: int, in_channels: int = 3, **options: Any) -> InstanceRcnn:
    """Build Mask R-CNN on ResNet-50 (43.75 M trainable parameters for one class, frozen)."""
    return mask_rcnn(
        num_classes=num_classes, in_channels=in_channels, backbone="resnet50", **options
    )


@register("mask_rcnn_r101", task="instance")
def mask_rcnn_r101(*, num_classes: int, in_channels: int = 3, **options: Any) -> InstanceRcnn:
    """Build Mask R-CNN on ResNet-101 (62.74 M)."""
    return mask_rcnn(
        num_classes=num_classes, in_channels=in_channels, backbone="resnet101", **options
    )


@register("mask_rcnn_hrfpn_w18", task="instance")
def mask_rcnn_hrfpn_w18(*, num_classes: int, in_channels: int = 3, **options: Any) -> InstanceRcnn:
    """Build Mask R-CNN on HRNet-W18 (29.70 M)."""
    return mask_rcnn(
        num_classes=num_classes, in_channels=in_channels, backbone="hrnet_w18", **options
    )


@register("mask_rcnn_hrfpn_w32", task="instance")
def mask_rcnn_hrfpn_w32(*, num_classes: int, in_channels: int = 3, **options: Any) -> InstanceRcnn:
    """Build Mask R-CNN on HRNet-W32 (49.50 M)."""
    return mask_rcnn(
        num_classes=num_classes, in_channels=in_channels, backbone="hrnet_w32", **options
    )


@register("mask_rcnn_hrfpn_w40", task="instance")
def mask_rcnn_hrfpn_w40(*, num_classes: int, in_channels: int = 3, **options: Any) -> InstanceRcnn:
    """Build Mask R-CNN on HRNet-W40 (65.75 M)."""
    return mask_rcnn(
        num_classes=num_classes, in_channels=in_channels, backbone="hrnet_w40", **options
    )
