"""Batches of normalised tiles in, class scores out; smaller batches when memory runs out."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import DeviceError, ModelError
from ..models.load import load_network
from ..zoo.registry import ModelEntry
from .backend import Backend, set_cpu_threads

logger = logging.getLogger(__name__)

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


class SemanticPredictor:
    """Runs a semantic network over batches of tiles.

    Args:
        network: Network in evaluation mode: float32 ``[N, C, H, W]`` to logits ``[N, K, H, W]``.
        backend: Device, precision and batch size.
        tta: Whether to average the scores over the four flips of each tile.
    """

    def __init__(self, network: nn.Module, backend: Backend, *, tta: bool = False) -> None:
        self._network = network
        self._backend = backend
        self._tta = tta
        self.batch = backend.batch

    def __call__(self, tiles: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Return the scores ``[K, H, W]`` of each tile ``[C, H, W]``.

        When memory runs out, the batch is halved, for the rest of the run as well.

        Raises:
            DeviceError: If not even one tile fits.
        """
        scores: list[NDArray[np.float32]] = []
        while len(scores) < len(tiles):
            part = tiles[len(scores) : len(scores) + self.batch]
            try:
                scores.extend(self._run(part))
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                self._shrink(error, len(part), tiles[0].shape[-1])
        return scores

    def _shrink(self, error: Exception, tried: int, tile_px: int) -> None:
        """Halve the batch after an out-of-memory error, raise any other error again."""
        text = str(error).lower()
        if not isinstance(error, (torch.OutOfMemoryError, MemoryError)) and not (
            "out of memory" in text or "can't allocate memory" in text
        ):
            raise error
        if tried <= 1:
            raise DeviceError(
                f"one tile of {tile_px} px does not fit into the memory of {self._backend.device}",
                "choose a smaller tile, another device or a smaller model",
            ) from None
        self.batch = max(1, tried // 2)
        if self._backend.is_cuda:
            torch.cuda.empty_cache()
        logger.warning("out of memory with %d tiles per batch, going on with %d", tried, self.batch)

    def _run(self, tiles: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        images = torch.from_numpy(np.stack(tiles)).to(self._backend.device, non_blocking=True)
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            scores = self._scores(images)
            if self._tta:
                for dims in ([2], [3], [2, 3]):
                    scores += self._scores(images.flip(dims)).flip(dims)
                scores /= 4
        return list(scores.float().cpu().numpy())

    def _scores(self, images: Tensor) -> Tensor:
        """Return softmax scores, or the two scores of a sigmoid for a single logit."""
        kind = "cuda" if self._backend.is_cuda else "cpu"
        with torch.autocast(kind, torch.bfloat16, enabled=self._backend.precision == "bf16"):
            logits = self._network(images)
        logits = logits.float()
        if logits.shape[1] == 1:
            front = torch.sigmoid(logits)
            return torch.cat([1 - front, front], dim=1)
        return torch.softmax(logits, dim=1)
