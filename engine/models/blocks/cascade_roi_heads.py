"""Three box stages of rising quality, each refining the boxes of the one before.

Cai, Vasconcelos, "Cascade R-CNN: high quality object detection and instance segmentation",
TPAMI 2021, arXiv:1906.09756. Boxes are class-agnostic; weights of the stages as in the authors'
code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.roi_heads import RoIHeads, project_masks_on_boxes
from torchvision.ops import batched_nms, clip_boxes_to_image, remove_small_boxes

from .mask_heads import MaskCascade
from .rcnn_parts import BOX_SIDE, HIDDEN, MASK_SIDE, RcnnOptions, roi_align

STAGE_IOUS = (0.5, 0.6, 0.7)
STAGE_WEIGHTS = (1.0, 0.5, 0.25)
CODER_WEIGHTS = (
    (10.0, 10.0, 5.0, 5.0),
    (20.0, 20.0, 10.0, 10.0),
    (30.0, 30.0, 15.0, 15.0),
)
MASK_LOGITS_SIDE = 28
SMALLEST_BOX_PX = 1e-2

Target = dict[str, Tensor]
Sizes = list[tuple[int, int]]


class AgnosticPredictor(nn.Module):
    """Class logits and one box per region.

    Args:
        num_classes: Foreground classes; the background is added.
        hidden: Width of the box head.
    """

    def __init__(self, num_classes: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.classes = nn.Linear(hidden, num_classes + 1)
        self.boxes = nn.Linear(hidden, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits ``[R, 1 + classes]`` and encoded boxes ``[R, 4]``, float32."""
        return self.classes(x).float(), self.boxes(x).float()


@dataclass(frozen=True)
class Regions:
    """Sampled regions of a batch with what they are to become, one entry per image.

    Attributes:
        boxes: Float ``[R, 4]``.
        matched: int64 ``[R]``, instance of each region (0 where there is none).
        labels: int64 ``[R]``, 0 is the background.
        encoded: Float ``[R, 4]``, encoded box of the instance.
    """

    boxes: list[Tensor]
    matched: list[Tensor]
    labels: list[Tensor]
    encoded: list[Tensor]


class CascadeRoiHeads(nn.Module):
    """Box and mask heads of a cascade, in the place of torchvision's ``RoIHeads``.

    Args:
        num_classes: Foreground classes.
        masks: Mask heads, one per stage.
        options: Sampling and inference.
        interleaved: Whether the mask head of a stage learns from the boxes that this stage has
            refined (hybrid task cascade), else from those that it was given.
    """

    def __init__(
        self,
        num_classes: int,
        masks: MaskCascade,
        options: RcnnOptions,
        *,
        interleaved: bool = False,
    ) -> None:
        super().__init__()
        self.interleaved = interleaved
        self.options = options
        self.box_pool = roi_align(BOX_SIDE)
        self.mask_pool = roi_align(MASK_SIDE)
        self.stages = nn.ModuleList(
            RoIHeads(
                self.box_pool,
                TwoMLPHead(options.width * BOX_SIDE**2, options.hidden),
                AgnosticPredictor(num_classes, options.hidden),
                iou,
                iou,
                options.rois_per_image,
                options.positive_ratio,
                weights,
                options.score_threshold,
                options.nms_iou,
                options.max_instances,
            )
            for iou, weights in zip(STAGE_IOUS, CODER_WEIGHTS, strict=True)
        )
        self.masks = masks

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: Sizes,
        targets: list[Target] | None = None,
    ) -> tuple[list[Target], dict[str, Tensor]]:
        """Return the instances of each image and the losses; one of both is empty."""
        if self.training:
            if targets is None:
                raise ValueError("training needs one target per image")
            return [], self.losses(features, proposals, image_shapes, targets)
        return self.instances(features, proposals, image_shapes), {}

    def losses(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: Sizes,
        targets: list[Target],
    ) -> dict[str, Tensor]:
        """Return the weighted losses, summed over the stages."""
        boxes = [x.detach() for x in proposals]
        terms: dict[str, Tensor] = {}
        for stage, weight in enumerate(STAGE_WEIGHTS):
            regions = self.sample(stage, boxes, targets)
            logits, encoded = self._boxes(stage, features, regions.boxes, image_shapes)
            of_classes, of_boxes = box_losses(logits, encoded, regions)
            boxes = self._refined(stage, encoded.detach(), regions.boxes, image_shapes)
            boxes = [
                refined[keep]
                for refined, keep in zip(boxes, _not_truth(regions, targets), strict=True)
            ]
            if self.interleaved:
                regions = self.sample(stage, boxes, targets)
            of_masks = self._mask_loss(stage, features, regions, image_shapes, targets)
            for name, value in (
                ("loss_classifier", of_classes),
                ("loss_box_reg", of_boxes),
                ("loss_mask", of_masks),
            ):
                terms[name] = terms.get(name, 0) + weight * value
        return terms

    def sample(self, stage: int, boxes: list[Tensor], targets: list[Target]) -> Regions:
        """Return the regions a stage learns from; true boxes are among the candidates."""
        drawn = self._stage(stage).select_training_samples(list(boxes), targets)
        return Regions(*(list(part) for part in drawn))

    def instances(
        self, features: dict[str, Tensor], proposals: list[Tensor], image_shapes: Sizes
    ) -> list[Target]:
        """Return boxes, labels, scores and masks ``[N, 1, 28, 28]`` of each image."""
        boxes = list(proposals)
        scores: Tensor | None = None
        for stage in range(len(self.stages)):
            logits, encoded = self._boxes(stage, features, boxes, image_shapes)
            probabilities = logits.float().softmax(dim=1)
            scores = probabilities if scores is None else scores + probabilities
            boxes = self._refined(stage, encoded, boxes, image_shapes)
        if scores is None:
            return []
        split = torch.split(scores / len(self.stages), [x.shape[0] for x in boxes])
        found = [self._best(b, s) for b, s in zip(boxes, split, strict=True)]
        pooled = self.pool_masks(features, [x["boxes"] for x in found], image_shapes)
        stages = self.masks.all_stages(pooled)
        mean = torch.stack([x.float().sigmoid() for x in stages]).mean(dim=0)
        labels = torch.cat([x["labels"] for x in found])
        chosen = mean[torch.arange(labels.numel(), device=labels.device), labels - 1]
        counts = [x["labels"].numel() for x in found]
        for item, masks in zip(found, torch.split(chosen, counts), strict=True):
            item["masks"] = masks[:, None]
        return found

    def pool_boxes(
        self, features: dict[str, Tensor], boxes: list[Tensor], image_shapes: Sizes
    ) -> Tensor:
        """Return what the box heads see of each region, float ``[R, width, 7, 7]``."""
        pooled: Tensor = self.box_pool(features, boxes, image_shapes)
        return pooled

    def pool_masks(
        self, features: dict[str, Tensor], boxes: list[Tensor], image_shapes: Sizes
    ) -> Tensor:
        """Return what the mask heads see of each region, float ``[R, width, 14, 14]``."""
        pooled: Tensor = self.mask_pool(features, boxes, image_shapes)
        return pooled

    def _stage(self, stage: int) -> Any:
        return self.stages[stage]

    def _boxes(
        self, stage: int, features: dict[str, Tensor], boxes: list[Tensor], image_shapes: Sizes
    ) -> tuple[Tensor, Tensor]:
        heads = self._stage(stage)
        predicted: tuple[Tensor, Tensor] = heads.box_predictor(
            heads.box_head(self.pool_boxes(features, boxes, image_shapes))
        )
        return predicted

    def _refined(
        self, stage: int, encoded: Tensor, boxes: list[Tensor], image_shapes: Sizes
    ) -> list[Tensor]:
        decoded: Tensor = self._stage(stage).box_coder.decode(encoded.float(), boxes)
        parts = torch.split(decoded.reshape(-1, 4), [x.shape[0] for x in boxes])
        return [clip_boxes_to_image(x, size) for x, size in zip(parts, image_shapes, strict=True)]

    def _mask_loss(
        self,
        stage: int,
        features: dict[str, Tensor],
        regions: Regions,
        image_shapes: Sizes,
        targets: list[Target],
    ) -> Tensor:
        positive = [labels > 0 for labels in regions.labels]
        boxes = [x[keep] for x, keep in zip(regions.boxes, positive, strict=True)]
        logits: Tensor = self.masks(self.pool_masks(features, boxes, image_shapes), stage)
        if logits.shape[0] == 0:
            return logits.sum() * 0
        truth = torch.cat(
            [
                project_masks_on_boxes(target["masks"], b, m[keep], MASK_LOGITS_SIDE)
                for target, b, m, keep in zip(
                    targets, boxes, regions.matched, positive, strict=True
                )
                if b.shape[0]
            ]
        )
        labels = torch.cat([x[keep] for x, keep in zip(regions.labels, positive, strict=True)])
        chosen = logits[torch.arange(labels.numel(), device=labels.device), labels - 1]
        loss: Tensor = functional.binary_cross_entropy_with_logits(chosen.float(), truth)
        return loss

    def _best(self, boxes: Tensor, scores: Tensor) -> Target:
        """Return the best instances of one image after suppression within each class."""
        region, label = torch.nonzero(scores[:, 1:] > self.options.score_threshold, as_tuple=True)
        boxes, values, label = boxes[region], scores[region, label + 1], label + 1
        keep = remove_small_boxes(boxes, SMALLEST_BOX_PX)
        boxes, values, label = boxes[keep], values[keep], label[keep]
        keep = batched_nms(boxes, values, label, self.options.nms_iou)
        keep = keep[: self.options.max_instances]
        return {"boxes": boxes[keep], "labels": label[keep], "scores": values[keep]}


def box_losses(logits: Tensor, encoded: Tensor, regions: Regions) -> tuple[Tensor, Tensor]:
    """Return cross entropy over all regions and smooth L1 (beta 1) of those that are objects.

    Args:
        logits: Float ``[R, 1 + classes]``.
        encoded: Predicted encoded boxes ``[R, 4]``.
        regions: The regions of the batch.
    """
    labels = torch.cat(regions.labels)
    wanted = torch.cat(regions.encoded)
    positive = labels > 0
    of_boxes = functional.smooth_l1_loss(
        encoded[positive].float(), wanted[positive].float(), beta=1.0, reduction="sum"
    )
    return functional.cross_entropy(logits.float(), labels), of_boxes / max(1, labels.numel())


def _not_truth(regions: Regions, targets: Sequence[Target]) -> list[Tensor]:
    """Return which regions are not true boxes themselves; those are added again later."""
    kept = []
    for boxes, target in zip(regions.boxes, targets, strict=True):
        true = target["boxes"].to(boxes)
        equal = (boxes[:, None] == true[None]).all(dim=2).any(dim=1)
        kept.append(~equal)
    return kept
