"""Runtimes beside torch take and give pixels with the bands last, one tile at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

RunTile = Callable[[np.ndarray[Any, Any], np.ndarray[Any, Any]], None]


class LastIsBand(nn.Module):
    """A network on ``[N, H, W, C]`` that gives ``[N, H, W, K]``: no copy on either side."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, tiles: Tensor) -> Tensor:
        """Return logits with the classes last."""
        logits: Tensor = self.network(tiles.permute(0, 3, 1, 2))
        return logits.permute(0, 2, 3, 1)


def tile_by_tile(run: RunTile, images: Tensor, classes: int) -> Tensor:
    """Return the logits ``[N, K, H, W]`` of images ``[N, C, H, W]``.

    On the CPU a batch is no faster than its tiles one by one, and takes more memory.

    Args:
        run: Fills logits ``[1, H, W, K]`` for a tile ``[1, H, W, C]``, both float32.
        images: Bands together in memory; other layouts are copied.
        classes: Number of logits K.
    """
    tiles = images.permute(0, 2, 3, 1).contiguous().numpy()
    logits = np.empty((*tiles.shape[:3], classes), np.float32)
    for number in range(len(tiles)):
        run(tiles[number : number + 1], logits[number : number + 1])
    return torch.from_numpy(logits).permute(0, 3, 1, 2)
