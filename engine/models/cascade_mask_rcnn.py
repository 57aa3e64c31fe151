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
from .mask_rcnn import build_rcnn
from .registry import INSTANCE, register, register_backbones


@register("cascade_mask_rcnn", task=INSTANCE)
def cascade_mask_rcnn(
    *,
    num_classes: int,
    in_channels: int = 3,
    backbone: str = "resnet50",
    mask_flow: Flow = "v1",
    idle_first_bridge: bool = False,
    **options: Any,
) -> InstanceRcnn:
    """Build Cascade Mask R-CNN on a backbone of timm.

    Args:
        num_classes: Foreground classes.
        in_channels: Number of input bands.
        backbone: timm's name, for example ``resnet18`` or ``hrnet_w18``.
        mask_flow: See :class:`engine.models.blocks.mask_heads.MaskCascade`; ``v2`` adds the
            bridges of ISNetV2.
        idle_first_bridge: See there.
        options: See :func:`engine.models.mask_rcnn.build_rcnn`.
    """

    def make_heads(classes: int, chosen: RcnnOptions) -> CascadeRoiHeads:
        masks = MaskCascade(
            classes, flow=mask_flow, idle_first_bridge=idle_first_bridge, width=chosen.width
        )
        return CascadeRoiHeads(classes, masks, chosen)

    return build_rcnn(
        make_heads, backbone, num_classes=num_classes, in_channels=in_channels, options=options
    )


register_backbones(
    cascade_mask_rcnn,
    task=INSTANCE,
    backbones={"cascade_mask_rcnn_r50": "resnet50", "cascade_mask_rcnn_r101": "resnet101"},
)
