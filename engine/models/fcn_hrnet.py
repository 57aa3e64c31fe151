"""FCN on HRNet: the four maps of HRNet concatenated at stride 4 and classified.

Wang et al., "Deep high-resolution representation learning for visual recognition", TPAMI 2021,
arXiv:1908.07919; head after Long, Shelhamer, Darrell, "Fully convolutional networks for semantic
segmentation", CVPR 2015. It is the coarse and the fine network of C2FNet.

Implemented: network; loss = mean cross-entropy over labelled pixels.

Differences from the paper:
    * random weights unless ``pretrained`` is given.
"""

from __future__ import annotations

from torch import Tensor, nn

from .blocks.backbones import call_pyramid, pyramid_channels, timm_pyramid
from .blocks.maps import concatenate_maps
from .blocks.segmenter import Segmenter
from .registry import register, register_backbones

STRIDE_PX = 32
HEAD_STD = 0.001


class FcnHrnet(Segmenter):
    """HRNet with a 1×1 head.

    Args:
        num_classes: All classes, background included.
        in_channels: Number of input bands.
        backbone: timm name of the HRNet.
        pretrained: See :func:`engine.models.blocks.backbones.timm_pyramid`.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 3,
        backbone: str = "hrnet_w18",
        pretrained: str = "",
    ) -> None:
        super().__init__(num_classes=num_classes, stride_px=STRIDE_PX)
        self.backbone = timm_pyramid(backbone, in_channels=in_channels, pretrained=pretrained)
        width = sum(pyramid_channels(self.backbone))
        self.head = nn.Sequential(
            nn.Conv2d(width, width, 1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, num_classes, 1),
        )
        for layer in self.head:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=HEAD_STD)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def heads(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the logits at stride 4."""
        maps = call_pyramid(self.backbone, images)
        return (self.head(concatenate_maps(maps)),)


@register("fcn_hrnet", task="semantic")
def fcn_hrnet(
    *,
    num_classes: int,
    in_channels: int = 3,
    backbone: str = "hrnet_w18_small",
    pretrained: str = "",
) -> FcnHrnet:
    """Build FCN on any HRNet of timm.

    For 16 classes it has 9.64 M parameters on HRNet-W18 and 65.86 M on HRNet-W48.
    """
    return FcnHrnet(
        num_classes=num_classes,
        in_channels=in_channels,
        backbone=backbone,
        pretrained=pretrained,
    )


register_backbones(
    fcn_hrnet,
    task="semantic",
    backbones={"fcn_hrnet_w18": "hrnet_w18", "fcn_hrnet_w48": "hrnet_w48"},
)
