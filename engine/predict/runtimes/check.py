"""Whether a converted network computes what torch computes in float32."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ...errors import ModelError
from .contract import Forward, Opening

TOLERANCE = {"fp32": 0.005, "bf16": 0.15}
"""Largest root mean square of the logits' differences, as a share of their standard deviation."""
OCTAVES = (32, 8, 2, 1)


def texture(tile_shape: tuple[int, int, int], count: int = 1) -> Tensor:
    """Return normalised tiles with structure at all scales, float32 ``[N, C, H, W]``.

    The sum of noise at several resolutions, mean 0 and standard deviation 1, equal in every call;
    in memory the bands of a pixel are together, as in the tile loop.
    """
    height, width, bands = tile_shape
    generator = torch.Generator().manual_seed(7)
    tiles = torch.zeros(count, bands, height, width)
    for step in OCTAVES:
        shape = (count, bands, -(-height // step) + 1, -(-width // step) + 1)
        noise = torch.randn(shape, generator=generator)
        tiles += functional.interpolate(noise, (height, width), mode="bilinear")
    tiles = (tiles - tiles.mean()) / tiles.std().clamp(min=1e-6)
    return tiles.contiguous(memory_format=torch.channels_last)


def check_forward(opening: Opening, forward: Forward, name: str) -> None:
    """Compare a converted network with torch in float32 on a tile of texture.

    Args:
        opening: The network, on the CPU.
        forward: What was made of it.
        name: The runtime's, for the message.

    Raises:
        ModelError: If shape or logits differ by more than rounding explains.
    """
    tiles = texture(opening.tile_shape)
    with torch.inference_mode():
        wanted, found = opening.network(tiles).float(), forward(tiles)
    if wanted.shape != found.shape:
        difference = f"shape {tuple(found.shape)}, not {tuple(wanted.shape)}"
    else:
        apart = float((found - wanted).square().mean().sqrt() / wanted.std().clamp(min=1e-6))
        if apart <= TOLERANCE[opening.precision]:
            return
        difference = f"logits that are {apart:.1%} of their standard deviation apart"
    raise ModelError(
        f"the network, converted for {name}, gives {difference}", "use the backend torch"
    )
