"""Matrix NMS: scores of overlapping masks decay, all in one step.

Wang, Zhang, Kong, Li, Shen, "SOLOv2: dynamic and fast instance segmentation", NeurIPS 2020,
section 3.3 and eqs. 5 and 6.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Decay = Literal["gaussian", "linear"]


def matrix_nms(
    masks: Tensor,
    labels: Tensor,
    scores: Tensor,
    *,
    decay: Decay = "gaussian",
    sigma: float = 2.0,
) -> Tensor:
    """Return the scores, lowered where better masks of the same class overlap.

    Args:
        masks: Binary masks ``[N, ...]``, sorted by descending score, none of them empty.
        labels: Class ids ``[N]``.
        scores: Float ``[N]``, descending.
        decay: ``gaussian`` is ``exp(-sigma * iou**2)``, ``linear`` is ``1 - iou``.
        sigma: Strength of the gaussian decay.

    Returns:
        Float ``[N]`` in the same order, no longer sorted.

    Raises:
        ValueError: If ``decay`` is unknown.
    """
    if decay not in ("gaussian", "linear"):
        raise ValueError(f"decay {decay!r} is not gaussian or linear")
    if scores.numel() == 0:
        return scores
    overlap = pairwise_iou(masks)
    overlap = (overlap * (labels[:, None] == labels[None, :])).triu(diagonal=1)
    hidden = overlap.max(dim=0).values[:, None]  # how much each suppressor is itself covered
    if decay == "gaussian":
        factors = torch.exp(-sigma * (overlap.square() - hidden.square()))
    else:
        factors = (1 - overlap) / (1 - hidden).clamp_min(1e-6)
    return scores * factors.min(dim=0).values


def pairwise_iou(masks: Tensor) -> Tensor:
    """Return the intersection over union of all pairs of masks ``[N, ...]``, float ``[N, N]``."""
    flat = masks.flatten(1).float()
    shared = flat @ flat.T
    areas = flat.sum(dim=1)
    return shared / (areas[:, None] + areas[None, :] - shared).clamp_min(1)
