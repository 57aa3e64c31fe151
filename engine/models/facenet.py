"""FACENet: feature aggregation and context enhancement for instances (no face recognition).

Zhao, Liu, Cheng, Zhang, Chen, "FACENet: a fusion atrous and channel enhancement network for remote
sensing image instance segmentation", Information Technology and Control 54 (2025), 99-114,
DOI 10.5755/j01.itc.54.1.36913.

Implemented: sub-pixel laterals (eq. 1), integrated map (eq. 2), sub-pixel context (eq. 3), channel
attention (eqs. 4 and 5), semantic enhancement module (eqs. 6 and 7), deformable convolutions, the
losses of eqs. 9 to 11; SOLOv2's head, targets and Matrix NMS. A switch for every module of the
ablation.

Differences from the paper:
    * widths that the text leaves open (semantic enhancement 128, pooling branches 64) are chosen
      so that the parameters are those printed, 93.28 M;
    * the integrated map lies at stride 8; dilation rates of the pooling are 6, 12 and 18;
    * the pooling branch of the scene is normalised over channels, so that one image can train;
    * the context branch with four times upsampling starts from a 3×3 maximum of stride 2, because
      a global maximum has no 2W × 2H pixels;
    * deformable convolutions replace all convolutions of kernel and category towers;
    * as in SOLOv2 here, a cell that two instances claim belongs to the smaller one;
    * random weights unless ``pretrained`` is given; only then stem and first stage are frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from .blocks.detection_backbone import DetectionBackbone
from .blocks.detection_necks import FpnNeck
from .blocks.face_fpn import FaceFpn, SemanticEnhancement
from .registry import register
from .solov2 import SoloOptions, SoloV2

DCN_IN = ("kernel", "cate")


class FaceNeck(nn.Module):
    """Semantic enhancement of the finest map, then FACE-FPN or a plain pyramid.

    Args:
        in_channels: Widths of the backbone's maps, finest first.
        sem: Whether the finest map is enhanced.
        face_fpn: Whether the pyramid is FACE-FPN.
        cag_relu: See :class:`engine.models.blocks.face_fpn.ChannelAttention`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        *,
        sem: bool = True,
        face_fpn: bool = True,
        cag_relu: bool = False,
    ) -> None:
        super().__init__()
        self.enhance = SemanticEnhancement(in_channels[0]) if sem else nn.Identity()
        self.pyramid = FaceFpn(in_channels, cag_relu=cag_relu) if face_fpn else FpnNeck(in_channels)
        self.width = self.pyramid.width

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return five maps at strides 4 to 64 of maps at strides 4 to 32."""
        pyramid: list[Tensor] = self.pyramid([self.enhance(maps[0]), *maps[1:]])
        return pyramid


def build_facenet(
    backbone: DetectionBackbone,
    *,
    num_classes: int,
    sem: bool = True,
    face_fpn: bool = True,
    dcn: bool = True,
    cag_relu: bool = False,
    options: SoloOptions | None = None,
) -> SoloV2:
    """Build FACENet on any backbone.

    Args:
        backbone: Maps at strides 4 to 32.
        num_classes: Foreground classes.
        sem: With the semantic enhancement module.
        face_fpn: With FACE-FPN, else a plain feature pyramid.
        dcn: With deformable convolutions where ``options.dcn_in`` says, by default in both
            towers.
        cag_relu: See :class:`engine.models.blocks.face_fpn.ChannelAttention`.
        options: Head, targets and inference.
    """
    chosen = options or SoloOptions()
    places = (tuple(chosen.dcn_in) or DCN_IN) if dcn else ()
    return SoloV2(
        num_classes=num_classes,
        backbone=backbone,
        neck=FaceNeck(backbone.channels, sem=sem, face_fpn=face_fpn, cag_relu=cag_relu),
        options=replace(chosen, dcn_in=places),
    )


@register("facenet_r101", task="instance")
def facenet_r101(
    *,
    num_classes: int,
    in_channels: int = 3,
    pretrained: str = "",
    freeze: bool | None = None,
    sem: bool = True,
    face_fpn: bool = True,
    dcn: bool = True,
    **options: Any,
) -> SoloV2:
    """Build FACENet on ResNet-101 (93.35 M trainable parameters for 15 classes, frozen).

    The ablation of the paper: ``sem``, ``face_fpn`` and ``dcn``; all off is SOLOv2. Further
    options are those of :class:`engine.models.solov2.SoloOptions`.
    """
    return build_facenet(
        DetectionBackbone(
            "resnet101", in_channels=in_channels, pretrained=pretrained, freeze=freeze
        ),
        num_classes=num_classes,
        sem=sem,
        face_fpn=face_fpn,
        dcn=dcn,
        options=SoloOptions(**options),
    )


@register("facenet_r50", task="instance")
def facenet_r50(
    *,
    num_classes: int,
    in_channels: int = 3,
    pretrained: str = "",
    freeze: bool | None = None,
    sem: bool = True,
    face_fpn: bool = True,
    dcn: bool = True,
    **options: Any,
) -> SoloV2:
    """Build FACENet on ResNet-50; options as for :func:`facenet_r101`."""
    return build_facenet(
        DetectionBackbone(
            "resnet50", in_channels=in_channels, pretrained=pretrained, freeze=freeze
        ),
        num_classes=num_classes,
        sem=sem,
        face_fpn=face_fpn,
        dcn=dcn,
        options=SoloOptions(**options),
    )
