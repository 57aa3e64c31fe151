"""Semantic baselines of segmentation-models-pytorch and torchvision under our contract.

Each builder downloads nothing: ``encoder_weights`` is always None; weights come from a model
folder or from a local file of the training. Names that end in ``_r50`` fix the encoder to
ResNet-50, ``segformer_b1`` to MiT-B1; the others take any encoder of the library.
"""

from __future__ import annotations

from typing import Any

import segmentation_models_pytorch as smp
import torch.nn.functional as functional
from torch import Tensor, nn

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
        dice_weight: Weight of the Dice term of the loss.
        label_smoothing: Label smoothing of the cross entropy.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        divisor_px: int = DIVISOR_PX,
        dice_weight: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.net = net
        self.divisor_px = divisor_px
        self.dice_weight = dice_weight
        self.label_smoothing = label_smoothing

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[N, K, H, W]`` for images ``[N, C, H, W]``."""
        height, width = images.shape[-2:]
        below, right = -height % self.divisor_px, -width % self.divisor_px
        if below or right:
            images = functional.pad(images, (0, right, 0, below), mode="replicate")
        logits: Tensor = self.net(images)
        return logits[..., :height, :width]


class TorchvisionNetwork(nn.Module):
    """Takes the entry ``out`` of a torchvision segmentation network."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[N, K, H, W]``."""
        logits: Tensor = self.net(images)["out"]
        return logits


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


def _smp(
    architecture: str, num_classes: int, in_channels: int, options: dict[str, Any]
) -> PaddedNetwork:
    loss = {key: options.pop(key) for key in ("dice_weight", "label_smoothing") if key in options}
    net = SMP_ARCHITECTURES[architecture](
        encoder_name=options.pop("encoder"),
        encoder_weights=None,
        in_channels=in_channels,
        classes=num_classes,
        **options,
    )
    return PaddedNetwork(net, **loss)


def _register_smp(name: str, architecture: str, default_encoder: str) -> None:
    @register(name, task=SEMANTIC)
    def build(*, num_classes: int, in_channels: int = 3, **options: Any) -> PaddedNetwork:
        return _smp(architecture, num_classes, in_channels, {"encoder": default_encoder, **options})


for _name in SMP_ARCHITECTURES:
    _register_smp(_name, _name, "resnet34")
