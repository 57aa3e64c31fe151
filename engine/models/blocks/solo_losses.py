"""What SOLO and SOLOv2 learn from and how candidates become instances.

Wang, Kong, Shen, Jiang, Li, "SOLO: segmenting objects by locations", ECCV 2020, section 3.3;
Wang, Zhang, Kong, Li, Shen, "SOLOv2: dynamic and fast instance segmentation", NeurIPS 2020,
section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import masks_to_boxes, sigmoid_focal_loss

from .matrix_nms import Decay, matrix_nms
from .solo_head import resize
from .solo_targets import BACKGROUND, CellTargets, Collision, assign_cells, describe_objects

LEVEL_STRIDES_PX = (8, 8, 16, 32, 32)
DICE_EPS = 1e-3
MASK_THRESHOLD = 0.5
MASK_STRIDE_PX = 4
DRAWN_PER_CANDIDATE = 4

Target = dict[str, Tensor]


@dataclass(frozen=True)
class SoloOptions:
    """Head, targets and inference of SOLO and SOLOv2; the defaults are those of SOLOv2's paper.

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
        soft_masks: Whether masks are learnt as the covered share of each 4 × 4 pixels instead of
            yes or no; gives small objects better outlines (not in the papers).
        nms: Decay of Matrix NMS.
        nms_sigma: Strength of the gaussian decay.
        score_threshold: Least category score of a candidate, in (0, 1).
        keep_threshold: Least score after Matrix NMS, in (0, 1).
        max_candidates: Candidates that enter Matrix NMS; masks are drawn for four times as many,
            those of the highest category scores.
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
    soft_masks: bool = False
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


def assign_levels(
    target: Target, size_px: tuple[int, int], options: SoloOptions
) -> list[CellTargets]:
    """Return the targets of each level of one image of a padded size."""
    objects = describe_objects(target["boxes"], target["labels"], target["masks"])
    return [
        assign_cells(
            objects,
            size_px,
            grid,
            (limits[0], limits[1]),
            centre_ratio=options.centre_ratio,
            collision=options.collision,
        )
        for grid, limits in zip(options.grids, options.scale_ranges_px, strict=True)
    ]


def category_loss(
    categories: Sequence[Tensor], assigned: Sequence[Sequence[CellTargets]]
) -> Tensor:
    """Return the focal loss of all cells over the number of positive terms plus one.

    Args:
        categories: Logits ``[N, K, S, S]`` of each level.
        assigned: Targets of each image, one entry per level.
    """
    logits = torch.cat([x.float().flatten(2) for x in categories], dim=2).movedim(1, 2)
    classes = torch.stack([torch.cat([level.classes for level in x]) for x in assigned])
    truth = functional.one_hot(classes - BACKGROUND, logits.shape[2] + 1)[..., 1:]
    positives = sum(level.cells.numel() for image in assigned for level in image)
    total: Tensor = sigmoid_focal_loss(logits, truth.to(logits), reduction="sum")
    return total / (positives + 1)


def dice_loss(probabilities: Tensor, truth: Tensor) -> Tensor:
    """Return ``1 - 2 Σpq / (Σp² + Σq²)`` per mask ``[P, h, w]``, as in eq. 11 of FACENet."""
    p, q = probabilities.flatten(1), truth.flatten(1)
    total = p.square().sum(dim=1) + q.square().sum(dim=1) + 2 * DICE_EPS
    return 1 - 2 * (p * q).sum(dim=1) / total


@dataclass(frozen=True)
class Candidates:
    """Cells whose category score is high enough.

    Attributes:
        cells: int64 ``[P]``, index over the cells of all levels.
        labels: int64 ``[P]``, class from 0.
        scores: Float ``[P]``.
        strides_px: Float ``[P]``, stride of the level.
    """

    cells: Tensor
    labels: Tensor
    scores: Tensor
    strides_px: Tensor


def find_candidates(categories: Sequence[Tensor], options: SoloOptions) -> Candidates:
    """Return the peaks of the category maps of one image, logits ``[K, S, S]`` per level."""
    scores = torch.cat([_peaks(x.float().sigmoid()).flatten(1).T for x in categories])
    strides = torch.cat(
        [
            x.new_full((x.shape[1] * x.shape[2],), float(stride), dtype=torch.float32)
            for x, stride in zip(categories, LEVEL_STRIDES_PX, strict=True)
        ]
    )
    cells, labels = torch.nonzero(scores > options.score_threshold, as_tuple=True)
    found = scores[cells, labels]
    if found.numel() > DRAWN_PER_CANDIDATE * options.max_candidates:
        best = found.topk(DRAWN_PER_CANDIDATE * options.max_candidates).indices
        cells, labels, found = cells[best], labels[best], found[best]
    return Candidates(cells, labels, found, strides[cells])


def select_instances(
    candidates: Candidates,
    probabilities: Tensor,
    size_px: Sequence[int],
    options: SoloOptions,
) -> Target:
    """Return the instances of one image: masks weigh the scores, Matrix NMS thins them out.

    Args:
        candidates: Of :func:`find_candidates`.
        probabilities: Their masks ``[P, h, w]`` at stride 4 of the padded image.
        size_px: Height and width of the image.
        options: Thresholds and limits.
    """
    inside = probabilities > MASK_THRESHOLD
    areas = inside.sum(dim=(1, 2))
    certainty = (probabilities * inside).sum(dim=(1, 2)) / areas.clamp_min(1)
    ranked = torch.where(areas > candidates.strides_px, candidates.scores * certainty, -1.0)
    order = ranked.argsort(descending=True, stable=True)[: options.max_candidates]
    order = order[ranked[order] > 0]
    decayed = matrix_nms(
        inside[order],
        candidates.labels[order],
        ranked[order],
        decay=options.nms,
        sigma=options.nms_sigma,
    )
    best = decayed.argsort(descending=True, stable=True)[: options.max_instances]
    best = best[decayed[best] >= options.keep_threshold]
    chosen = order[best]
    return _full_size(probabilities[chosen], candidates.labels[chosen] + 1, decayed[best], size_px)


def _peaks(scores: Tensor) -> Tensor:
    """Keep scores that are the maximum of the 2×2 cells above and left of them."""
    largest = functional.max_pool2d(scores[None], 2, stride=1, padding=1)[0, :, :-1, :-1]
    return scores * (scores == largest)


def _full_size(masks: Tensor, labels: Tensor, scores: Tensor, size_px: Sequence[int]) -> Target:
    height, width = int(size_px[0]), int(size_px[1])
    full = masks.new_zeros((0, height, width))
    if masks.shape[0]:
        enlarged = resize(
            masks[:, None], (MASK_STRIDE_PX * masks.shape[1], MASK_STRIDE_PX * masks.shape[2])
        )
        full = enlarged[:, 0, :height, :width]
    kept = (full > MASK_THRESHOLD).flatten(1).any(dim=1)
    full, labels, scores = full[kept], labels[kept], scores[kept]
    boxes = masks_to_boxes(full > MASK_THRESHOLD)
    boxes = boxes + boxes.new_tensor([0.0, 0.0, 1.0, 1.0])
    return {"boxes": boxes, "labels": labels, "scores": scores, "masks": full[:, None]}
