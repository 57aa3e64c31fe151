"""Validation of a semantic network on whole blocks, by tiled full-resolution inference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..evaluate.confusion import class_ratios, confusion_matrix
from ..zoo.card import BandSpec

__all__ = [
    "class_scores",
    "confusion_matrix",
    "normalize_batch",
    "predict_scores",
    "tile_starts",
]


def normalize_batch(images: Tensor, bands: Sequence[BandSpec]) -> Tensor:
    """Return ``(images * scale + offset - mean) / std`` band by band.

    Args:
        images: ``[N, C, H, W]`` raw pixel values.
        bands: One entry per channel.
    """
    scale = torch.tensor([band.scale / band.std for band in bands], dtype=torch.float32)
    shift = torch.tensor([(b.offset - b.mean) / b.std for b in bands], dtype=torch.float32)
    return images.float() * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)


def tile_starts(length_px: int, tile_px: int, overlap_px: int) -> list[int]:
    """Return the first pixels of tiles that cover a length; the last one is moved inwards."""
    if length_px <= tile_px:
        return [0]
    starts = list(range(0, length_px - tile_px, tile_px - overlap_px))
    return [*starts, length_px - tile_px]


def predict_scores(
    network: nn.Module,
    pixels: NDArray[np.uint8],
    bands: Sequence[BandSpec],
    *,
    tile_px: int = 512,
    overlap_px: int = 128,
    bf16: bool = True,
) -> NDArray[np.float32]:
    """Return class probabilities of a raster in memory.

    Overlapping tiles are averaged with weights that fall off linearly towards the tile's edge.

    Args:
        network: Semantic network; it is put into evaluation mode.
        pixels: ``[C, H, W]``.
        bands: Normalisation.
        tile_px: Side of a tile.
        overlap_px: Overlap of neighbouring tiles.
        bf16: Whether to compute in bfloat16.

    Returns:
        Probabilities ``[K, H, W]``.
    """
    network.eval()
    height, width = pixels.shape[1:]
    total: Tensor | None = None
    weights = torch.zeros(height, width)
    for row, col in _tiles(height, width, tile_px, overlap_px):
        part = pixels[:, row : row + tile_px, col : col + tile_px]
        images = normalize_batch(torch.from_numpy(np.ascontiguousarray(part)).unsqueeze(0), bands)
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = network(images)
        scores = logits.float().softmax(dim=1)[0]
        if total is None:
            total = torch.zeros(scores.shape[0], height, width)
        weight = _ramp(scores.shape[1])[:, None] * _ramp(scores.shape[2])[None, :]
        place = (slice(row, row + scores.shape[1]), slice(col, col + scores.shape[2]))
        total[(slice(None), *place)] += scores * weight
        weights[place] += weight
    if total is None:
        raise ValueError("a raster without pixels")
    return (total / weights).numpy()


def _tiles(height: int, width: int, tile_px: int, overlap_px: int) -> Iterator[tuple[int, int]]:
    for row in tile_starts(height, tile_px, overlap_px):
        for col in tile_starts(width, tile_px, overlap_px):
            yield row, col


def _ramp(length_px: int) -> Tensor:
    steps = torch.arange(length_px, dtype=torch.float32)
    return torch.minimum(steps, length_px - 1 - steps) + 1


def class_scores(confusion: NDArray[np.int64], names: Sequence[str]) -> dict[str, float]:
    """Return IoU, precision and recall per class from counts ``[truth, predicted]``.

    A ratio without a denominator is 0.
    """
    ratios = class_ratios(confusion)
    return {
        f"{key}_{name}": float(np.nan_to_num(ratios[key][index]))
        for index, name in enumerate(names)
        for key in ("iou", "precision", "recall")
    }
