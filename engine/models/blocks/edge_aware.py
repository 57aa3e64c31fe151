"""Loss of Hi-ResNet: generalised Dice, label-smoothing cross-entropy, class-agnostic edges.

Chen et al., "Hi-ResNet", section III-B, eqs. 1 to 9. The edge-aware term (CEA) extends the
Hausdorff-distance loss of Karimi, Salcudean, IEEE TMI 2019, arXiv:1904.10030.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .distance import boundary_distance
from .losses import cross_entropy, generalised_dice

RAW_WEIGHTS = {"dice": 1.0, "smoothed": 1.0, "edges": 0.4}
NO_CLASS = -1


def edge_aware(
    logits: Tensor,
    target: Tensor,
    class_id: int,
    ignore_index: int = 255,
    *,
    max_distance_px: float = 64.0,
    beta: float = 2.0,
) -> Tensor:
    """Return the class-agnostic edge-aware loss of one class against all others (eq. 7).

    ``mean of (T - P)² (D_T^beta + D_S^beta)``: T is the truth, P the probability, S where P is
    above one half, D the distance to the mask's boundary. Distances carry no gradient.

    Args:
        logits: Float ``[N, K, H, W]``.
        target: Class ids int64 ``[N, H, W]``.
        class_id: The class that is told from all others.
        ignore_index: Value of pixels without a label; they are background for the distances
            and are left out of the mean.
        max_distance_px: Distances are cut at this and divided by it; 0 leaves them in pixels.
        beta: Exponent of the distances.

    Returns:
        Scalar float; in ``[0, 2]`` if distances are scaled.
    """
    logits = logits.float()
    probability = (logits[:, class_id] - logits.logsumexp(dim=1)).exp()
    truth = target == class_id
    with torch.no_grad():
        predicted = probability > 0.5
        distances = boundary_distance(torch.stack((truth, predicted))).to(logits.dtype)
        if max_distance_px > 0:
            distances = distances.clamp(max=max_distance_px) / max_distance_px
        valid = target != ignore_index
        weight = distances.pow(beta).sum(dim=0) * valid
    error = (truth.to(logits.dtype) - probability).square()
    return (error * weight).sum() / valid.sum().clamp(min=1)


def draw_class(target: Tensor, num_classes: int) -> int:
    """Return one of the classes present in the target, drawn uniformly; -1 if there is none.

    Args:
        target: Class ids int64, any shape; ids of ``num_classes`` and above are no classes.
        num_classes: Number of classes.
    """
    known = target[(target >= 0) & (target < num_classes)]
    present = torch.bincount(known, minlength=num_classes).nonzero().flatten().cpu()
    if present.numel() == 0:
        return NO_CLASS
    return int(present[torch.randint(present.numel(), ())])


class HiResNetLoss(nn.Module):
    """Weighted sum of the three losses, over all outputs (eqs. 8 and 9).

    Weights are the softmax of 1, 1 and 0.4 over the terms in use: 0.3923, 0.3923, 0.2153.

    Args:
        terms: Out of ``dice``, ``smoothed`` and ``edges``.
        smoothing: Label smoothing, in [0, 1).
        max_distance_px: See :func:`edge_aware`.

    Raises:
        ValueError: If a term is unknown or there is none.
    """

    def __init__(
        self,
        terms: Sequence[str] = ("dice", "smoothed", "edges"),
        *,
        smoothing: float = 0.1,
        max_distance_px: float = 64.0,
    ) -> None:
        super().__init__()
        if not terms or set(terms) - set(RAW_WEIGHTS):
            raise ValueError(f"loss terms {list(terms)} are not out of {', '.join(RAW_WEIGHTS)}")
        total = sum(math.exp(RAW_WEIGHTS[term]) for term in terms)
        self.weights = {term: math.exp(RAW_WEIGHTS[term]) / total for term in terms}
        self.smoothing = smoothing
        self.max_distance_px = max_distance_px

    def forward(
        self, outputs: Sequence[Tensor], target: Tensor, ignore_index: int = 255
    ) -> dict[str, Tensor]:
        """Return each term summed over the outputs, and their weighted sum as ``loss``.

        Args:
            outputs: Logits float ``[N, K, H, W]``, coarse and refined ones.
            target: Class ids int64 ``[N, H, W]``.
            ignore_index: Value of pixels without a label.
        """
        terms = {name: outputs[0].new_zeros(()) for name in self.weights}
        class_id = draw_class(target, outputs[0].shape[1]) if "edges" in terms else NO_CLASS
        for logits in outputs:
            if "dice" in terms:
                terms["dice"] = terms["dice"] + generalised_dice(logits, target, ignore_index)
            if "smoothed" in terms:
                terms["smoothed"] = terms["smoothed"] + cross_entropy(
                    logits, target, ignore_index, smoothing=self.smoothing
                )
            if class_id != NO_CLASS:
                terms["edges"] = terms["edges"] + edge_aware(
                    logits, target, class_id, ignore_index, max_distance_px=self.max_distance_px
                )
        weighted = [self.weights[name] * value for name, value in terms.items()]
        return {"loss": torch.stack(weighted).sum(), **terms}
