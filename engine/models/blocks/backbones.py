"""Backbones from timm; nothing is downloaded unless it is asked for.

HRNet: Wang et al., "Deep high-resolution representation learning for visual recognition",
TPAMI 2021. ResNet: He, Zhang, Ren, Sun, "Deep residual learning for image recognition",
CVPR 2016.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

from .pretrained import FROM_TIMM, load_backbone

HRNET_STRIDES = (1, 2, 3, 4)


def timm_pyramid(
    name: str, *, in_channels: int = 3, pretrained: str = "", **options: Any
) -> nn.Module:
    """Build a timm backbone that returns its maps at strides 4, 8, 16 and 32.

    Args:
        name: timm's name, for example ``resnet50`` or ``hrnet_w18``.
        in_channels: Number of input bands; pretrained first layers are adapted as timm does it.
        pretrained: Empty for random weights, ``timm`` for timm's own (downloads), or a local
            ``.safetensors`` file, see :func:`engine.models.blocks.pretrained.load_backbone`.
        options: Further arguments of the timm model.

    Returns:
        A module ``[N, C, H, W] -> list of four maps`` with ``feature_info.channels()``.

    Raises:
        ModelError: If the file cannot be read.
        ValueError: If ``pretrained`` is neither, the file is missing or of another backbone.
    """
    if name.startswith("hrnet"):
        # Without this, timm returns the widened maps of the classification head.
        options.setdefault("feature_location", "")
    file = None if pretrained in ("", FROM_TIMM) else _weights_file(pretrained)
    network: nn.Module = timm.create_model(
        name,
        pretrained=pretrained == FROM_TIMM,
        features_only=True,
        out_indices=HRNET_STRIDES,
        in_chans=in_channels,
        **options,
    )
    if file is not None:
        load_backbone(network, str(file))
    return network


def pyramid_channels(backbone: nn.Module) -> list[int]:
    """Return the widths of the maps of a backbone of :func:`timm_pyramid`."""
    info: Any = backbone.feature_info
    return [int(width) for width in info.channels()]


def call_pyramid(backbone: nn.Module, images: Tensor) -> list[Tensor]:
    """Return the maps of a backbone, finest first."""
    maps: list[Tensor] = list(backbone(images))
    return maps


def _weights_file(text: str) -> Path:
    path = Path(text)
    if path.suffix != ".safetensors" or not path.is_file():
        raise ValueError(f"pretrained {text!r} is not '', 'timm' or a .safetensors file")
    return path
