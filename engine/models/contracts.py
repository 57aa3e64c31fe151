"""Contracts of networks: what a network of a task accepts, returns and learns from."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

IGNORE_INDEX = 255


def masked_dice_loss(
    logits: Tensor, target: Tensor, ignore_index: int = IGNORE_INDEX, eps: float = 1.0
) -> Tensor:
    """Return one minus the mean Dice coefficient of the classes present in the target.

    Sums run over the whole batch; ignored pixels count nowhere (Milletari et al., V-Net, 2016,
    with the plain denominator).

    Args:
        logits: Class scores ``[N, K, H, W]`` before the softmax.
        target: Class ids ``[N, H, W]``, ``ignore_index`` where unknown.
        ignore_index: The id of pixels that do not count.
        eps: Added to numerator and denominator, in pixels.
    """
    known = (target != ignore_index).unsqueeze(1)
    probabilities = logits.float().softmax(dim=1) * known
    ids = torch.where(known.squeeze(1), target, torch.zeros_like(target))
    truth = functional.one_hot(ids, logits.shape[1]).movedim(-1, 1).to(probabilities) * known
    axes = (0, 2, 3)
    shared = (probabilities * truth).sum(axes)
    total = probabilities.sum(axes) + truth.sum(axes)
    present = (truth.sum(axes) > 0).to(probabilities)
    dice = (2 * shared + eps) / (total + eps)
    return ((1 - dice) * present).sum() / present.sum().clamp_min(1)


class SemanticNetwork(nn.Module):
    """A network that gives every pixel one score per class.

    ``forward(images [N, C, H, W] float32)`` returns logits ``[N, K, H, W]`` in evaluation mode,
    for any ``H`` and ``W``. In training mode it may return whatever its own ``loss`` needs.

    Attributes:
        dice_weight: Weight of the Dice term, 0 leaves it out.
        label_smoothing: Share of the target that is spread over all classes, in [0, 1).
    """

    dice_weight: float = 0.0
    label_smoothing: float = 0.0

    def loss(
        self, outputs: Tensor, target: Tensor, ignore_index: int = IGNORE_INDEX
    ) -> dict[str, Tensor]:
        """Return the terms of the loss; ``loss`` is their weighted sum.

        Args:
            outputs: What ``forward`` returned in training mode: logits ``[N, K, H, W]``.
            target: Class ids ``[N, H, W]`` int64.
            ignore_index: The id of pixels that do not count.
        """
        return semantic_loss(
            outputs,
            target,
            ignore_index=ignore_index,
            dice_weight=self.dice_weight,
            label_smoothing=self.label_smoothing,
        )


def semantic_loss(
    logits: Tensor,
    target: Tensor,
    *,
    ignore_index: int = IGNORE_INDEX,
    dice_weight: float = 0.0,
    label_smoothing: float = 0.0,
) -> dict[str, Tensor]:
    """Return cross entropy, Dice (if weighted) and their sum; zero if every pixel is ignored."""
    logits = logits.float()
    sums = functional.cross_entropy(
        logits,
        target,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction="sum",
    )
    terms = {"cross_entropy": sums / (target != ignore_index).sum().clamp_min(1)}
    total = terms["cross_entropy"]
    if dice_weight > 0:
        terms["dice"] = masked_dice_loss(logits, target, ignore_index)
        total = total + dice_weight * terms["dice"]
    return {"loss": total, **terms}
