"""Mixed precision: bf16 for the few layers that cost most, float32 for all others.

In bf16 a value has 8 significant bits. With every layer in bf16 the roundings of some 60 layers
add up; the labels of the shipped model then differ from float32 at 0.4 to 1 % of the pixels. Most
of the arithmetic is done by few layers, though: with bf16 in those alone, and what they give in
float32, nearly all of the speed is left and less than 0.05 % of the pixels differ.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .check import texture
from .contract import Opening
from .fold import fold_norms

MIXED_RATIO = 0.9
"""The costliest layers run in bf16 until they make up this share of all multiplications."""
LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


class InBf16(nn.Module):
    """A layer that computes in bf16, from float32 to float32.

    Args:
        layer: The layer in float32; it is copied.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = copy.deepcopy(layer).bfloat16()

    def forward(self, x: Tensor) -> Tensor:
        """Return what the layer gives, with inputs and weights rounded to bf16."""
        found: Tensor = self.layer(x.bfloat16())
        return found.float()


def mixed_network(opening: Opening) -> nn.Module:
    """Return a network whose costliest layers compute in bf16.

    Batch normalisation is folded into the convolutions. Other layers share their weights with the
    network that is given, which stays as it is.
    """
    chosen = costliest(layer_costs(opening.network, opening), MIXED_RATIO)
    tensors = [*opening.network.parameters(), *opening.network.buffers()]
    changed = copy.deepcopy(opening.network, {id(tensor): tensor for tensor in tensors})
    fold_norms(changed)
    for name in chosen:
        parent, _, last = name.rpartition(".")
        holder = changed.get_submodule(parent)
        setattr(holder, last, InBf16(changed.get_submodule(name)))
    return changed.eval()


def costliest(costs: Mapping[str, int], ratio: float) -> list[str]:
    """Return the names of the costliest layers that together reach a share of all costs."""
    wanted, sum_so_far = ratio * sum(costs.values()), 0
    chosen: list[str] = []
    for name in sorted(costs, key=lambda name: (-costs[name], name)):
        if sum_so_far >= wanted:
            break
        chosen.append(name)
        sum_so_far += costs[name]
    return chosen


def layer_costs(network: nn.Module, opening: Opening) -> dict[str, int]:
    """Return the multiplications of each layer for one tile, by its name."""
    costs: dict[str, int] = {}

    def counter(name: str) -> Any:
        def count(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            turned = isinstance(layer, nn.ConvTranspose2d)
            places = inputs[0].numel() if turned else output.numel()
            costs[name] = costs.get(name, 0) + places * layer.weight[0].numel()

        return count

    layers = [(name, m) for name, m in network.named_modules() if type(m) in LAYERS and name]
    hooks = [layer.register_forward_hook(counter(name)) for name, layer in layers]
    try:
        with torch.inference_mode():
            network(texture(opening.tile_shape).to(opening.device))
    finally:
        for hook in hooks:
            hook.remove()
    return costs
