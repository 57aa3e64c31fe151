"""Torch on an NVIDIA GPU: bf16 on tensor cores, channels-last."""

from __future__ import annotations

import torch
from torch import Tensor

from .contract import Forward, Opening
from .mixed import mixed_network


def open_torch_cuda(opening: Opening) -> Forward:
    """Return the network's forward pass on its GPU.

    cuDNN chooses its algorithms by rules, not by trial, which could give another choice and with
    it other bytes when a run is continued.
    """
    reduced = opening.precision == "bf16"
    network = mixed_network(opening) if opening.precision == "mixed" else opening.network

    def forward(images: Tensor) -> Tensor:
        with torch.autocast("cuda", torch.bfloat16, enabled=reduced):
            logits: Tensor = network(images)
        return logits.float()

    return forward
