"""Momentum contrast (MoCo v2): pre-training of a backbone without labels.

He, Fan, Wu, Xie, Girshick, "Momentum contrast for unsupervised visual representation learning",
CVPR 2020; Chen, Fan, Girshick, He, "Improved baselines with momentum contrastive learning",
arXiv:2003.04297; used by Hi-ResNet, section III-C, eqs. 10 and 11.

Differences from the paper:
    * the head on a backbone with several maps is unstated: their global means are concatenated
      and pass a perceptron of that width;
    * without shuffled batch normalisation; over several devices use synchronised batch
      normalisation. Keys of all devices enter the queue.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from .backbones import call_pyramid


class Encoder(nn.Module):
    """Backbone, global means of its maps, two-layer perceptron, unit length.

    Args:
        backbone: Module ``[N, C, H, W] -> maps``.
        widths: Widths of the maps.
        embedding: Length of the embedding.
    """

    def __init__(self, backbone: nn.Module, widths: Sequence[int], embedding: int = 128) -> None:
        super().__init__()
        self.backbone = backbone
        width = sum(widths)
        self.head = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(inplace=True), nn.Linear(width, embedding)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return embeddings float ``[N, embedding]`` of length one."""
        means = [x.mean(dim=(2, 3)) for x in call_pyramid(self.backbone, images)]
        return functional.normalize(self.head(torch.cat(means, dim=1)).float(), dim=1)


class MomentumContrast(nn.Module):
    """Query encoder, key encoder that follows it, and a queue of past keys.

    Args:
        backbone: The backbone to pre-train, in place; see :class:`Encoder`.
        widths: Widths of its maps.
        embedding: Length of the embedding.
        queue_length: Number of past keys; a multiple of the batch size.
        momentum: Share of the key encoder that stays at each step, in [0, 1).
        temperature: Divisor of the similarities, above 0.

    Raises:
        ValueError: If a number is out of its range.
    """

    queue: Tensor
    pointer: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        widths: Sequence[int],
        *,
        embedding: int = 128,
        queue_length: int = 65_536,
        momentum: float = 0.999,
        temperature: float = 0.2,
    ) -> None:
        super().__init__()
        if queue_length < 1 or not 0 <= momentum < 1 or temperature <= 0:
            raise ValueError(
                f"queue_length {queue_length}, momentum {momentum}, temperature {temperature}"
            )
        self.query_encoder = Encoder(backbone, widths, embedding)
        self.key_encoder = copy.deepcopy(self.query_encoder).requires_grad_(False)
        self.momentum = momentum
        self.temperature = temperature
        keys = functional.normalize(torch.randn(queue_length, embedding), dim=1)
        self.register_buffer("queue", keys)
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    def forward(self, queries: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Return the contrastive loss of two views of the same images and move on one step.

        Call once per optimiser step: the key encoder follows, the keys enter the queue.

        Args:
            queries: One view, float ``[N, C, H, W]``.
            keys: Another view of the same images, in the same order.

        Returns:
            ``loss`` and ``top1``, the share of queries nearest to their own key.

        Raises:
            ValueError: If the queue's length is no multiple of the batch.
        """
        query = self.query_encoder(queries)
        with torch.no_grad():
            self.follow()
            key = self.key_encoder(keys)
        losses = self.contrast(query, key)
        self.enqueue(key)
        return losses

    def contrast(self, query: Tensor, key: Tensor) -> dict[str, Tensor]:
        """Return InfoNCE (eq. 10) of embeddings ``[N, E]`` against the queue."""
        positive = (query * key).sum(dim=1, keepdim=True)
        negative = query @ self.queue.clone().T
        logits = torch.cat((positive, negative), dim=1) / self.temperature
        first = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
        return {
            "loss": functional.cross_entropy(logits, first),
            "top1": (logits.argmax(dim=1) == 0).float().mean(),
        }

    @torch.no_grad()
    def follow(self) -> None:
        """Move the key encoder's parameters towards the query encoder's (eq. 11)."""
        pairs = zip(self.key_encoder.parameters(), self.query_encoder.parameters(), strict=True)
        for key, query in pairs:
            key.mul_(self.momentum).add_(query, alpha=1 - self.momentum)

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Replace the oldest keys of the queue by these, float ``[N, E]``."""
        keys = _from_all_devices(keys)
        if len(self.queue) % len(keys):
            raise ValueError(
                f"queue length {len(self.queue)} is no multiple of the batch {len(keys)}"
            )
        start = int(self.pointer)
        self.queue[start : start + len(keys)] = keys.to(self.queue.dtype)
        self.pointer.fill_((start + len(keys)) % len(self.queue))

    def backbone_state(self) -> dict[str, Tensor]:
        """Return the backbone's tensors as ``backbone.*``, as networks load them."""
        state = self.query_encoder.backbone.state_dict()
        return {f"backbone.{name}": tensor.detach().clone() for name, tensor in state.items()}


def _from_all_devices(keys: Tensor) -> Tensor:
    if not (distributed.is_available() and distributed.is_initialized()):
        return keys
    parts = [torch.empty_like(keys) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, keys.contiguous())
    return torch.cat(parts)
