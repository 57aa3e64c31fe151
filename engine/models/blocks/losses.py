"""Losses on pixels that more than one network uses; each ignores unlabelled pixels.

Generalised Dice: Sudre, Li, Vercauteren, Ourselin, Cardoso, "Generalised Dice overlap as a deep
learning loss function for highly unbalanced segmentations", DLMIA 2017.
Label smoothing: Szegedy et al., "Rethinking the Inception architecture for computer vision",
CVPR 2016, in the form of eqs. 3 and 4 of the Hi-ResNet paper.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

MIN_SQUARED_COUNT = 1e-6


def cross_entropy(
    logits: Tensor, target: Tensor, ignore_index: int = 255, *, smoothing: float = 0.0
) -> Tensor:
    """Return the mean cross-entropy over labelled pixels, 0 if there are none.

    Args:
        logits: Float ``[N, K, H, W]``.
        target: Class ids int64 ``[N, H, W]``.
        ignore_index: Value of pixels without a label.
        smoothing: The true class gets ``1 - smoothing``, each other one
            ``smoothing / (K - 1)``; in ``[0, 1)``.

    Returns:
        Scalar float.
    """
    classes = logits.shape[1]
    total = functional.cross_entropy(
        logits.float(),
        target,
        ignore_index=ignore_index,
        reduction="sum",
        label_smoothing=smoothing * classes / (classes - 1),
    )
    return total / (target != ignore_index).sum().clamp(min=1)


def generalised_dice(logits: Tensor, target: Tensor, ignore_index: int = 255) -> Tensor:
    """Return the generalised Dice loss over the batch, 0 for a perfect prediction.

    Each class weighs ``1 / (its pixels)²``; classes that the batch lacks weigh nothing.

    Args:
        logits: Float ``[N, K, H, W]``.
        target: Class ids int64 ``[N, H, W]``.
        ignore_index: Value of pixels without a label.

    Returns:
        Scalar float in ``[0, 1]``.
    """
    probabilities = logits.float().softmax(dim=1)
    valid = (target != ignore_index).unsqueeze(1)
    classes = torch.arange(logits.shape[1], device=logits.device).view(1, -1, 1, 1)
    truth = (target.unsqueeze(1) == classes) & valid
    counts = truth.sum(dim=(0, 2, 3)).to(probabilities.dtype)
    weights = (counts > 0) / counts.square().clamp(min=MIN_SQUARED_COUNT)
    shared = (probabilities * truth).sum(dim=(0, 2, 3))
    both = (probabilities * valid).sum(dim=(0, 2, 3)) + counts
    union = (weights * both).sum()
    overlap = 2 * (weights * shared).sum()
    return torch.where(union > 0, 1 - overlap / union.clamp(min=1e-30), overlap)
