"""Batches of normalised tiles in, class scores out; smaller batches when memory runs out."""

from __future__ import annotations

import json
from collections import OrderedDict
from hashlib import sha256

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import ModelError
from ..models.load import load_network
from ..zoo.card import ModelCard
from ..zoo.registry import ModelEntry
from .backend import Backend, set_cpu_threads
from .batches import ShrinkingBatches
from .runtimes.contract import Forward, Opening
from .runtimes.table import open_network

WARM_MODELS = 2
_warm: OrderedDict[tuple[str, str], nn.Module] = OrderedDict()


def warm_network(entry: ModelEntry, backend: Backend) -> nn.Module:
    """Return the network of a model on its device; the last two stay loaded.

    A card that names other weights, or a weights file that has changed, is loaded anew.

    Raises:
        ModelError: If the model has no weights, or they are not the card's.
    """
    if entry.card is None or entry.card.weights is None:
        raise ModelError(f"model {entry.id!r} has no weights", "train it first, or import weights")
    path = entry.folder / entry.card.weights.file
    changed = path.stat().st_mtime_ns if path.is_file() else 0
    key = (f"{path} {entry.card.weights.sha256} {changed}", backend.device)
    if key not in _warm:
        set_cpu_threads()
        network = load_network(entry).to(backend.device).eval()
        _warm[key] = network.to(memory_format=torch.channels_last)
    _warm.move_to_end(key)
    while len(_warm) > WARM_MODELS:
        _warm.popitem(last=False)
    return _warm[key]


def model_key(card: ModelCard) -> str:
    """Return a short hash of what decides a network's logits: structure and weights."""
    weights = card.weights.sha256 if card.weights else ""
    values = (weights, card.builder, card.builder_args, len(card.classes), len(card.bands))
    return sha256(json.dumps(values, sort_keys=True).encode("utf-8")).hexdigest()[:16]


class SemanticPredictor:
    """Runs a semantic network over batches of tiles.

    Args:
        network: Network in evaluation mode: float32 ``[N, C, H, W]`` to logits ``[N, K, H, W]``.
        backend: Device, precision, batch size and runtime.
        key: Identifies weights and structure, see :func:`model_key`; runtimes keep what they
            make of a network that has one.
        tta: Whether to average the scores over the four flips of each tile.

    Attributes:
        gives_logits: Whether calls return logits, whose softmax is left to the merging (on the
            CPU, where that saves two passes over memory), or scores.
    """

    def __init__(
        self, network: nn.Module, backend: Backend, *, key: str = "", tta: bool = False
    ) -> None:
        self._network = network
        self._backend = backend
        self._key = f"{key}-{type(network).__name__}" if key else ""
        self._opened: dict[tuple[int, int, int], Forward] = {}
        self._tta = tta
        self._batches = ShrinkingBatches(backend)
        self.gives_logits = not tta and not backend.is_cuda

    def __call__(self, tiles: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return the scores or logits ``[H, W, K]`` of each of the tiles ``[n, H, W, C]``.

        When memory runs out, the batch is halved, for the rest of the run as well.

        Raises:
            DeviceError: If not even one tile fits.
            ModelError: If the runtime cannot run the network.
        """
        return self._batches.run(tiles, self._run, tiles.shape[2])

    @property
    def batch(self) -> int:
        """Tiles per batch now."""
        return self._batches.size

    def _run(self, tiles: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        images = torch.from_numpy(tiles).to(self._backend.device, non_blocking=True)
        images = images.permute(0, 3, 1, 2)
        with torch.inference_mode():
            scores = self._logits(images) if self.gives_logits else self._scores(images)
            if self._tta:
                for dims in ([2], [3], [2, 3]):
                    scores += self._scores(images.flip(dims)).flip(dims)
                scores /= 4
        return list(scores.permute(0, 2, 3, 1).contiguous().cpu().numpy())

    def _logits(self, images: Tensor) -> Tensor:
        """Return float32 logits of at least two classes; one logit gets a background of 0."""
        logits = self._forward(images)(images)
        if logits.shape[1] == 1:
            return torch.cat([torch.zeros_like(logits), logits], dim=1)
        return logits

    def _forward(self, images: Tensor) -> Forward:
        """Return what runs the network on tiles of this size, made at their first batch."""
        shape = (images.shape[2], images.shape[3], images.shape[1])
        if shape not in self._opened:
            opening = Opening(
                self._network, self._backend.device, self._backend.precision, shape, self._key
            )
            self._opened[shape] = open_network(self._backend.runtime, opening)
        return self._opened[shape]

    def _scores(self, images: Tensor) -> Tensor:
        """Return the softmax of the logits."""
        return torch.softmax(self._logits(images), dim=1)
