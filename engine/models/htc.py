"""Hybrid task cascade: boxes and masks interleaved, with a map of the whole scene.

Chen, Pang, Wang, Xiong, Li, Sun, Feng, Liu, Shi, Ouyang, Loy, Lin, "Hybrid task cascade for
instance segmentation", CVPR 2019, arXiv:1901.07518. HQ-ISNet is compared with it (Su et al., Remote
Sensing 12 (2020), 989, tables 7 and 8).

Implemented: interleaved execution, information flow between mask heads, semantic branch whose
features are added to those of each region, mean of scores and masks of the stages.

Differences from the paper:
    * the class map that the semantic branch learns is drawn from the instances, no labels of
      other things are needed; ``semantic=False`` leaves the branch out;
    * images come in normalised and keep their pixels unless ``resize_px`` is given;
    * random weights unless ``pretrained`` is given; only then stem and first stage are frozen.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional
from torchvision.ops import roi_align

from .blocks.cascade_roi_heads import CascadeRoiHeads, Sizes, Target
from .blocks.mask_heads import MaskCascade
from .blocks.rcnn_parts import (
    BOX_SIDE,
    MASK_SIDE,
    ROI_STRIDES_LOG2,
    InstanceRcnn,
    RcnnOptions,
)
from .blocks.semantic_branch import LEVEL, SemanticBranch, class_maps, semantic_loss
from .mask_rcnn import build_rcnn
from .registry import INSTANCE, register, register_backbones

SEMANTIC = "semantic"
SEMANTIC_WEIGHT = 0.2
SEMANTIC_STRIDE_PX = 2 ** ROI_STRIDES_LOG2[LEVEL]


class HtcRoiHeads(CascadeRoiHeads):
    """Heads of a cascade with interleaved masks and a semantic branch.

    Args:
        num_classes: Foreground classes.
        options: Sampling and inference.
        semantic: Whether there is a semantic branch.
        idle_first_bridge: See :class:`engine.models.blocks.mask_heads.MaskCascade`.
    """

    def __init__(
        self,
        num_classes: int,
        options: RcnnOptions,
        *,
        semantic: bool = True,
        idle_first_bridge: bool = False,
    ) -> None:
        masks = MaskCascade(
            num_classes, flow="v2", idle_first_bridge=idle_first_bridge, width=options.width
        )
        super().__init__(num_classes, masks, options, interleaved=True)
        self.semantic = SemanticBranch(num_classes, options.width) if semantic else None

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: Sizes,
        targets: list[Target] | None = None,
    ) -> tuple[list[Target], dict[str, Tensor]]:
        """Return the instances of each image and the losses; one of both is empty."""
        if self.semantic is None:
            return super().forward(features, proposals, image_shapes, targets)
        embedding, logits = self.semantic(list(features.values()))
        seen = {**features, SEMANTIC: embedding}
        found, losses = super().forward(seen, proposals, image_shapes, targets)
        if self.training and targets is not None:
            maps = class_maps(targets, image_shapes, SEMANTIC_STRIDE_PX)
            losses["loss_semantic"] = SEMANTIC_WEIGHT * semantic_loss(logits, maps)
        return found, losses

    def pool_boxes(
        self, features: dict[str, Tensor], boxes: list[Tensor], image_shapes: Sizes
    ) -> Tensor:
        """Return region features plus those of the semantic embedding, ``[R, width, 7, 7]``."""
        pooled = super().pool_boxes(features, boxes, image_shapes)
        if self.semantic is None:
            return pooled
        scene = functional.adaptive_avg_pool2d(_scene(features, boxes), BOX_SIDE)
        return pooled + scene.to(pooled)

    def pool_masks(
        self, features: dict[str, Tensor], boxes: list[Tensor], image_shapes: Sizes
    ) -> Tensor:
        """Return region features plus those of the semantic embedding, ``[R, width, 14, 14]``."""
        pooled = super().pool_masks(features, boxes, image_shapes)
        if self.semantic is None:
            return pooled
        return pooled + _scene(features, boxes).to(pooled)


def _scene(features: dict[str, Tensor], boxes: list[Tensor]) -> Tensor:
    aligned: Tensor = roi_align(
        features[SEMANTIC],
        boxes,
        MASK_SIDE,
        spatial_scale=1 / SEMANTIC_STRIDE_PX,
        sampling_ratio=2,
    )
    return aligned


@register("htc", task=INSTANCE)
def htc(
    *,
    num_classes: int,
    in_channels: int = 3,
    backbone: str = "resnet50",
    semantic: bool = True,
    idle_first_bridge: bool = False,
    **options: Any,
) -> InstanceRcnn:
    """Build a hybrid task cascade on a backbone of timm.

    Args:
        num_classes: Foreground classes.
        in_channels: Number of input bands.
        backbone: timm's name, for example ``resnet18`` or ``hrnet_w18``.
        semantic: Whether there is a semantic branch.
        idle_first_bridge: See :class:`engine.models.blocks.mask_heads.MaskCascade`.
        options: See :func:`engine.models.mask_rcnn.build_rcnn`.
    """

    def make_heads(classes: int, chosen: RcnnOptions) -> HtcRoiHeads:
        return HtcRoiHeads(classes, chosen, semantic=semantic, idle_first_bridge=idle_first_bridge)

    return build_rcnn(
        make_heads, backbone, num_classes=num_classes, in_channels=in_channels, options=options
    )


register_backbones(htc, task=INSTANCE, backbones={"htc_r50": "resnet50", "htc_r101": "resnet101"})
