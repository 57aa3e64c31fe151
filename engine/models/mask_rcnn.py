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

from torch import nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads

from .blocks.detection_backbone import DetectionBackbone
from .blocks.detection_necks import WIDTH, FpnNeck, HighResolutionNeck
from .blocks.rcnn_parts import (
    BOX_SIDE,
    HIDDEN,
    MASK_SIDE,
    InstanceRcnn,
    RcnnBackbone,
    RcnnOptions,
    roi_align,
)
from .registry import register

MASK_LAYERS = (WIDTH,) * 4


def rcnn_backbone(
    name: str, *, in_channels: int, pretrained: str = "", freeze: bool | None = None
) -> RcnnBackbone:
    """Build backbone and neck: feature pyramid on ResNet, high-resolution pyramid on HRNet."""
    backbone = DetectionBackbone(
        name, in_channels=in_channels, pretrained=pretrained, freeze=freeze
    )
    neck: nn.Module
    if name.startswith("hrnet"):
        neck = HighResolutionNeck(backbone.channels)
    else:
        neck = FpnNeck(backbone.channels)
    return RcnnBackbone(backbone, neck)


def _mask_rcnn(name: str, num_classes: int, in_channels: int, **options: Any) -> InstanceRcnn:
    pretrained, freeze = options.pop("pretrained", ""), options.pop("freeze", None)
    backbone = rcnn_backbone(name, in_channels=in_channels, pretrained=pretrained, freeze=freeze)
    chosen = RcnnOptions(**options)
    heads = RoIHeads(
        roi_align(BOX_SIDE),
        TwoMLPHead(WIDTH * BOX_SIDE**2, HIDDEN),
        FastRCNNPredictor(HIDDEN, num_classes + 1),
        0.5,
        0.5,
        chosen.rois_per_image,
        chosen.positive_ratio,
        None,
        chosen.score_threshold,
        chosen.nms_iou,
        chosen.max_instances,
        roi_align(MASK_SIDE),
        MaskRCNNHeads(WIDTH, MASK_LAYERS, 1),
        MaskRCNNPredictor(WIDTH, WIDTH, num_classes + 1),
    )
    return InstanceRcnn(backbone, heads, in_channels=in_channels, options=chosen)


@register("mask_rcnn_r50", task="instance")
def mask_rcnn_r50(*, num_classes: int, in_channels: int = 3, **options: Any) -> InstanceRcnn:
    """Build Mask R-CNN on ResNet-50 (43.75 M trainable parameters for one class, frozen).

    ``options``: ``pretrained`` and ``freeze`` of the backbone, and those of
    :class:`engine.models.blocks.rcnn_parts.RcnnOptions`.
    """
    return _mask_rcnn("resnet50", num_classes, in_channels, **options)


@register("mask_rcnn_r101", task="instance")
def mask_rcnn_r101(*, num_classes: int, in_channels: int = 3, **options: Any) -> InstanceRcnn:
    """Build Mask R-CNN on ResNet-101 (62.74 M); options as for :func:`mask_rcnn_r50`."""
    return _mask_rcnn("resnet101", num_classes, in_channels, **options)


@register("mask_rcnn_hrfpn_w18", task="instance")
def mask_rcnn_hrfpn_w18(*, num_classes: int, in_channels: int = 3, **options: Any) -> InstanceRcnn:
    """Build Mask R-CNN on HRNet-W18 (29.70 M); options as for :func:`mask_rcnn_r50`."""
    return _mask_rcnn("hrnet_w18", num_classes, in_channels, **options)


@register("mask_rcnn_hrfpn_w32", task="instance")
def mask_rcnn_hrfpn_w32(*, num_classes: int, in_channels: int = 3, **options: Any) -> InstanceRcnn:
    """Build Mask R-CNN on HRNet-W32 (49.50 M); options as for :func:`mask_rcnn_r50`."""
    return _mask_rcnn("hrnet_w32", num_classes, in_channels, **options)


@register("mask_rcnn_hrfpn_w40", task="instance")
def mask_rcnn_hrfpn_w40(*, num_classes: int, in_channels: int = 3, **options: Any) -> InstanceRcnn:
    """Build Mask R-CNN on HRNet-W40 (65.75 M); options as for :func:`mask_rcnn_r50`."""
    return _mask_rcnn("hrnet_w40", num_classes, in_channels, **options)
