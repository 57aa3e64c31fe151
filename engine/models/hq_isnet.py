"""HQ-ISNet: high-quality instance segmentation for remote sensing imagery.

Su, Wei, Liu, Liang, Wang, Shi, Zhang, "HQ-ISNet: high-quality instance segmentation for remote
sensing imagery", Remote Sensing 12 (2020), 989, DOI 10.3390/rs12060989.

Implemented: HRNet with its own widths, HRFPN, a cascade of three stages with class-agnostic boxes,
mask heads ISNetV1 and ISNetV2 (mask information flow), mean of scores and masks of the stages.

Differences from the paper:
    * HRFPN is concatenation, 1×1, mean pooling and a 3×3 per level: the text describes something
      else, but only this has the printed parameters;
    * the first of three bridges, which is never used, is left out; ``idle_first_bridge=True``
      gives the printed count;
    * stage weights 1, 0.5 and 0.25, which the loss of the paper does not show;
    * images come in normalised and keep their pixels; ``resize_px=(600, 1000)`` is the paper's;
    * random weights unless ``pretrained`` is given.
"""

from __future__ import annotations

from typing import Any

from .blocks.mask_heads import Flow
from .blocks.rcnn_parts import InstanceRcnn
from .cascade_mask_rcnn import cascade_mask_rcnn
from .registry import INSTANCE, register, register_backbones


@register("hq_isnet", task=INSTANCE)
def hq_isnet(
    *,
    num_classes: int,
    in_channels: int = 3,
    backbone: str = "hrnet_w18",
    mask_flow: Flow = "v2",
    **options: Any,
) -> InstanceRcnn:
    """Build HQ-ISNet on a HRNet of timm, for example ``hrnet_w18_small``.

    ``mask_flow="v1"`` is ISNetV1; further options as for
    :func:`engine.models.cascade_mask_rcnn.cascade_mask_rcnn`.
    """
    return cascade_mask_rcnn(
        num_classes=num_classes,
        in_channels=in_channels,
        backbone=backbone,
        mask_flow=mask_flow,
        **options,
    )


register_backbones(
    hq_isnet,
    task=INSTANCE,
    backbones={
        "hq_isnet_w18": "hrnet_w18",
        "hq_isnet_w32": "hrnet_w32",
        "hq_isnet_w40": "hrnet_w40",
    },
)
