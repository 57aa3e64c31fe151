"""Modulated deformable convolution.

Zhu, Hu, Lin, Dai, "Deformable ConvNets v2: more deformable, better results", CVPR 2019, eq. 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
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
        need the digits, and torchvision's operator knows nothing else on a CPU. There
        :func:`sampled_columns` and a product of matrices take its place.
        """
        predicted = self.predict(x).float()
        offsets, modulation = torch.split(predicted, [2 * TAPS, TAPS], dim=1)
        result: Tensor
        if x.device.type == "cpu":
            columns = sampled_columns(x, offsets, modulation.sigmoid())
            weight = self.conv.weight.to(x.dtype).flatten(1)
            result = torch.matmul(weight, columns.to(x.dtype).flatten(2)).view(
                x.shape[0], -1, *x.shape[2:]
            )
        else:
            with torch.autocast(x.device.type, enabled=False):
                result = deform_conv2d(
                    x.float(),
                    offsets,
                    self.conv.weight.float(),
                    padding=1,
                    mask=modulation.sigmoid(),
                )
        return result.to(x.dtype)


def sampled_columns(x: Tensor, offsets: Tensor, modulation: Tensor) -> Tensor:
    """Return what a modulated deformable 3×3 convolution multiplies with its weights.

    The same samples as those of torchvision's operator, by ``grid_sample``, whose gradient runs in
    vector registers: on one core a training step of the operator takes three to five times as long.

    Args:
        x: Float ``[N, C, H, W]``.
        offsets: Float32 ``[N, 18, H, W]`` in pixels, down and right for one tap after the other.
        modulation: Float32 ``[N, 9, H, W]``.

    Returns:
        Float32 ``[N, C * 9, H, W]``; zero beyond the edges.
    """
    n, channels, height, width = x.shape
    device = x.device
    steps = torch.arange(-1, 2, device=device)
    rows = torch.arange(height, device=device).view(1, 1, height, 1) + offsets[:, 0::2]
    cols = torch.arange(width, device=device).view(1, 1, 1, width) + offsets[:, 1::2]
    rows = rows + steps.repeat_interleave(3).view(1, TAPS, 1, 1)
    cols = cols + steps.repeat(3).view(1, TAPS, 1, 1)
    grid = torch.stack(((2 * cols + 1) / width - 1, (2 * rows + 1) / height - 1), dim=-1)
    with torch.autocast(device.type, enabled=False):
        samples = functional.grid_sample(
            x.float(), grid.flatten(1, 2), padding_mode="zeros", align_corners=False
        )
        weighted = samples.view(n, channels, TAPS, height, width) * modulation.unsqueeze(1)
    return weighted.flatten(1, 2)
