"""Windowed self-attention and the information-aggregation block of Hi-ResNet.

Chen et al., "Hi-ResNet: Edge detail enhancement for high-resolution remote sensing
segmentation", section III-A.3. The block follows the iRMB of Zhang et al., "Rethinking mobile
block for efficient attention-based models", ICCV 2023, which is the one with the printed count.
"""

from __future__ import annotations

from typing import Literal

import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn
from torch.nn import functional

Partition = Literal["grid", "block"]
HEAD_WIDTH = 24


def to_windows(x: Tensor, side_px: int, partition: Partition) -> Tensor:
    """Cut a map into windows.

    Args:
        x: ``[N, C, H, W]``, H and W multiples of ``side_px``.
        side_px: Side of a window.
        partition: ``block``: neighbouring pixels share a window; ``grid``: pixels that are
            ``H / side_px`` rows and ``W / side_px`` columns apart do.

    Returns:
        ``[N, windows, C, side_px²]``.
    """
    n, c, height, width = x.shape
    rows, cols = height // side_px, width // side_px
    if partition == "block":
        x = x.reshape(n, c, rows, side_px, cols, side_px).permute(0, 2, 4, 1, 3, 5)
    else:
        x = x.reshape(n, c, side_px, rows, side_px, cols).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(n, rows * cols, c, side_px * side_px)


def from_windows(
    windows: Tensor, height: int, width: int, side_px: int, partition: Partition
) -> Tensor:
    """Undo :func:`to_windows` for a map of ``height`` × ``width`` pixels."""
    n, _, c, _ = windows.shape
    rows, cols = height // side_px, width // side_px
    x = windows.reshape(n, rows, cols, c, side_px, side_px)
    order = (0, 3, 1, 4, 2, 5) if partition == "block" else (0, 3, 4, 1, 5, 2)
    return x.permute(order).reshape(n, c, height, width)


class WindowAttention(nn.Module):
    """Multi-head self-attention inside windows; values pass a GELU.

    Maps that the window does not divide are padded on the right and below; padded pixels are
    no keys.

    Args:
        width: Channels; a multiple of the head width, 24, or one head is used.
        side_px: Side of a window.
        partition: See :func:`to_windows`.
    """

    def __init__(self, width: int, *, side_px: int = 8, partition: Partition = "grid") -> None:
        super().__init__()
        self.heads = width // HEAD_WIDTH if width % HEAD_WIDTH == 0 else 1
        self.side_px = side_px
        self.partition: Partition = partition
        self.query_key = nn.Conv2d(width, 2 * width, 1)
        self.value = nn.Sequential(nn.Conv2d(width, width, 1), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        """Return the attended map, same shape."""
        height, width = int(x.shape[-2]), int(x.shape[-1])
        down, right = -height % self.side_px, -width % self.side_px
        joined = torch.cat((self.query_key(x), self.value(x)), dim=1)
        mask = None
        if down or right:
            joined = functional.pad(joined, (0, right, 0, down))
            mask = self._real_keys(x, down, right)
        windows = to_windows(joined, self.side_px, self.partition)
        n, count, channels, pixels = windows.shape
        parts = windows.reshape(
            n * count, 3, self.heads, channels // (3 * self.heads), pixels
        ).transpose(-1, -2)
        if mask is not None:
            mask = mask.expand(n, -1, -1, -1).reshape(n * count, 1, 1, pixels)
        query, key, value = parts.unbind(dim=1)
        out = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        out = out.transpose(-1, -2).reshape(n, count, channels // 3, pixels)
        merged = from_windows(out, height + down, width + right, self.side_px, self.partition)
        return merged[..., :height, :width]

    def _real_keys(self, x: Tensor, down: int, right: int) -> Tensor:
        real = x.new_ones((1, 1, x.shape[-2], x.shape[-1]), dtype=torch.bool)
        return to_windows(functional.pad(real, (0, right, 0, down)), self.side_px, self.partition)


class ChannelGate(nn.Module):
    """Squeeze-and-excitation without reduction: Hu, Shen, Sun, CVPR 2018.

    Args:
        width: Channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Conv2d(width, width, 1), nn.GELU(), nn.Conv2d(width, width, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the map with each channel scaled by a number in (0, 1)."""
        gate: Tensor = self.gate(x.mean(dim=(2, 3), keepdim=True))
        return x * gate


class AggregationBlock(nn.Module):
    """Information aggregation (IA): window attention, 5×5 depth-wise convolution, SE, 1×1.

    It has exactly ``6 C² + 34 C`` parameters.

    Args:
        width: Channels C, in and out.
        side_px: Side of an attention window.
        partition: See :func:`to_windows`.
        drop_path: Probability of dropping the block in training, in [0, 1).
    """

    def __init__(
        self,
        width: int,
        *,
        side_px: int = 8,
        partition: Partition = "grid",
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width)
        self.attention = WindowAttention(width, side_px=side_px, partition=partition)
        self.local = nn.Sequential(
            nn.Conv2d(width, width, 5, padding=2, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.SiLU(),
            ChannelGate(width),
        )
        self.projection = nn.Conv2d(width, width, 1, bias=False)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, same shape."""
        normed = self.norm(x)
        attended = normed + self.attention(normed)
        mixed = attended + self.local(attended)
        dropped: Tensor = self.drop_path(self.projection(mixed))
        return x + dropped
