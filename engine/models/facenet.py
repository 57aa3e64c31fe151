"""FACENet: feature aggregation and context enhancement for instances (no face recognition).

Zhao, Liu, Cheng, Zhang, Chen, "FACENet: a fusion atrous and channel enhancement network for remote
sensing image instance segmentation", Information Technology and Control 54 (2025), 99-114,
DOI 10.5755/j01.itc.54.1.36913.

Implemented: sub-pixel laterals (eq. 1), integrated map (eq. 2), sub-pixel context (eq. 3), channel
attention (eqs. 4 and 5), semantic enhancement module (eqs. 6 and 7), deformable convolutions, the
losses of eqs. 9 to 11; SOLOv2's head, targets and Matrix NMS. A switch for every module of the
ablation, and the pyramids of table 8 in the place of FACE-FPN.

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
from typing import Any

from torch import Tensor, nn

from .blocks.detection_backbone import DetectionBackbone
from .blocks.detection_necks import WIDTH
from .blocks.face_fpn import FaceFpn, SemanticEnhancement
from .blocks.path_necks import named_neck
from .blocks.solo_losses import SoloOptions
from .registry import INSTANCE, register, register_backbones
from .solov2 import SoloV2

DCN_IN = ("kernel", "cate")
FACE_FPN = "face_fpn"


class FaceNeck(nn.Module):
    """Semantic enhancement of the finest map, then FACE-FPN or another pyramid.

    Args:
        in_channels: Widths of the backbone's maps, finest first.
        sem: Whether the finest map is enhanced.
        neck: ``face_fpn`` or a name of :func:`engine.models.blocks.path_necks.named_neck`.
        width: Width of the pyramid.
        cag_relu: See :class:`engine.models.blocks.face_fpn.ChannelAttention`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        *,
        sem: bool = True,
        neck: str = FACE_FPN,
        width: int = WIDTH,
        cag_relu: bool = False,
    ) -> None:
        super().__init__()
        self.enhance = SemanticEnhancement(in_channels[0]) if sem else nn.Identity()
        self.pyramid = (
            FaceFpn(in_channels, width, cag_relu=cag_relu)
            if neck == FACE_FPN
            else named_neck(neck, in_channels, width)
        )
        self.width = width

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return five maps at strides 4 to 64 of maps at strides 4 to 32."""
        pyramid: list[Tensor] = self.pyramid([self.enhance(maps[0]), *maps[1:]])
        return pyramid


@register("facenet", task=INSTANCE)
def facenet(
    *,
    num_classes: int,
    in_channels: int = 3,
    backbone: str = "resnet50",
    sem: bool = True,
    neck: str = FACE_FPN,
    dcn: bool = True,
    **options: Any,
) -> SoloV2:
    """Build FACENet on a backbone of timm.

    The ablation of the paper: ``sem``, ``neck`` and ``dcn``; with ``sem=False``, ``neck="fpn"`` and
    ``dcn=False`` it is SOLOv2.

    Args:
        num_classes: Foreground classes.
        in_channels: Number of input bands.
        backbone: timm's name, for example ``resnet18`` or ``hrnet_w18``.
        sem: With the semantic enhancement module.
        neck: ``face_fpn``, or one of table 8: ``fpn``, ``pafpn``, ``bifpn`` and ``hrfpn``.
        dcn: With deformable convolutions where ``dcn_in`` says, by default in both towers.
        options: ``neck_width`` and ``cag_relu`` of :class:`FaceNeck`, ``pretrained`` and ``freeze``
            of the backbone, and those of :class:`engine.models.blocks.solo_losses.SoloOptions`.
    """
    width, relu = options.pop("neck_width", WIDTH), options.pop("cag_relu", False)
    places = tuple(options.pop("dcn_in", ())) or DCN_IN
    body = DetectionBackbone.with_options(backbone, in_channels, options)
    return SoloV2(
        num_classes=num_classes,
        backbone=body,
        neck=FaceNeck(body.channels, sem=sem, neck=neck, width=width, cag_relu=relu),
        options=SoloOptions(dcn_in=places if dcn else (), **options),
    )


register_backbones(
    facenet,
    task=INSTANCE,
    backbones={"facenet_r50": "resnet50", "facenet_r101": "resnet101"},
)
