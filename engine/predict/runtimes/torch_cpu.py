"""Torch on the CPU: float32 is the reference of all runtimes, bf16 is fast where hardware has it.

Images keep the channels-last layout in which tiles are normalised; with one in which weights are
too, oneDNN reorders nothing between layers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .contract import Forward, Opening
from .mixed import mixed_network


def open_torch_cpu(opening: Opening) -> Forward:
    """Return the network's own forward pass, with all, some or no layers in bf16."""
    reduced = opening.precision == "bf16"
    network = mixed_network(opening) if opening.precision == "mixed" else opening.network

    def forward(images: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            logits: Tensor = network(images)
        return logits.float()

    return forward
