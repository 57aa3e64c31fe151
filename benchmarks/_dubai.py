"""The land cover tiles of Dubai for the ablations: reading, split, crops, scores.

Six tiles of nine image parts each, RGB, five classes. Masks name classes by colour; unlabelled
and missing pixels are ignored. Images are decoded at ``1 / reduce`` of their size.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL.Image import Image
from torch import Tensor, nn

from engine.train.validate import class_scores, confusion_matrix, normalize_batch, predict_scores
from engine.zoo.card import BandSpec

CLASSES = ("land", "water", "building", "vegetation", "road")
COLORS = ("#8429F6", "#E2A929", "#3C1098", "#FEDD3A", "#6EC1E4")
SMALL_CLASSES = (2, 4)
IGNORE_ID = 255
SPLIT_SEED = 2026
HELD_OUT_PER_TILE = 2


@dataclass(frozen=True)
class Part:
    """One image part: its name, pixels uint8 ``[3, H, W]`` and class ids uint8 ``[H, W]``."""

    name: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]


@dataclass(frozen=True)
class Data:
    """Training and validation parts, and the normalisation by the training pixels."""

    training: list[Part]
    validation: list[Part]
    bands: tuple[BandSpec, ...]


def read_data(folder: Path, reduce: int) -> Data:
    """Read all tiles; of each tile, two parts drawn with ``SPLIT_SEED`` are for validation.

    Raises:
        FileNotFoundError: If the folder has no tiles.
    """
    tiles = sorted(path for path in folder.glob("Tile_*") if path.is_dir())
    if not tiles:
        raise FileNotFoundError(f"{folder} has no folders Tile_*")
    rng = np.random.default_rng(SPLIT_SEED)
    training, validation = [], []
    for tile in tiles:
        images = sorted((tile / "images").glob("*.jpg"))
        chosen = set(rng.permutation(len(images))[:HELD_OUT_PER_TILE].tolist())
        for index, path in enumerate(images):
            part = _read_part(path, tile / "masks" / f"{path.stem}.png", reduce)
            (validation if index in chosen else training).append(part)
    return Data(training, validation, _bands(training))


def _read_part(image: Path, mask: Path, reduce: int) -> Part:
    with PILImage.open(image) as file:
        # The JPEG decoder averages blocks of pixels by itself.
        file.draft("RGB", (file.width // reduce, file.height // reduce))
        pixels = np.array(file.convert("RGB")).transpose(2, 0, 1)
    with PILImage.open(mask) as file:
        colors = np.array(file)[reduce // 2 :: reduce, reduce // 2 :: reduce, :3]
    codes = colors.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    labels = np.full(codes.shape, IGNORE_ID, np.uint8)
    for class_id, color in enumerate(COLORS):
        labels[codes == int(color[1:], 16)] = class_id
    height, width = min(labels.shape[0], pixels.shape[1]), min(labels.shape[1], pixels.shape[2])
    name = f"{image.parents[1].name}/{image.stem}"
    return Part(name, np.ascontiguousarray(pixels[:, :height, :width]), labels[:height, :width])


def _bands(parts: list[Part]) -> tuple[BandSpec, ...]:
    names = ("red", "green", "blue")
    values = np.concatenate([p.pixels[:, ::8, ::8].reshape(3, -1) for p in parts], axis=1)
    return tuple(
        BandSpec(name, 1.0, 0.0, float(v.mean()), float(v.std()), (name,))
        for name, v in zip(names, values.astype(np.float64), strict=True)
    )


@dataclass(frozen=True)
class Batches:
    """Random crops, turned by right angles, mirrored, brighter or darker; batch = f(step)."""

    data: Data
    crop_px: int
    batch: int
    seed: int

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Return normalised images ``[N, 3, S, S]`` and class ids ``[N, S, S]``."""
        rng = np.random.default_rng((self.seed, step))
        crops = [self._crop(rng) for _ in range(self.batch)]
        images = normalize_batch(torch.stack([c[0] for c in crops]), self.data.bands)
        return images, torch.stack([c[1] for c in crops])

    def _crop(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        part = self.data.training[rng.integers(len(self.data.training))]
        height, width = part.labels.shape
        row = int(rng.integers(max(1, height - self.crop_px + 1)))
        col = int(rng.integers(max(1, width - self.crop_px + 1)))
        place = (slice(row, row + self.crop_px), slice(col, col + self.crop_px))
        pixels = part.pixels[(slice(None), *place)].astype(np.float32)
        labels = part.labels[place].astype(np.int64)
        turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
        pixels, labels = np.rot90(pixels, turns, (1, 2)), np.rot90(labels, turns)
        if mirror:
            pixels, labels = pixels[..., ::-1], labels[..., ::-1]
        gain, shift = 1 + rng.uniform(-0.2, 0.2), rng.uniform(-15, 15)
        changed = np.clip(pixels * gain + shift, 0, 255).astype(np.float32)
        return self._whole(torch.from_numpy(changed), 0), self._whole(
            torch.from_numpy(labels.copy()), IGNORE_ID
        )

    def _whole(self, x: Tensor, value: int) -> Tensor:
        below, right = (self.crop_px - int(side) for side in x.shape[-2:])
        return nn.functional.pad(x, (0, right, 0, below), value=value)


class _OnDevice(nn.Module):
    """A network elsewhere that takes and gives tensors here."""

    def __init__(self, network: nn.Module, device: str) -> None:
        super().__init__()
        self.network, self.device = network, device

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images.to(self.device))
        return logits.float().cpu()


def predict(network: nn.Module, part: Part, data: Data, device: str) -> NDArray[np.uint8]:
    """Return the class of every pixel, from overlapping tiles."""
    scores = predict_scores(
        _OnDevice(network, device), part.pixels, data.bands, tile_px=256, overlap_px=64
    )
    return scores.argmax(axis=0).astype(np.uint8)


def validate(network: nn.Module, data: Data, device: str) -> dict[str, float]:
    """Return mIoU, pixel accuracy and the IoU of each class over all validation pixels."""
    total = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    for part in data.validation:
        total += confusion_matrix(part.labels, predict(network, part, data, device), len(CLASSES))
    return summary(total)


def summary(confusion: NDArray[np.int64]) -> dict[str, float]:
    """Return mIoU, pixel accuracy and the IoU of each class from counts."""
    scores = class_scores(confusion, CLASSES)
    ious = {f"iou_{name}": scores[f"iou_{name}"] for name in CLASSES}
    accuracy = float(np.trace(confusion)) / max(1, int(confusion.sum()))
    return {"miou": float(np.mean(list(ious.values()))), "accuracy": accuracy, **ious}


def majority(data: Data) -> dict[str, float]:
    """Return the scores of the answer that is the commonest training class everywhere."""
    counts = sum(
        np.bincount(p.labels.ravel(), minlength=256)[: len(CLASSES)] for p in data.training
    )
    answer = int(np.argmax(counts))
    confusion = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    for part in data.validation:
        confusion[:, answer] += np.bincount(part.labels.ravel(), minlength=256)[: len(CLASSES)]
    return summary(confusion)


def picture(part: Part, labels: list[NDArray[np.uint8]], height_px: int, width_px: int) -> Image:
    """Return the middle of an image part beside class maps of it, in the colours of the data."""
    palette = np.full((256, 3), 255, np.uint8)
    palette[: len(COLORS)] = [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in COLORS]
    rows = slice(max(0, (part.labels.shape[0] - height_px) // 2), None)
    cols = slice(max(0, (part.labels.shape[1] - width_px) // 2), None)
    panels = [part.pixels.transpose(1, 2, 0), *(palette[found] for found in labels)]
    cut = [panel[rows, cols][:height_px, :width_px] for panel in panels]
    gap = np.full((cut[0].shape[0], 6, 3), 255, np.uint8)
    joined = [piece for panel in cut for piece in (panel, gap)][:-1]
    return PILImage.fromarray(np.concatenate(joined, axis=1))
