"""One stage of boxes whose mask part is open to networks that change it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.models.detection.roi_heads import (
    RoIHeads,
    fastrcnn_loss,
    project_masks_on_boxes,
)

Target = dict[str, Tensor]
Sizes = list[tuple[int, int]]


@dataclass(frozen=True)
class Positives:
    """Sampled regions that are objects, one entry per image.

    Attributes:
        boxes: Float ``[P, 4]``.
        matched: int64 ``[P]``, instance of each region.
        labels: int64 ``[P]`` from 1.
    """

    boxes: list[Tensor]
    matched: list[Tensor]
    labels: list[Tensor]

    @property
    def all_labels(self) -> Tensor:
        """Labels of all images, int64 ``[sum of P]``."""
        return torch.cat(self.labels)

    def mask_targets(self, targets: Sequence[Target], side: int) -> Tensor:
        """Return the instances' masks within the boxes, float ``[sum of P, side, side]``."""
        parts = [
            project_masks_on_boxes(target["masks"], boxes, matched, side)
            for target, boxes, matched in zip(targets, self.boxes, self.matched, strict=True)
            if boxes.shape[0]
        ]
        return torch.cat(parts) if parts else self.boxes[0].new_zeros((0, side, side))


class HookedRoiHeads(RoIHeads):  # type: ignore[misc]
    """torchvision's heads; subclasses say how masks are learnt and found."""

    def mask_losses(
        self,
        features: dict[str, Tensor],
        positives: Positives,
        image_shapes: Sizes,
        targets: Sequence[Target],
    ) -> dict[str, Tensor]:
        """Return the losses of the masks by name."""
        raise NotImplementedError

    def add_masks(
        self, features: dict[str, Tensor], found: list[Target], image_shapes: Sizes
    ) -> list[Target]:
        """Return the instances of each image with ``masks`` ``[N, 1, M, M]``, best first."""
        raise NotImplementedError

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: Sizes,
        targets: list[Target] | None = None,
    ) -> tuple[list[Target], dict[str, Tensor]]:
        """Return the instances of each image and the losses; one of both is empty."""
        if not self.training:
            logits, encoded = self._boxes(features, proposals, image_shapes)
            boxes, scores, labels = self.postprocess_detections(
                logits, encoded, proposals, image_shapes
            )
            found = [
                {"boxes": b, "labels": c, "scores": s}
                for b, c, s in zip(boxes, labels, scores, strict=True)
            ]
            return self.add_masks(features, found, image_shapes), {}
        if targets is None:
            raise ValueError("training needs one target per image")
        regions, matched, labels, wanted = self.select_training_samples(proposals, targets)
        logits, encoded = self._boxes(features, regions, image_shapes)
        of_classes, of_boxes = fastrcnn_loss(logits, encoded, labels, wanted)
        keep = [x > 0 for x in labels]
        positives = Positives(
            *(
                [x[k] for x, k in zip(part, keep, strict=True)]
                for part in (regions, matched, labels)
            )
        )
        losses = {"loss_classifier": of_classes, "loss_box_reg": of_boxes}
        return [], {**losses, **self.mask_losses(features, positives, image_shapes, targets)}

    def _boxes(
        self, features: dict[str, Tensor], boxes: list[Tensor], image_shapes: Sizes
    ) -> tuple[Tensor, Tensor]:
        pooled = self.box_roi_pool(features, boxes, image_shapes)
        predicted: tuple[Tensor, Tensor] = self.box_predictor(self.box_head(pooled))
        return predicted


def mask_cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Return the mean binary cross entropy of masks ``[P, M, M]``, 0 if there are none."""
    if logits.shape[0] == 0:
        return logits.sum() * 0
    return functional.binary_cross_entropy_with_logits(logits.float(), truth.float())


def own_channel(maps: Tensor, labels: Tensor) -> Tensor:
    """Return the map of each region's own class, ``[P, …]`` of ``[P, classes, …]``."""
    return maps[torch.arange(labels.numel(), device=labels.device), labels]
