"""Cascade Mask R-CNN: three stages of boxes and masks on ResNet with feature pyramid.

Cai, Vasconcelos, "Cascade R-CNN: high quality object detection and instance segmentation",
TPAMI 2021, arXiv:1906.09756. With ``mask_flow="v2"`` it is the paper HQ-ISNet's "Cascade Mask
R-CNN + ISNetV2" (Su et al., Remote Sensing 12 (2020), 989, tables 5 and 6).

Implemented: class-agnostic boxes, overlaps 0.5, 0.6 and 0.7, mean of scores and masks of the
stages.

Differences from the paper:
    * images come in normalised and keep their pixels unless ``resize_px`` is given;
    * random weights unless ``pretrained`` is given; only then stem and first stage are frozen.
"""

from __future__ import annotations

from typing import Any

from .blocks.cascade_roi_heads import CascadeRoiHeads
from .blocks.mask_heads import Flow, MaskCascade
from .blocks.rcnn_parts import InstanceRcnn, RcnnOptions
from .mask_rcnn import rcnn_backbone
from .registry import register


def cascade(
    name: str,
    *,
    num_classes: int,
    in_channels: int,
    mask_flow: Flow,
    idle_first_bridge: bool = False,
    **options: Any,
) -> InstanceRcnn:
    """Build a cascade on a backbone.

    Args:
        name: timm's name of the backbone.
        num_classes: Foreground classes.
        in_channels: Number of input bands.
        mask_flow: See :class:`engine.models.blocks.mask_heads.MaskCascade`.
        idle_first_bridge: See there.
        options: ``pretrained`` and ``freeze`` of the backbone, and those of
            :class:`engine.models.blocks.rcnn_parts.RcnnOptions`.
    """
    pretrained, freeze = options.pop("pretrained", ""), options.pop("freeze", None)
    chosen = RcnnOptions(**options)
    backbone = rcnn_backbone(
        name,
        in_channels=in_channels,
        width=chosen.width,
        pretrained=pretrained,
        freeze=freeze,
    )
    masks = MaskCascade(
        num_classes, flow=mask_flow, idle_first_bridge=idle_first_bridge, width=chosen.width
    )
    heads = CascadeRoiHeads(num_classes, masks, chosen)
    return InstanceRcnn(
        backbone, heads, num_classes=num_classes, in_channels=in_channels, options=chosen
    )


@register("cascade_mask_rcnn", task="instance")
def cascade_mask_rcnn(
    *,
    num_classes: int,
    in_channels: int = 3,
    backbone: str = "resnet50",
    mask_flow: Flow = "v1",
    **options: Any,
) -> InstanceRcnn:
    """Build Cascade Mask R-CNN on a backbone of timm; options as for :func:`cascade`."""
    return cascade(
        backbone,
        num_classes=num_classes,
        in_channels=in_channels,
        mask_flow=mask_flow,
        **options,
    )


@register("cascade_mask_rcnn_r50", task="instance")
def cascade_mask_rcnn_r50(
    *, num_classes: int, in_channels: int = 3, mask_flow: Flow = "v1", **options: Any
) -> InstanceRcnn:
    """Build Cascade Mask R-CNN on ResNet-50 (76.80 M trainable for one class, frozen).

    ``mask_flow="v2"`` adds the bridges of ISNetV2; further options as for :func:`cascade`.
    """
    return cascade(
        "resnet50",
        num_classes=num_classes,
        in_channels=in_channels,
        mask_flow=mask_flow,
        **options,
    )


@register("cascade_mask_rcnn_r101", task="instance")
def cascade_mask_rcnn_r101(
    *, num_classes: int, in_channels: int = 3, mask_flow: Flow = "v1", **options: Any
) -> InstanceRcnn:
    """Build Cascade Mask R-CNN on ResNet-101 (95.79 M); options as for ResNet-50."""
    return cascade(
        "resnet101",
        num_classes=num_classes,
        in_channels=in_channels,
        mask_flow=mask_flow,
        **options,
    )
