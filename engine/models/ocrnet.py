"""OCRNet: object-contextual representations on HRNet.

Yuan, Chen, Wang, "Object-contextual representations for semantic segmentation", ECCV 2020,
arXiv:1909.11065.

Implemented: coarse (auxiliary) head, object context, pixel augmentation, loss = cross-entropy of
the final logits + 0.4 × that of the coarse ones.

Differences from the paper:
    * plain cross-entropy without hard-example mining;
    * random weights unless ``pretrained`` is given.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks.backbones import call_pyramid, pyramid_channels, timm_pyramid
from .blocks.losses import cross_entropy
from .blocks.maps import concatenate_maps
from .blocks.ocr import ObjectContext, conv_norm_act
from .blocks.segmenter import Outputs, Segmenter, as_tuple
from .registry import register, register_backbones

STRIDE_PX = 32
WIDTH, KEY_WIDTH = 512, 256
COARSE_WEIGHT = 0.4


class OcrNet(Segmenter):
    """HRNet, coarse head, object context, classifier.

    Args:
        num_classes: All classes, background included.
        in_channels: Number of input bands.
        backbone: timm name of the HRNet.
        pretrained: See :func:`engine.models.blocks.backbones.timm_pyramid`.
        coarse_weight: Weight of the coarse logits' cross-entropy.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 3,
        backbone: str = "hrnet_w48",
        pretrained: str = "",
        coarse_weight: float = COARSE_WEIGHT,
    ) -> None:
        super().__init__(num_classes=num_classes, stride_px=STRIDE_PX)
        self.coarse_weight = coarse_weight
        self.backbone = timm_pyramid(backbone, in_channels=in_channels, pretrained=pretrained)
        width = sum(pyramid_channels(self.backbone))
        self.coarse = nn.Sequential(
            conv_norm_act(width, width, bias=True, act=nn.ReLU), nn.Conv2d(width, num_classes, 1)
        )
        self.features = conv_norm_act(width, WIDTH, 3, bias=True, act=nn.ReLU)
        self.context = ObjectContext(WIDTH, KEY_WIDTH, act=nn.ReLU)
        self.merge = nn.Sequential(conv_norm_act(2 * WIDTH, WIDTH, act=nn.ReLU), nn.Dropout2d(0.05))
        self.classifier = nn.Conv2d(WIDTH, num_classes, 1)

    def heads(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return coarse and final logits at stride 4."""
        maps = concatenate_maps(call_pyramid(self.backbone, images))
        coarse = self.coarse(maps)
        features = self.features(maps)
        joined = torch.cat((self.context(features, coarse), features), dim=1)
        return coarse, self.classifier(self.merge(joined))

    def loss(self, outputs: Outputs, target: Tensor, ignore_index: int = 255) -> dict[str, Tensor]:
        """Return the cross-entropy of both outputs and their weighted sum.

        Args:
            outputs: What the network returned in training.
            target: Class ids int64 ``[N, H, W]``.
            ignore_index: Value of pixels without a label.
        """
        coarse, final = (cross_entropy(x, target, ignore_index) for x in as_tuple(outputs))
        return {"loss": final + self.coarse_weight * coarse, "final": final, "coarse": coarse}


@register("ocrnet", task="semantic")
def ocrnet(
    *,
    num_classes: int,
    in_channels: int = 3,
    backbone: str = "hrnet_w18_small",
    pretrained: str = "",
    coarse_weight: float = COARSE_WEIGHT,
) -> OcrNet:
    """Build OCRNet on any HRNet of timm; 70.37 M parameters on HRNet-W48 for 19 classes."""
    return OcrNet(
        num_classes=num_classes,
        in_channels=in_channels,
        backbone=backbone,
        pretrained=pretrained,
        coarse_weight=coarse_weight,
    )


register_backbones(ocrnet, task="semantic", backbones={"ocrnet_w48": "hrnet_w48"})
