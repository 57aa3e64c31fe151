"""Backbones of the instance networks: maps at strides 4 to 32, with the detectors' freezing.

Detection recipes start from ImageNet weights, keep stem and first stage as they are and leave the
statistics of all batch normalisations alone. That makes sense with trained weights only.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .backbones import call_pyramid, pyramid_channels, timm_pyramid

FROZEN_PARTS = ("conv1", "bn1", "layer1")


class DetectionBackbone(nn.Module):
    """A timm backbone that can be partly frozen.

    Args:
        name: timm's name, for example ``resnet50`` or ``hrnet_w18``.
        in_channels: Number of input bands.
        pretrained: See :func:`engine.models.blocks.backbones.timm_pyramid`.
        freeze: Whether a ResNet's stem and first stage are fixed and its batch normalisations
            keep their statistics; ``None``: if ``pretrained`` is given. HRNet is never frozen.
    """

    def __init__(
        self,
        name: str,
        *,
        in_channels: int = 3,
        pretrained: str = "",
        freeze: bool | None = None,
    ) -> None:
        super().__init__()
        self.body = timm_pyramid(name, in_channels=in_channels, pretrained=pretrained)
        self.channels = pyramid_channels(self.body)
        wanted = bool(pretrained) if freeze is None else freeze
        self.frozen = wanted and name.startswith("resnet")
        if self.frozen:
            for part in FROZEN_PARTS:
                self.body.get_submodule(part).requires_grad_(False)

    @classmethod
    def with_options(
        cls, name: str, in_channels: int, options: dict[str, Any]
    ) -> DetectionBackbone:
        """Build a backbone; ``pretrained`` and ``freeze`` are taken out of a builder's options."""
        pretrained, freeze = options.pop("pretrained", ""), options.pop("freeze", None)
        return cls(name, in_channels=in_channels, pretrained=pretrained, freeze=freeze)

    def train(self, mode: bool = True) -> DetectionBackbone:
        """Switch the mode; batch normalisations of a frozen backbone stay in evaluation mode."""
        super().train(mode)
        if self.frozen:
            for module in self.body.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps at strides 4, 8, 16 and 32 of images float ``[N, C, H, W]``."""
        return call_pyramid(self.body, images)
