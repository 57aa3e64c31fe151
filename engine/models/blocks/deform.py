"""Modulated deformable convolution.

Zhu, Hu, Lin, Dai, "Deformable ConvNets v2: more deformable, better results", CVPR 2019, eq. 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.ops import DeformConv2d, deform_conv2d

TAPS = 9


class ModulatedDeformConv(nn.Module):
    """A 3×3 convolution that predicts where it samples and how much each sample counts.

    Offsets and modulation start at zero, that is at the regular grid with all weights one half.

    Args:
        in_channels: Input width.
        width: Output width.
    """

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.predict = nn.Conv2d(in_channels, 3 * TAPS, 3, padding=1)
        self.conv = DeformConv2d(in_channels, width, 3, padding=1, bias=False)
        nn.init.zeros_(self.predict.weight)
        if self.predict.bias is not None:
            nn.init.zeros_(self.predict.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return float ``[N, width, H, W]`` for float ``[N, in_channels, H, W]``.

        The sampling runs in float32, also under autocast and with half-precision weights: offsets
        need the digits, and on a CPU the operator knows nothing else.
        """
        predicted = self.predict(x).float()
        offsets, modulation = torch.split(predicted, [2 * TAPS, TAPS], dim=1)
        with torch.autocast(x.device.type, enabled=False):
            result: Tensor = deform_conv2d(
                x.float(),
                offsets,
                self.conv.weight.float(),
                padding=1,
                mask=modulation.sigmoid(),
            )
        return result.to(x.dtype)
