"""Semantic FPN as FarSeg's own baseline: ResNet-50, FPN with 3×3, light-weight decoder.

Kirillov, Girshick, He, Dollár, "Panoptic feature pyramid networks", CVPR 2019, arXiv:1901.02446,
in the form of table 2 of Zheng, Zhong, Wang, Ma, "Foreground-aware relation network for
geospatial object segmentation in high spatial resolution remote sensing imagery", CVPR 2020.

Implemented: network; loss = mean cross-entropy over labelled pixels.

Differences from the paper:
    * batch normalisation and a mean over levels (FarSeg's decoder) instead of group
      normalisation and a sum;
    * random weights unless ``pretrained`` is given.
"""

from __future__ import annotations

from torch import Tensor, nn

from .blocks.backbones import call_pyramid, pyramid_channels, timm_pyramid
from .blocks.fpn import FeaturePyramid, PyramidDecoder
from .blocks.segmenter import Segmenter
from .registry import register

STRIDE_PX = 32


class SemanticFpn(Segmenter):
    """ResNet, feature pyramid, light-weight decoder, 1×1 classifier at stride 4.

    Args:
        num_classes: All classes, background included.
        in_channels: Number of input bands.
        backbone: timm name of the backbone.
        width: Channels of the pyramid; the decoder has half of it.
        pretrained: See :func:`engine.models.blocks.backbones.timm_pyramid`.
        align_corners: How maps and logits are enlarged.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 3,
        backbone: str = "resnet50",
        width: int = 256,
        pretrained: str = "",
        align_corners: bool = True,
    ) -> None:
        super().__init__(num_classes=num_classes, stride_px=STRIDE_PX, align_corners=align_corners)
        self.backbone = timm_pyramid(backbone, in_channels=in_channels, pretrained=pretrained)
        self.neck = FeaturePyramid(pyramid_channels(self.backbone), width)
        self.decoder = PyramidDecoder(width, width // 2, align_corners=align_corners)
        self.classifier = nn.Conv2d(width // 2, num_classes, 1)

    def relate(self, pyramid: list[Tensor], maps: list[Tensor]) -> list[Tensor]:
        """Return the pyramid that is decoded; subclasses relate it to the backbone's maps."""
        return pyramid

    def heads(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the logits at stride 4."""
        maps = call_pyramid(self.backbone, images)
        pyramid = self.relate(self.neck(maps), maps)
        return (self.classifier(self.decoder(pyramid)),)


@register("semantic_fpn", task="semantic")
def semantic_fpn(
    *,
    num_classes: int,
    in_channels: int = 3,
    backbone: str = "resnet18",
    width: int = 128,
    pretrained: str = "",
    align_corners: bool = True,
) -> SemanticFpn:
    """Build a semantic FPN on any timm backbone with maps at strides 4, 8, 16 and 32."""
    return SemanticFpn(
        num_classes=num_classes,
        in_channels=in_channels,
        backbone=backbone,
        width=width,
        pretrained=pretrained,
        align_corners=align_corners,
    )


@register("semantic_fpn_r50", task="semantic")
def semantic_fpn_r50(
    *, num_classes: int, in_channels: int = 3, pretrained: str = "", align_corners: bool = True
) -> SemanticFpn:
    """Build FarSeg's baseline (28.476 M parameters for 16 classes)."""
    return SemanticFpn(
        num_classes=num_classes,
        in_channels=in_channels,
        pretrained=pretrained,
        align_corners=align_corners,
    )
