"""SOLOv2: instances by location, without boxes.

Wang, Zhang, Kong, Li, Shen, "SOLOv2: dynamic and fast instance segmentation", NeurIPS 2020,
arXiv:2003.10152.

Implemented: ResNet with feature pyramid, category and kernel towers, unified mask feature,
focal and dice loss, dynamic 1×1 convolution, Matrix NMS with gaussian and linear decay. It is
the baseline of FACENet, which replaces pyramid and convolutions.

Differences from the paper:
    * a cell that two instances claim belongs to the smaller one; ``collision="reference"`` gives
      what the authors' code does;
    * images come in normalised and are neither resized nor augmented here;
    * random weights unless ``pretrained`` is given; only then stem and first stage are frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import masks_to_boxes, sigmoid_focal_loss

from .blocks.detection_backbone import DetectionBackbone
from .blocks.detection_necks import FpnNeck
from .blocks.matrix_nms import Decay, matrix_nms
from .blocks.solo_head import MaskFeatures, SoloHead, resize
from .blocks.solo_targets import (
    BACKGROUND,
    CellTargets,
    Collision,
    assign_cells,
    batch_images,
    describe_objects,
    quarter_masks,
)
from .registry import register

STRIDE_PX = 32
LEVEL_STRIDES_PX = (8, 8, 16, 32, 32)
DICE_EPS = 1e-3
MASK_THRESHOLD = 0.5

Target = dict[str, Tensor]


@dataclass(frozen=True)
class SoloOptions:
    """Head, targets and inference of SOLOv2; the defaults are the paper's.

    Attributes:
        grids: Cells per side of the five levels.
        scale_ranges_px: Scales of objects per level, both ends included.
        tower_width: Width of category and kernel towers.
        tower_depth: Convolutions per tower.
        feature_width: Width inside the mask feature branch.
        kernel_width: Length of a dynamic kernel.
        dcn_in: Deformable parts, out of ``kernel``, ``cate`` and ``mask``.
        centre_ratio: Share of the box whose cells are positive.
        collision: See :func:`engine.models.blocks.solo_targets.assign_cells`.
        mask_weight: Weight of the dice loss.
        nms: Decay of Matrix NMS.
        nms_sigma: Strength of the gaussian decay.
        score_threshold: Least category score of a candidate, in (0, 1).
        keep_threshold: Least score after Matrix NMS, in (0, 1).
        max_candidates: Candidates that enter Matrix NMS.
        max_instances: Instances per image.
    """

    grids: Sequence[int] = (40, 36, 24, 16, 12)
    scale_ranges_px: Sequence[Sequence[float]] = (
        (1, 96),
        (48, 192),
        (96, 384),
        (192, 768),
        (384, 2048),
    )
    tower_width: int = 512
    tower_depth: int = 4
    feature_width: int = 128
    kernel_width: int = 256
    dcn_in: Sequence[str] = ()
    centre_ratio: float = 0.2
    collision: Collision = "smaller"
    mask_weight: float = 3.0
    nms: Decay = "gaussian"
    nms_sigma: float = 2.0
    score_threshold: float = 0.1
    keep_threshold: float = 0.05
    max_candidates: int = 500
    max_instances: int = 100

    def __post_init__(self) -> None:
        if len(self.grids) != len(LEVEL_STRIDES_PX) or len(self.scale_ranges_px) != len(self.grids):
            raise ValueError("grids and scale_ranges_px need one entry for each of the 5 levels")
        if self.nms not in ("gaussian", "linear"):
            raise ValueError(f"nms {self.nms!r} is not gaussian or linear")
        if self.collision not in ("smaller", "reference"):
            raise ValueError(f"collision {self.collision!r} is not smaller or reference")


class SoloV2(nn.Module):
    """SOLOv2 on any backbone and neck; torchvision's detection contract.

    Args:
        num_classes: Foreground classes.
        backbone: Maps at strides 4 to 32.
        neck: From these maps to five maps of ``neck.width`` channels at strides 4 to 64.
        options: Head, targets and inference.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        backbone: DetectionBackbone,
        neck: nn.Module,
        options: SoloOptions | None = None,
    ) -> None:
        super().__init__()
        self.options = options or SoloOptions()
        self.num_classes = num_classes
        self.backbone = backbone
        self.neck = neck
        width = int(cast(Any, neck).width)
        self.mask_features = MaskFeatures(
            width,
            self.options.feature_width,
            self.options.kernel_width,
            deformable="mask" in self.options.dcn_in,
        )
        self.head = SoloHead(
            num_classes,
            in_channels=width,
            tower_width=self.options.tower_width,
            tower_depth=self.options.tower_depth,
            kernel_width=self.options.kernel_width,
            grids=self.options.grids,
            dcn_in=self.options.dcn_in,
        )

    def forward(
        self, images: Sequence[Tensor], targets: Sequence[Target] | None = None
    ) -> dict[str, Tensor] | list[Target]:
        """Return losses in training mode, else the instances of each image.

        Args:
            images: Float ``[C, H, W]`` each, normalised, of any size.
            targets: Per image ``boxes`` float ``[N, 4]`` (x0, y0, x1, y1), ``labels`` int64
                ``[N]`` from 1 and ``masks`` uint8 ``[N, H, W]``; training only.

        Returns:
            ``loss_category`` and ``loss_mask``, whose sum is to be minimised; or per image
            ``boxes``, ``labels``, ``scores`` (descending) and ``masks`` (probabilities
            ``[N, 1, H, W]``, an object where above 0.5).

        Raises:
            ValueError: If targets are missing in training or do not fit the images.
        """
        if self.training and (targets is None or len(targets) != len(images)):
            raise ValueError("training needs one target per image")
        batch = batch_images(images, STRIDE_PX)
        pyramid = self.neck(self.backbone(batch))
        features = self.mask_features(pyramid)
        categories, kernels = self.head(pyramid)
        if self.training and targets is not None:
            size_px = (int(batch.shape[2]), int(batch.shape[3]))
            assigned = [self.assign(target, size_px) for target in targets]
            return {
                "loss_category": self.category_loss(categories, assigned),
                "loss_mask": self.options.mask_weight
                * self.mask_loss(features, kernels, assigned, targets),
            }
        flat = [torch.cat([x[i].flatten(1) for x in kernels], dim=1).T for i in range(len(images))]
        return [
            self.instances([x[i] for x in categories], flat[i], features[i], image.shape[-2:])
            for i, image in enumerate(images)
        ]

    def assign(self, target: Target, size_px: tuple[int, int]) -> list[CellTargets]:
        """Return the targets of each level of one image of a padded size."""
        objects = describe_objects(target["boxes"], target["labels"], target["masks"])
        return [
            assign_cells(
                objects,
                size_px,
                grid,
                (limits[0], limits[1]),
                centre_ratio=self.options.centre_ratio,
                collision=self.options.collision,
            )
            for grid, limits in zip(self.options.grids, self.options.scale_ranges_px, strict=True)
        ]

    def category_loss(
        self, categories: Sequence[Tensor], assigned: Sequence[Sequence[CellTargets]]
    ) -> Tensor:
        """Return the focal loss of all cells over the number of positive terms plus one."""
        logits = torch.cat([x.float().flatten(2) for x in categories], dim=2).movedim(1, 2)
        classes = torch.stack([torch.cat([level.classes for level in x]) for x in assigned])
        truth = functional.one_hot(classes - BACKGROUND, self.num_classes + 1)[..., 1:]
        positives = sum(level.cells.numel() for image in assigned for level in image)
        total: Tensor = sigmoid_focal_loss(logits, truth.to(logits), reduction="sum")
        return total / (positives + 1)

    def mask_loss(
        self,
        features: Tensor,
        kernels: Sequence[Tensor],
        assigned: Sequence[Sequence[CellTargets]],
        targets: Sequence[Target],
    ) -> Tensor:
        """Return the mean dice loss of all positive cells; 0 if there are none."""
        size_px = (4 * int(features.shape[2]), 4 * int(features.shape[3]))
        terms = []
        for i, (levels, target) in enumerate(zip(assigned, targets, strict=True)):
            masks = quarter_masks(target["masks"], size_px)
            chosen = torch.cat(
                [x[i].flatten(1)[:, level.cells] for x, level in zip(kernels, levels, strict=True)],
                dim=1,
            )
            logits = torch.einsum("dp,dhw->phw", chosen, features[i])
            owners = torch.cat([level.instances for level in levels])
            terms.append(dice_loss(logits.float().sigmoid(), masks[owners].float()))
        losses = torch.cat(terms)
        if losses.numel() == 0:
            return features.sum() * 0 + sum(x.sum() * 0 for x in kernels)
        return losses.mean()

    @torch.no_grad()
    def instances(
        self,
        categories: Sequence[Tensor],
        kernels: Tensor,
        features: Tensor,
        size_px: Sequence[int],
    ) -> Target:
        """Return the instances of one image.

        Args:
            categories: Logits ``[K, S, S]`` of each level.
            kernels: Float ``[cells of all levels, D]``.
            features: Mask feature ``[D, h, w]`` at stride 4 of the padded image.
            size_px: Height and width of the image.
        """
        scores = torch.cat([_peaks(x.float().sigmoid()).flatten(1).T for x in categories])
        strides = torch.cat(
            [
                x.new_full((x.shape[1] * x.shape[2],), float(stride), dtype=torch.float32)
                for x, stride in zip(categories, LEVEL_STRIDES_PX, strict=True)
            ]
        )
        cells, labels = torch.nonzero(scores > self.options.score_threshold, as_tuple=True)
        probabilities = (
            torch.einsum("pd,dhw->phw", kernels[cells], features.to(kernels)).float().sigmoid()
        )
        inside = probabilities > MASK_THRESHOLD
        areas = inside.sum(dim=(1, 2))
        certainty = (probabilities * inside).sum(dim=(1, 2)) / areas.clamp_min(1)
        ranked = torch.where(areas > strides[cells], scores[cells, labels] * certainty, -1.0)
        order = ranked.argsort(descending=True, stable=True)[: self.options.max_candidates]
        order = order[ranked[order] > 0]
        decayed = matrix_nms(
            inside[order],
            labels[order],
            ranked[order],
            decay=self.options.nms,
            sigma=self.options.nms_sigma,
        )
        best = decayed.argsort(descending=True, stable=True)[: self.options.max_instances]
        best = best[decayed[best] >= self.options.keep_threshold]
        chosen = order[best]
        return _full_size(probabilities[chosen], labels[chosen] + 1, decayed[best], size_px)


def dice_loss(probabilities: Tensor, truth: Tensor) -> Tensor:
    """Return ``1 - 2 Σpq / (Σp² + Σq²)`` per mask ``[P, h, w]``, as in eq. 11 of FACENet."""
    p, q = probabilities.flatten(1), truth.flatten(1)
    total = p.square().sum(dim=1) + q.square().sum(dim=1) + 2 * DICE_EPS
    return 1 - 2 * (p * q).sum(dim=1) / total


def _peaks(scores: Tensor) -> Tensor:
    """Keep scores that are the maximum of the 2×2 cells above and left of them."""
    largest = functional.max_pool2d(scores[None], 2, stride=1, padding=1)[0, :, :-1, :-1]
    return scores * (scores == largest)


def _full_size(masks: Tensor, labels: Tensor, scores: Tensor, size_px: Sequence[int]) -> Target:
    height, width = int(size_px[0]), int(size_px[1])
    full = masks.new_zeros((0, height, width))
    if masks.shape[0]:
        enlarged = resize(masks[:, None], (4 * masks.shape[1], 4 * masks.shape[2]))
        full = enlarged[:, 0, :height, :width]
    kept = (full > MASK_THRESHOLD).flatten(1).any(dim=1)
    full, labels, scores = full[kept], labels[kept], scores[kept]
    boxes = masks_to_boxes(full > MASK_THRESHOLD)
    boxes = boxes + boxes.new_tensor([0.0, 0.0, 1.0, 1.0])
    return {"boxes": boxes, "labels": labels, "scores": scores, "masks": full[:, None]}


def _solov2(name: str, num_classes: int, in_channels: int, **options: Any) -> SoloV2:
    pretrained, freeze = options.pop("pretrained", ""), options.pop("freeze", None)
    backbone = DetectionBackbone(
        name, in_channels=in_channels, pretrained=pretrained, freeze=freeze
    )
    return SoloV2(
        num_classes=num_classes,
        backbone=backbone,
        neck=FpnNeck(backbone.channels),
        options=SoloOptions(**options),
    )


@register("solov2_r101", task="instance")
def solov2_r101(*, num_classes: int, in_channels: int = 3, **options: Any) -> SoloV2:
    """Build SOLOv2 on ResNet-101 (65.06 M trainable parameters for 15 classes, frozen).

    ``options``: ``pretrained`` and ``freeze`` of the backbone, and those of
    :class:`SoloOptions`.
    """
    return _solov2("resnet101", num_classes, in_channels, **options)


@register("solov2_r50", task="instance")
def solov2_r50(*, num_classes: int, in_channels: int = 3, **options: Any) -> SoloV2:
    """Build SOLOv2 on ResNet-50; options as for :func:`solov2_r101`."""
    return _solov2("resnet50", num_classes, in_channels, **options)
