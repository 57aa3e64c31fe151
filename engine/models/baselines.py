"""Semantic baselines of segmentation-models-pytorch and torchvision under our contract.

Nothing is downloaded unless it is asked for: ``encoder_weights`` is always None; ``pretrained``
names a local safetensors file of encoder weights, or is ``timm`` for timm's weights of the encoder.
Names that end in ``_r50`` fix the encoder to ResNet-50, ``segformer_b1`` to MiT-B1; the others
take any encoder of the library through ``encoder=``, timm's with the prefix ``tu-``.

PSPNet differs from the library's: its encoder is whole and dilated to a stride of 8, as in Zhao
et al., "Pyramid Scene Parsing Network", CVPR 2017; the library cuts it after the third stage and
leaves dead parameters. DPT's encoder ends with its last block.

PAN, DeepLabV3 and DeepLabV3+ normalise a feature that is averaged over the whole image. A batch
of one image has no statistics of it: there the running ones are used, so that it trains, too.
"""

from __future__ import annotations

import inspect
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch.nn.functional as functional
from torch import Tensor, nn
from torchvision.models.segmentation import fcn_resnet50
from torchvision.models.segmentation.fcn import FCNHead

from .blocks.pooled_norm import allow_single_values
from .blocks.pretrained import load_backbone
from .contracts import SemanticNetwork
from .registry import SEMANTIC, register

DIVISOR_PX = 32


class PaddedNetwork(SemanticNetwork):
    """A network that needs sides divisible by 32, made fit for any size.

    Images are extended to the right and below by their last column and row, and the logits
    are cut back.

    Args:
        net: Network with logits ``[N, K, H, W]`` at input size.
        divisor_px: What its input sides must be divisible by.
        least_px: Smallest side that it can take.
        dice_weight: Weight of the Dice term of the loss.
        label_smoothing: Label smoothing of the cross entropy.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        divisor_px: int = DIVISOR_PX,
        least_px: int = DIVISOR_PX,
        dice_weight: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.net = net
        self.divisor_px = divisor_px
        self.least_px = least_px
        self.dice_weight = dice_weight
        self.label_smoothing = label_smoothing

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[N, K, H, W]`` for images ``[N, C, H, W]``."""
        height, width = images.shape[-2:]
        below, right = self._missing_px(height), self._missing_px(width)
        if below or right:
            images = functional.pad(images, (0, right, 0, below), mode="replicate")
        logits: Tensor = self.net(images)
        return logits[..., :height, :width]

    def _missing_px(self, side_px: int) -> int:
        wanted = max(side_px, self.least_px)
        return wanted + -wanted % self.divisor_px - side_px


class TorchvisionNetwork(nn.Module):
    """Takes the entry ``out`` of a torchvision segmentation network."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[N, K, H, W]``."""
        logits: Tensor = self.net(images)["out"]
        return logits


class FeatureDropout:
    """Forward hook of an encoder: drops whole channels of its deeper features in training.

    The input image and the finest features stay whole, so that outlines stay sharp.

    Args:
        ratio: Share of channels that are dropped.
        first: Index of the first pyramid level that is thinned out.
    """

    def __init__(self, ratio: float, first: int = 2) -> None:
        self.ratio = ratio
        self.first = first

    def __call__(self, encoder: nn.Module, _: object, features: list[Tensor]) -> list[Tensor]:
        """Return the features with channels set to zero and the rest scaled up."""
        return [
            functional.dropout2d(f, self.ratio, training=encoder.training)
            if level >= self.first
            else f
            for level, f in enumerate(features)
        ]


SMP_ARCHITECTURES = {
    "unet": smp.Unet,
    "unetplusplus": smp.UnetPlusPlus,
    "fpn": smp.FPN,
    "linknet": smp.Linknet,
    "manet": smp.MAnet,
    "pan": smp.PAN,
    "pspnet": smp.PSPNet,
    "deeplabv3": smp.DeepLabV3,
    "deeplabv3plus": smp.DeepLabV3Plus,
    "upernet": smp.UPerNet,
    "segformer": smp.Segformer,
    "dpt": smp.DPT,
}


DEFAULT_ENCODERS = {"dpt": "tu-vit_base_patch16_224.augreg_in21k", "segformer": "mit_b0"}
ARCHITECTURE_OPTIONS: dict[str, dict[str, Any]] = {
    "pspnet": {"encoder_depth": 5},
    "dpt": {"dynamic_img_size": True},
}
LEAST_PX = {"pan": 128}
PSPNET_STRIDE = 8
# Set by the builder, or the library's catch-all that swallows misspelt names.
NOT_OPTIONS = {"encoder_name", "encoder_weights", "in_channels", "classes", "aux_params", "kwargs"}


def _smp(
    architecture: str, num_classes: int, in_channels: int, options: dict[str, Any]
) -> PaddedNetwork:
    loss = {key: options.pop(key) for key in ("dice_weight", "label_smoothing") if key in options}
    pretrained, dropout = options.pop("pretrained", ""), options.pop("feature_dropout", 0.0)
    encoder = options.pop("encoder")
    known = set(inspect.signature(SMP_ARCHITECTURES[architecture]).parameters) - NOT_OPTIONS
    unknown = sorted(set(options) - known)
    if unknown:
        raise ValueError(f"unknown option {unknown[0]!r}; known: {', '.join(sorted(known))}")
    net = SMP_ARCHITECTURES[architecture](
        encoder_name=encoder,
        encoder_weights=None,
        in_channels=in_channels,
        classes=num_classes,
        **{**ARCHITECTURE_OPTIONS.get(architecture, {}), **options},
    )
    if architecture == "pspnet":
        net.encoder.make_dilated(output_stride=PSPNET_STRIDE)
    if architecture == "dpt":
        _drop_classifier(net.encoder.model)
    allow_single_values(net)
    if dropout:
        net.encoder.register_forward_hook(FeatureDropout(dropout))
    if pretrained:
        load_backbone(net.encoder, pretrained, timm_name(encoder))
    return PaddedNetwork(net, least_px=LEAST_PX.get(architecture, DIVISOR_PX), **loss)


def _drop_classifier(transformer: nn.Module) -> None:
    """Take the parts of a vision transformer away that come after its last block."""
    for name in ("norm", "fc_norm", "head"):
        if hasattr(transformer, name):
            setattr(transformer, name, nn.Identity())


def _register_smp(name: str, architecture: str, default_encoder: str, *, fixed: bool) -> None:
    @register(name, task=SEMANTIC)
    def build(*, num_classes: int, in_channels: int = 3, **options: Any) -> PaddedNetwork:
        encoder = options.setdefault("encoder", default_encoder)
        if fixed and encoder != default_encoder:
            raise ValueError(f"has the encoder {default_encoder}; take {architecture!r} instead")
        return _smp(architecture, num_classes, in_channels, options)


for _name in SMP_ARCHITECTURES:
    _register_smp(_name, _name, DEFAULT_ENCODERS.get(_name, "resnet34"), fixed=False)
for _name in ("unet", "unetplusplus", "pspnet", "deeplabv3", "deeplabv3plus", "upernet"):
    _register_smp(f"{_name}_r50", _name, "resnet50", fixed=True)
_register_smp("segformer_b1", "segformer", "mit_b1", fixed=True)


def timm_name(encoder: str) -> str:
    """Return timm's name of an encoder, empty if timm has no such network."""
    name = encoder.removeprefix("tu-").replace("timm-", "")
    return name if timm.is_model(name.partition(".")[0]) else ""


class EncoderFcn(nn.Module):
    """Fully convolutional network: dilated encoder, torchvision's FCN head, bilinear resize.

    Long, Shelhamer, Darrell, "Fully convolutional networks for semantic segmentation", CVPR 2015.

    Args:
        encoder: Name of an encoder of the library.
        num_classes: Number of classes.
        in_channels: Number of bands.
        stride: Output stride of the encoder, 8, 16 or 32; 8 and 16 need an encoder that can be
            dilated.
    """

    def __init__(self, encoder: str, *, num_classes: int, in_channels: int, stride: int) -> None:
        super().__init__()
        self.encoder = smp.encoders.get_encoder(
            encoder, in_channels=in_channels, depth=5, weights=None, output_stride=stride
        )
        self.head = FCNHead(self.encoder.out_channels[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[N, K, H, W]``."""
        logits: Tensor = self.head(self.encoder(images)[-1])
        return functional.interpolate(
            logits, size=images.shape[-2:], mode="bilinear", align_corners=False
        )


@register("fcn", task=SEMANTIC)
def fcn(
    *,
    num_classes: int,
    in_channels: int = 3,
    encoder: str = "resnet34",
    stride: int = 16,
    pretrained: str = "",
    dice_weight: float = 0.0,
    label_smoothing: float = 0.0,
) -> PaddedNetwork:
    """Build an FCN on any encoder of the library."""
    net = EncoderFcn(encoder, num_classes=num_classes, in_channels=in_channels, stride=stride)
    if pretrained:
        load_backbone(net.encoder, pretrained, timm_name(encoder))
    return PaddedNetwork(net, dice_weight=dice_weight, label_smoothing=label_smoothing)


@register("fcn_r50", task=SEMANTIC)
def fcn_r50(
    *,
    num_classes: int,
    in_channels: int = 3,
    pretrained: str = "",
    dice_weight: float = 0.0,
    label_smoothing: float = 0.0,
) -> PaddedNetwork:
    """Build torchvision's FCN with a dilated ResNet-50, without its auxiliary head."""
    net = fcn_resnet50(weights=None, weights_backbone=None, num_classes=num_classes)
    if in_channels != 3:
        first = net.backbone.conv1
        net.backbone.conv1 = nn.Conv2d(
            in_channels,
            first.out_channels,
            first.kernel_size,
            first.stride,
            first.padding,
            bias=False,
        )
    if pretrained:
        load_backbone(net.backbone, pretrained, "resnet50")
    return PaddedNetwork(
        TorchvisionNetwork(net), dice_weight=dice_weight, label_smoothing=label_smoothing
    )
