"""Object-contextual representations, plain and with parallel dilated convolutions (ASP-OCR).

Yuan, Chen, Wang, "Object-contextual representations for semantic segmentation", ECCV 2020,
arXiv:1909.11065. Regions are softmaxes over space of coarse logits; each pixel is enriched by
the regions that it is akin to.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

DILATIONS = (24, 48, 72)


def conv_norm_act(
    in_channels: int,
    width: int,
    side: int = 1,
    *,
    dilation: int = 1,
    bias: bool = False,
    act: type[nn.Module] = nn.GELU,
) -> nn.Sequential:
    """Return a convolution that keeps the size, batch normalisation and an activation."""
    padding = dilation * (side // 2)
    return nn.Sequential(
        nn.Conv2d(in_channels, width, side, padding=padding, dilation=dilation, bias=bias),
        nn.BatchNorm2d(width),
        act(),
    )


class ObjectContext(nn.Module):
    """Gather one vector per coarse class and hand each pixel its mixture of them.

    Args:
        width: Channels of the features.
        key_width: Channels of queries, keys and values.
        act: Activation.
    """

    def __init__(
        self, width: int, key_width: int, *, act: type[nn.Module] = nn.GELU, bias: bool = False
    ) -> None:
        super().__init__()
        self.scale = key_width**-0.5
        self.query = nn.Sequential(
            conv_norm_act(width, key_width, act=act, bias=bias),
            conv_norm_act(key_width, key_width, act=act, bias=bias),
        )
        self.key = nn.Sequential(
            conv_norm_act(width, key_width, act=act, bias=bias),
            conv_norm_act(key_width, key_width, act=act, bias=bias),
        )
        self.value = conv_norm_act(width, key_width, act=act, bias=bias)
        self.up = conv_norm_act(key_width, width, act=act, bias=bias)

    def forward(self, features: Tensor, coarse: Tensor) -> Tensor:
        """Return the context of each pixel.

        Args:
            features: Float ``[N, C, h, w]``.
            coarse: Logits float ``[N, K, h, w]``.

        Returns:
            Float ``[N, C, h, w]``.
        """
        objects = self.regions(features, coarse)
        query = self.query(features).flatten(2).transpose(1, 2)
        key = self.key(objects).flatten(2)
        value = self.value(objects).flatten(2).transpose(1, 2)
        affinity = torch.softmax(query @ key * self.scale, dim=-1)
        context = (affinity @ value).transpose(1, 2)
        enriched: Tensor = self.up(context.unflatten(2, features.shape[-2:]))
        return enriched

    @staticmethod
    def regions(features: Tensor, coarse: Tensor) -> Tensor:
        """Return the vector of each coarse class, float ``[N, C, K, 1]``."""
        share = coarse.flatten(2).softmax(dim=-1)
        vectors = features.flatten(2) @ share.transpose(1, 2)
        return vectors.unsqueeze(-1)


class AspOcr(nn.Module):
    """Feature refinement of Hi-ResNet: object context beside dilated convolutions.

    Args:
        in_channels: Channels of the concatenated maps.
        num_classes: Classes K of the coarse logits.
        width: Channels of each branch and of the result.
        key_width: Channels of queries, keys and values.
    """

    def __init__(
        self, in_channels: int, num_classes: int, *, width: int = 256, key_width: int = 128
    ) -> None:
        super().__init__()
        self.features = conv_norm_act(in_channels, width, 3, bias=True)
        self.context = ObjectContext(width, key_width, bias=True)
        self.point = conv_norm_act(in_channels, width, bias=True)
        self.dilated = nn.ModuleList(
            conv_norm_act(in_channels, width, 3, dilation=d, bias=True) for d in DILATIONS
        )
        self.merge = nn.Sequential(
            conv_norm_act((2 + len(DILATIONS)) * width, width, bias=True), nn.Dropout2d(0.1)
        )
        self.classifier = nn.Conv2d(width, num_classes, 1, bias=False)

    def forward(self, maps: Tensor, coarse: Tensor) -> Tensor:
        """Return refined logits ``[N, K, h, w]`` from maps and coarse logits of that size."""
        branches = [self.context(self.features(maps), coarse), self.point(maps)]
        branches += [layer(maps) for layer in self.dilated]
        logits: Tensor = self.classifier(self.merge(torch.cat(branches, dim=1)))
        return logits
