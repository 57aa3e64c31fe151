"""Contracts of networks: what a network of a task accepts, returns and learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

IGNORE_INDEX = 255

InstanceTarget = dict[str, Tensor]


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


class InstanceNetwork(Protocol):
    """What every instance network does: the contract of torchvision's detection networks.

    * Images are a list of float ``[C, H, W]``, normalised, of any number of bands and of any and
      different sizes; nothing is resized unless an option says so. Batches of one image train.
    * ``num_classes`` counts classes of objects; labels run from 1 to ``num_classes``.
    * Training mode: ``network(images, targets)`` returns named scalar losses in float32, also
      under autocast, weighted already; :func:`total_loss` is what is to be minimised. Images
      without objects are allowed. Targets are checked by :func:`check_instance_targets`.
    * Evaluation mode: ``network(images)`` returns per image ``boxes`` float32 ``[N, 4]`` (x0, y0,
      x1, y1 in pixels of the image that came in, x1 and y1 exclusive), ``labels`` int64 ``[N]``,
      ``scores`` float32 ``[N]`` in (0, 1], descending, and ``masks`` float32 ``[N, 1, H, W]`` in
      [0, 1]; the object is where the mask is above 0.5.
    """

    training: bool

    def __call__(
        self, images: Sequence[Tensor], targets: Sequence[InstanceTarget] | None = None
    ) -> dict[str, Tensor] | list[InstanceTarget]:
        """Return losses in training mode, else the instances of each image."""
        ...


def total_loss(losses: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of the losses of an instance network."""
    return torch.stack(list(losses.values())).sum()


def check_instance_targets(
    images: Sequence[Tensor],
    targets: Sequence[InstanceTarget] | None,
    num_classes: int | None = None,
) -> Sequence[InstanceTarget]:
    """Return the targets if a network can learn from them.

    Args:
        images: Float ``[C, H, W]`` each.
        targets: Per image ``boxes`` float ``[N, 4]`` with x1 > x0 and y1 > y0, ``labels`` int64
            ``[N]`` from 1 and ``masks`` ``[N, H, W]`` of the image's size, not 0 on the object.
        num_classes: Greatest label; None: not checked.

    Raises:
        ValueError: If there is not one target per image, or one does not fit its image; the
            message names the image and the object.
    """
    if targets is None or len(targets) != len(images):
        count = "none" if targets is None else len(targets)
        raise ValueError(f"training needs one target per image: {len(images)} images, {count}")
    for number, (image, target) in enumerate(zip(images, targets, strict=True)):
        problem = _target_problem(image, target, num_classes)
        if problem:
            raise ValueError(f"target of image {number}: {problem}")
    return targets


def _target_problem(image: Tensor, target: InstanceTarget, num_classes: int | None) -> str:
    missing = [key for key in ("boxes", "labels", "masks") if key not in target]
    if missing:
        return f"{', '.join(missing)} missing"
    boxes, labels, masks = target["boxes"], target["labels"], target["masks"]
    wanted = (labels.numel(), *image.shape[-2:])
    if tuple(masks.shape) != wanted:
        return f"masks are {list(masks.shape)}, not {list(wanted)}"
    if tuple(boxes.shape) != (labels.numel(), 4):
        return f"boxes are {list(boxes.shape)}, not {[labels.numel(), 4]}"
    if labels.dtype != torch.int64 or not boxes.is_floating_point():
        return f"labels are {labels.dtype} and boxes {boxes.dtype}, not int64 and floating"
    if labels.numel() == 0:
        return ""
    flat = torch.nonzero((boxes[:, 2:] <= boxes[:, :2]).any(dim=1)).flatten()
    if flat.numel():
        return f"box {int(flat[0])} is {boxes[flat[0]].tolist()}, without an area"
    least, most = int(labels.min()), int(labels.max())
    if least < 1 or (num_classes is not None and most > num_classes):
        return f"labels run from {least} to {most}, not from 1 to {num_classes or 'the classes'}"
    return ""
