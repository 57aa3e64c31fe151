"""Targets that are probabilities: one byte per pixel, and the loss that goes with them.

A soft target is stored as 0 to 254 for the probability 0 to 1 of the foreground, 255 for
unknown, so that it is cut, turned and blanked exactly like class ids.
"""

from __future__ import annotations

import numpy as np
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from ..data.crops import IGNORE_ID

TARGET_STEPS = 254
PART_RATIO = (0.25, 0.7)
"""Shortest and longest side of an exchanged rectangle, as shares of the crop's side."""


def soft_bytes(probability: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return probabilities as bytes 0 to 254; values outside [0, 1] are cut off."""
    target: NDArray[np.uint8] = np.rint(np.clip(probability, 0, 1) * TARGET_STEPS).astype(np.uint8)
    return target


def soft_loss(logits: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Return cross entropy plus Dice against soft targets of two classes.

    The Dice term has squares in its denominator, so that both terms are least where the
    network's probability equals the target, not where it is hardest.

    Args:
        logits: ``[N, 2, H, W]``, background and foreground.
        target: ``[N, H, W]`` int64, 0 to 254 for probability 0 to 1, 255 = unknown.

    Returns:
        ``loss`` (the sum), ``cross_entropy`` and ``dice``; 0 where nothing is known.
    """
    known = (target != IGNORE_ID).float()
    wanted = target.clamp_max(TARGET_STEPS).float() / TARGET_STEPS
    margin = logits[:, 1].float() - logits[:, 0].float()
    entropy = functional.binary_cross_entropy_with_logits(margin, wanted, reduction="none")
    cross = (entropy * known).sum() / known.sum().clamp_min(1)
    found, wanted = margin.sigmoid() * known, wanted * known
    size = found.square().sum() + wanted.square().sum()
    dice = 1 - (2 * (found * wanted).sum() + 1) / (size + 1)
    return {"loss": cross + dice, "cross_entropy": cross, "dice": dice}


def exchange_parts(
    images: Tensor, targets: Tensor, ratio: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return a batch in which some crops have a rectangle of the crop before them.

    After CutMix (Yun et al., 2019) as French et al. (2020) use it for segmentation.

    Args:
        images: ``[N, C, S, S]``.
        targets: ``[N, S, S]``.
        ratio: Share of crops that get a rectangle.
        rng: Source of the draws.
    """
    given_images, given_targets = images.roll(1, 0), targets.roll(1, 0)
    images, targets = images.clone(), targets.clone()
    side_px = targets.shape[-1]
    for index in range(len(targets)):
        if rng.random() >= ratio:
            continue
        rows, cols = (int(rng.uniform(*PART_RATIO) * side_px) for _ in range(2))
        row, col = (int(rng.integers(side_px - length)) for length in (rows, cols))
        part = (index, ..., slice(row, row + rows), slice(col, col + cols))
        images[part], targets[part] = given_images[part], given_targets[part]
    return images, targets
