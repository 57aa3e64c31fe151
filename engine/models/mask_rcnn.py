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

from collections.abc import Callable, Mapping
from typing import Any

from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads
from torchvision.models.detection.roi_heads import RoIHeads

from .blocks.detection_backbone import DetectionBackbone
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
from .registry import INSTANCE, register, register_backbones

MASK_DEPTH = 4


def build_rcnn(
    make_heads: Callable[[int, RcnnOptions], RoIHeads],
    backbone: str,
    *,
    num_classes: int,
    in_channels: int,
    options: Mapping[str, Any],
) -> InstanceRcnn:
    """Build a two-stage network: high-resolution pyramid on HRNet, else a feature pyramid.

    Args:
        make_heads: From the foreground classes and the options to the heads of the regions.
        backbone: timm's name.
        num_classes: Foreground classes.
        in_channels: Number of input bands.
        options: ``pretrained`` and ``freeze`` of the backbone, and those of
            :class:`engine.models.blocks.rcnn_parts.RcnnOptions`.
    """
    own = dict(options)
    body = DetectionBackbone.with_options(backbone, in_channels, own)
    chosen = RcnnOptions(**own)
    pyramid = "hrfpn" if backbone.startswith("hrnet") else "fpn"
    neck = named_neck(pyramid, body.channels, chosen.width)
    return InstanceRcnn(
        RcnnBackbone(body, neck),
        make_heads(num_classes, chosen),
        num_classes=num_classes,
        in_channels=in_channels,
        options=chosen,
    )


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


@register("mask_rcnn", task=INSTANCE)
def mask_rcnn(
    *, num_classes: int, in_channels: int = 3, backbone: str = "resnet50", **options: Any
) -> InstanceRcnn:
    """Build Mask R-CNN on a backbone of timm.

    Args:
        num_classes: Foreground classes.
        in_channels: Number of input bands.
        backbone: timm's name, for example ``resnet18`` or ``hrnet_w18``.
        options: See :func:`build_rcnn`.
    """
    return build_rcnn(
        lambda classes, chosen: RoIHeads(**single_stage_heads(classes, chosen)),
        backbone,
        num_classes=num_classes,
        in_channels=in_channels,
        options=options,
    )


register_backbones(
    mask_rcnn,
    task=INSTANCE,
    backbones={
        "mask_rcnn_r50": "resnet50",
        "mask_rcnn_r101": "resnet101",
        "mask_rcnn_hrfpn_w18": "hrnet_w18",
        "mask_rcnn_hrfpn_w32": "hrnet_w32",
        "mask_rcnn_hrfpn_w40": "hrnet_w40",
    },
)
