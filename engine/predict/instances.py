"""Tiles in, instances out: the network's masks become runs of pixels at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import ModelError
from ..geo.mask_runs import MaskRuns, join_masks, masks_of_crops
from .backend import Backend
from .batches import ShrinkingBatches

MASK_THRESHOLD = 0.5
"""A pixel belongs to an instance where its mask is above this value."""
CHUNK_BYTES = 1 << 26
"""Most bytes of full-size binary masks that are held beside the network's output."""
PARTS = ("labels", "scores", "masks")


@dataclass(frozen=True)
class InstanceTile:
    """A tile on its way to the network.

    Attributes:
        pixels: Normalised pixels at the network's input size, float32 ``[C, H, W]``.
        valid: Pixels of the tile that may belong to an instance, bool ``[h, w]`` with
            ``h <= H`` and ``w <= W``.
    """

    pixels: NDArray[np.float32]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class TileInstances:
    """The instances of one tile.

    Attributes:
        masks: Masks in pixels of the tile, none empty.
        class_id: Class ids of the card, ``int32[n]``.
        score: ``float32[n]`` in [0, 1].
    """

    masks: MaskRuns
    class_id: NDArray[np.int32]
    score: NDArray[np.float32]


class InstancePredictor:
    """Runs an instance network over tiles.

    The network follows torchvision's detection contract: a list of images in, a list of
    dictionaries with ``labels`` (from 1), ``scores`` and ``masks`` out. Boxes are not used: they
    are taken from the masks.

    Args:
        network: Network in evaluation mode.
        backend: Device, precision and batch size.
        class_ids: Class id of label 1, 2, ...
        threshold: Least score of an instance.
    """

    def __init__(
        self, network: nn.Module, backend: Backend, *, class_ids: Sequence[int], threshold: float
    ) -> None:
        self._network = network
        self._backend = backend
        self._class_ids = np.array(class_ids, np.int32)
        self._threshold = threshold
        self._batches = ShrinkingBatches(backend)

    def __call__(self, tiles: Sequence[InstanceTile]) -> list[TileInstances]:
        """Return the instances of each tile that have a valid pixel.

        Pixels that are not valid are cut off. When memory runs out, the batch is halved, for the
        rest of the run as well.

        Raises:
            DeviceError: If not even one tile fits.
            ModelError: If the network does not follow the contract.
        """
        side_px = tiles[0].pixels.shape[-1] if tiles else 0
        return self._batches.run(tiles, self._run, side_px)

    def _run(self, tiles: Sequence[InstanceTile]) -> list[TileInstances]:
        device = self._backend.device
        images = [torch.from_numpy(tile.pixels).to(device, non_blocking=True) for tile in tiles]
        kind = "cuda" if self._backend.is_cuda else "cpu"
        reduced = self._backend.precision == "bf16"
        with torch.inference_mode():
            with torch.autocast(kind, torch.bfloat16, enabled=reduced):
                outputs = self._network(images)
            _check(outputs, len(tiles))
            return [self._compact(o, t) for o, t in zip(outputs, tiles, strict=True)]

    def _compact(self, output: dict[str, Tensor], tile: InstanceTile) -> TileInstances:
        """Turn full-size masks into runs, some of them at a time."""
        scores = output["scores"].float().cpu().numpy()
        labels = output["labels"].long().cpu().numpy()
        chosen = scores >= self._threshold
        self._check_labels(labels[chosen])
        height, width = tile.valid.shape
        masks = output["masks"]
        masks = (masks[:, 0] if masks.dim() == 4 else masks)[:, :height, :width]
        valid = None if tile.valid.all() else torch.from_numpy(tile.valid).to(masks.device)
        step = max(1, CHUNK_BYTES // (height * width))
        parts, numbers = [], [np.zeros(0, np.int64)]
        for start in range(0, len(masks), step):
            wanted = np.flatnonzero(chosen[start : start + step])
            inside = masks[start : start + step] > MASK_THRESHOLD
            found, kept = _runs(inside[torch.from_numpy(wanted).to(inside.device)], valid)
            parts.append(found)
            numbers.append(start + wanted[kept])
        number = np.concatenate(numbers)
        ids = self._class_ids[labels[number] - 1]
        return TileInstances(join_masks(parts), ids, scores[number].astype(np.float32))

    def _check_labels(self, labels: NDArray[np.int64]) -> None:
        if len(labels) and not 1 <= labels.min() <= labels.max() <= len(self._class_ids):
            raise ModelError(
                f"the network gives labels from {labels.min()} to {labels.max()}, the card has "
                f"{len(self._class_ids)} classes",
                "correct the classes of the card",
            )


def _check(outputs: Any, tiles: int) -> None:
    """Raise ModelError if the outputs are not one dictionary with all parts per tile."""
    right = isinstance(outputs, list) and len(outputs) == tiles
    if not right or any(part not in output for output in outputs for part in PARTS):
        raise ModelError(
            f"the network does not return {', '.join(PARTS)} for each image",
            "an instance network follows torchvision's detection contract",
        )


def _runs(inside: Tensor, valid: Tensor | None) -> tuple[MaskRuns, NDArray[np.int64]]:
    """Return the runs of full-size masks, bool ``[n, h, w]``, and which of them have a pixel."""
    if valid is not None:
        inside = inside & valid
    rows, columns = inside.any(dim=2).cpu().numpy(), inside.any(dim=1).cpu().numpy()
    kept = np.flatnonzero(rows.any(axis=1))
    box = np.column_stack([*_ends(rows[kept]), *_ends(columns[kept])])[:, [0, 2, 1, 3]]
    crops = [
        inside[k, row0:row1, col0:col1].reshape(-1)
        for k, (row0, col0, row1, col1) in zip(kept.tolist(), box.tolist(), strict=True)
    ]
    if not crops:
        return join_masks([]), kept
    pixels = torch.cat(crops).to(torch.uint8).cpu().numpy()
    masks, _ = masks_of_crops(pixels, np.ascontiguousarray(box, np.int32))
    return masks, kept


def _ends(used: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first used place and the one after the last of each row, ``bool[n, length]``."""
    return used.argmax(axis=1), used.shape[1] - used[:, ::-1].argmax(axis=1)
