"""FarSeg: foreground-aware relation network for geospatial object segmentation.

Zheng, Zhong, Wang, Ma, "Foreground-aware relation network for geospatial object segmentation in
high spatial resolution remote sensing imagery", CVPR 2020, arXiv:2011.09766.

Implemented: multi-branch encoder (eq. 1, scene embedding), foreground-scene relation with and
without scale-aware projection (eqs. 2 to 5), light-weight decoder (eq. 6), foreground-aware
optimisation (eq. 7) with linear, poly and cosine annealing whose step is state.

Differences from the paper:
    * the scene projection is a two-layer perceptron, one per level if scale-aware: only that
      reproduces the printed parameter counts (a single 1×1 convolution does not);
    * the pyramid has a 3×3 convolution per level, which eq. 1 leaves out;
    * padding is zeros after normalisation, that is the mean;
    * random weights unless ``pretrained`` is given; the learning-rate schedule belongs to the
      training job.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks.backbones import pyramid_channels
from .blocks.losses import cross_entropy
from .blocks.segmenter import Outputs, as_tuple
from .registry import register
from .semantic_fpn import SemanticFpn

Annealing = Literal["cosine", "poly", "linear", "none"]
Relation = Literal["scale_aware", "shared", "none"]
POLY_POWER = 0.9
LEVELS = 4


class SceneRelation(nn.Module):
    """Foreground-scene relation of all pyramid levels (section 3.2, eqs. 2 to 5).

    Args:
        scene_channels: Width of the scene embedding, the coarsest map of the backbone.
        width: Width of the pyramid.
        scale_aware: Whether each level projects the scene on its own.
    """

    def __init__(self, scene_channels: int, width: int = 256, *, scale_aware: bool = True) -> None:
        super().__init__()
        self.scene_projections = nn.ModuleList(
            _scene_projection(scene_channels, width) for _ in range(LEVELS if scale_aware else 1)
        )
        self.projections = nn.ModuleList(_projection(width) for _ in range(LEVELS))
        self.encoders = nn.ModuleList(_projection(width) for _ in range(LEVELS))

    def forward(self, pyramid: list[Tensor], coarsest: Tensor) -> list[Tensor]:
        """Return the pyramid weighted by its relation to the scene; shapes stay."""
        gates = self.relation_maps(pyramid, coarsest)
        return [
            gate * encode(x) for gate, encode, x in zip(gates, self.encoders, pyramid, strict=True)
        ]

    def relation_maps(self, pyramid: list[Tensor], coarsest: Tensor) -> list[Tensor]:
        """Return the normalised relation of each level, float ``[N, 1, h, w]`` in (0, 1)."""
        scene = coarsest.mean(dim=(2, 3), keepdim=True)
        embeddings = [project(scene) for project in self.scene_projections]
        maps = []
        for level, (project, x) in enumerate(zip(self.projections, pyramid, strict=True)):
            embedding = embeddings[level % len(embeddings)]
            maps.append((embedding * project(x)).sum(dim=1, keepdim=True).sigmoid())
        return maps


class ForegroundAwareLoss(nn.Module):
    """Foreground-aware optimisation (section 3.4, eq. 7): hard pixels count more and more.

    The weight of pixel ``i`` moves from 1 to ``(1 - p_i)^gamma / Z`` while the annealing factor
    falls from 1 to 0; ``Z`` keeps the sum of the loss what plain cross-entropy gives. Weights
    and ``Z`` carry no gradient. The step is a buffer: it counts calls in training mode, is saved
    with the weights and resumes.

    Args:
        gamma: Focusing exponent, at least 0; 0 is plain cross-entropy.
        annealing: Course of the factor; ``none`` is 0 from the start.
        annealing_steps: Steps until the factor is 0.
        normalised: Whether the sum is kept; without it the loss is the plain focal one.

    Raises:
        ValueError: If an argument is out of its range.
    """

    step: Tensor

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        annealing: Annealing = "cosine",
        annealing_steps: int = 10_000,
        normalised: bool = True,
    ) -> None:
        super().__init__()
        if annealing not in ("cosine", "poly", "linear", "none"):
            raise ValueError(f"annealing {annealing!r} is not cosine, poly, linear or none")
        if gamma < 0 or annealing_steps < 1:
            raise ValueError(f"gamma {gamma} is below 0 or annealing_steps below 1")
        self.gamma = gamma
        self.annealing = annealing
        self.annealing_steps = annealing_steps
        self.normalised = normalised
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def factor(self) -> Tensor:
        """Return the annealing factor of the current step, a scalar in [0, 1]."""
        done = (self.step.float() / self.annealing_steps).clamp(max=1.0)
        if self.annealing == "cosine":
            return 0.5 * (1 + torch.cos(math.pi * done))
        if self.annealing == "linear":
            return 1 - done
        if self.annealing == "poly":
            return (1 - done) ** POLY_POWER
        return torch.zeros_like(done)

    def coefficients(self, losses: Tensor) -> Tensor:
        """Return the weight of each pixel.

        Args:
            losses: Cross-entropy of each pixel, float, any shape, 0 where there is no label.

        Returns:
            Weights of the same shape, without gradient.
        """
        with torch.no_grad():
            # 1 - exp(-l) without loss of small values; torch's expm1 takes eight times as long.
            half = (0.5 * losses).tanh_()
            weights = half.div_(half + 1).mul_(2).clamp_(0.0, 1.0).pow_(self.gamma)
            kept = self.factor()
            raised = 1 - kept
            if self.normalised:
                hard = torch.dot(weights.flatten(), losses.flatten())
                raised = torch.where(hard > 0, raised * losses.sum() / hard, 0.0)
                kept = torch.where(hard > 0, kept, 1.0)
            return weights.mul_(raised).add_(kept)

    def forward(self, logits: Tensor, target: Tensor, ignore_index: int = 255) -> Tensor:
        """Return the loss, a scalar: the weighted sum over ``labelled pixels + batch size``.

        Args:
            logits: Float ``[N, K, H, W]``.
            target: Class ids int64 ``[N, H, W]``.
            ignore_index: Value of pixels without a label.
        """
        losses = functional.cross_entropy(
            logits.float(), target, ignore_index=ignore_index, reduction="none"
        )
        weights = self.coefficients(losses.detach())
        if self.training:
            self.step += 1
        divisor = (target != ignore_index).sum() + target.shape[0]
        return torch.dot(weights.flatten(), losses.flatten()) / divisor


class FarSeg(SemanticFpn):
    """FarSeg; without relation and foreground-aware loss it is its own baseline.

    Args:
        num_classes: All classes, background included.
        in_channels: Number of input bands.
        backbone: timm name of the backbone; the paper's is ResNet-50.
        width: Channels of the pyramid.
        pretrained: See :func:`engine.models.blocks.backbones.timm_pyramid`.
        relation: ``scale_aware`` (the paper's), ``shared`` (one scene projection) or ``none``.
        criterion: Foreground-aware loss, ``None`` for plain cross-entropy.
        align_corners: How maps and logits are enlarged.

    Raises:
        ValueError: If ``relation`` is unknown.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 3,
        backbone: str = "resnet50",
        width: int = 256,
        pretrained: str = "",
        relation: Relation = "scale_aware",
        criterion: ForegroundAwareLoss | None = None,
        align_corners: bool = True,
    ) -> None:
        if relation not in ("scale_aware", "shared", "none"):
            raise ValueError(f"relation {relation!r} is not scale_aware, shared or none")
        super().__init__(
            num_classes=num_classes,
            in_channels=in_channels,
            backbone=backbone,
            width=width,
            pretrained=pretrained,
            align_corners=align_corners,
        )
        self.relation = (
            None
            if relation == "none"
            else SceneRelation(
                pyramid_channels(self.backbone)[-1],
                width,
                scale_aware=relation == "scale_aware",
            )
        )
        self.criterion = criterion

    def relate(self, pyramid: list[Tensor], maps: list[Tensor]) -> list[Tensor]:
        """Return the pyramid related to the scene."""
        if self.relation is None:
            return pyramid
        related: list[Tensor] = self.relation(pyramid, maps[-1])
        return related

    def loss(self, outputs: Outputs, target: Tensor, ignore_index: int = 255) -> dict[str, Tensor]:
        """Return the foreground-aware loss and the annealing factor it was computed with.

        Args:
            outputs: What the network returned in training.
            target: Class ids int64 ``[N, H, W]``.
            ignore_index: Value of pixels without a label.
        """
        logits = as_tuple(outputs)[-1]
        if self.criterion is None:
            return {"loss": cross_entropy(logits, target, ignore_index)}
        factor = self.criterion.factor()
        return {"loss": self.criterion(logits, target, ignore_index), "annealing": factor}


def _scene_projection(scene_channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(scene_channels, width, 1), nn.ReLU(inplace=True), nn.Conv2d(width, width, 1)
    )


def _projection(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True))


@register("farseg", task="semantic")
def farseg(
    *,
    num_classes: int,
    in_channels: int = 3,
    backbone: str = "resnet18",
    width: int = 128,
    pretrained: str = "",
    relation: Relation = "scale_aware",
    foreground_aware: bool = True,
    focus: Mapping[str, Any] | None = None,
) -> FarSeg:
    """Build FarSeg on any timm backbone with maps at strides 4, 8, 16 and 32.

    Args:
        num_classes: All classes, background included.
        in_channels: Number of input bands.
        backbone: timm name of the backbone.
        width: Channels of the pyramid.
        pretrained: See :func:`engine.models.blocks.backbones.timm_pyramid`.
        relation: ``scale_aware``, ``shared`` or ``none``.
        foreground_aware: Whether the loss is the paper's; plain cross-entropy otherwise.
        focus: Arguments of :class:`ForegroundAwareLoss` that differ from their defaults.
    """
    return FarSeg(
        num_classes=num_classes,
        in_channels=in_channels,
        backbone=backbone,
        width=width,
        pretrained=pretrained,
        relation=relation,
        criterion=ForegroundAwareLoss(**(focus or {})) if foreground_aware else None,
    )


@register("farseg_r50", task="semantic")
def farseg_r50(
    *,
    num_classes: int,
    in_channels: int = 3,
    pretrained: str = "",
    relation: Relation = "scale_aware",
    foreground_aware: bool = True,
    gamma: float = 2.0,
    annealing: Annealing = "cosine",
    annealing_steps: int = 10_000,
) -> FarSeg:
    """Build FarSeg on ResNet-50 (31.368 M parameters for 16 classes).

    The ablation of the paper's table 4: ``relation`` and ``foreground_aware``; that of tables 5
    and 6: ``gamma`` and ``annealing``.
    """
    criterion = (
        ForegroundAwareLoss(gamma=gamma, annealing=annealing, annealing_steps=annealing_steps)
        if foreground_aware
        else None
    )
    return FarSeg(
        num_classes=num_classes,
        in_channels=in_channels,
        pretrained=pretrained,
        relation=relation,
        criterion=criterion,
    )
