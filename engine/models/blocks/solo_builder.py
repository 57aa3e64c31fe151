"""The builder that SOLO and SOLOv2 share: backbone, neck, then the network's own heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from torch import nn

from .detection_backbone import DetectionBackbone
from .detection_necks import WIDTH
from .path_necks import named_neck
from .solo_losses import SoloOptions

Network = TypeVar("Network", bound=nn.Module)


def solo_builder(
    name: str, kind: Callable[..., Network], defaults: SoloOptions
) -> Callable[..., Network]:
    """Return the builder of a network of this family.

    Args:
        name: Its name.
        kind: The network, made of ``num_classes``, ``backbone``, ``neck`` and ``options``.
        defaults: Options where the builder is not told others.
    """

    def build(
        *,
        num_classes: int,
        in_channels: int = 3,
        backbone: str = "resnet50",
        neck: str = "fpn",
        neck_width: int = WIDTH,
        **options: Any,
    ) -> Network:
        """Build the network on a backbone of timm.

        Args:
            num_classes: Foreground classes.
            in_channels: Number of input bands.
            backbone: timm's name, for example ``resnet18`` or ``hrnet_w18``.
            neck: See :func:`engine.models.blocks.path_necks.named_neck`.
            neck_width: Width of the pyramid.
            options: ``pretrained`` and ``freeze`` of the backbone, and those of
                :class:`engine.models.blocks.solo_losses.SoloOptions`.
        """
        body = DetectionBackbone.with_options(backbone, in_channels, options)
        return kind(
            num_classes=num_classes,
            backbone=body,
            neck=named_neck(neck, body.channels, neck_width),
            options=replace(defaults, **options),
        )

    build.__name__ = build.__qualname__ = name
    build.__module__ = kind.__module__
    return build
