"""Optimisers with a rate of their own for the backbone and no decay for vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .recipe import OptimizerRecipe

BACKBONE_PARTS = ("encoder", "backbone")
NECK_PARTS = ("neck", "fpn")
"""Detectors keep these inside of ``backbone``, yet they start from random weights."""


def is_backbone(name: str) -> bool:
    """Return whether a parameter belongs to a backbone, by the parts of its dotted name."""
    parts = name.split(".")[:-1]
    return any(part in BACKBONE_PARTS for part in parts) and not any(
        part in NECK_PARTS for part in parts
    )


def make_optimizer(
    network: nn.Module, recipe: OptimizerRecipe, *, tuned: bool
) -> torch.optim.Optimizer:
    """Return the optimiser of the parameters that train; each group has its ``lr_ratio``.

    Args:
        network: The network; frozen parameters are left out.
        recipe: Optimiser and rates.
        tuned: Whether the backbone starts from weights and learns at ``backbone_ratio``.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        ratio = recipe.backbone_ratio if tuned and is_backbone(name) else 1.0
        decay = recipe.weight_decay if recipe.norm_decay or parameter.ndim > 1 else 0.0
        groups.setdefault((ratio, decay), []).append(parameter)
    settings = [
        {"params": parameters, "weight_decay": decay, "lr_ratio": ratio, "lr": recipe.lr * ratio}
        for (ratio, decay), parameters in groups.items()
    ]
    if recipe.name == "sgd":
        return torch.optim.SGD(settings, lr=recipe.lr, momentum=recipe.momentum)
    adamw = torch.optim.AdamW(
        settings, lr=recipe.lr, betas=(recipe.beta1, recipe.beta2), fused=True
    )
    # Lightning refuses to clip gradients of what could unscale them; bfloat16 has no scale.
    adamw._step_supports_amp_scaling = False
    return adamw


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all groups, each times its own ratio."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_ratio"]


class WeightAverage:
    """Running average of all weights; whole numbers are copied.

    Args:
        network: Network whose weights are averaged.
        decay: Share of the average that stays at each step, in (0, 1).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards the network; the first steps count more, so that the start is forgotten."""
        decay = min(self.decay, (step + 1) / (step + 10))
        state = network.state_dict()
        names = [name for name, value in state.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.tensors[n] for n in names], [state[n] for n in names], 1 - decay)
        for name in state.keys() - set(names):
            self.tensors[name].copy_(state[name])

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over the tensors of a checkpoint."""
        for name, value in self.tensors.items():
            value.copy_(tensors[name])

    def to(self, device: torch.device) -> None:
        """Move the average to the network's device."""
        self.tensors = {name: value.to(device) for name, value in self.tensors.items()}
