"""Scenes of known objects, and a network that knows them: it reads their ids from the raster."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from scipy import ndimage
from torch import Tensor, nn

from engine.geo.mask_runs import MaskRuns, masks_of_crops, paint
from engine.merge.instances import Detections, TileLayout, join_detections
from engine.models.registry import register
from engine.zoo.card import (
    CARD_NAME,
    WEIGHTS_NAME,
    BandSpec,
    ClassInfo,
    ModelCard,
    Resolution,
    WeightsInfo,
)
from engine.zoo.registry import file_sha256

ORACLE = "instance_oracle_of_the_tests"
CLASSES = 3
Scene = npt.NDArray[np.uint16]


class InstanceOracle(nn.Module):
    """Returns every object of an image, cut at its edges, with no error.

    The first band holds the number of the object at each pixel, 0 for none. Class and score of
    an object follow from its number, see :func:`label_of` and :func:`score_of`.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = nn.Parameter(torch.tensor([float(classes)]))

    def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        """Return boxes, labels, scores and masks, the best scores first."""
        return [self._instances(image[0].round().long()) for image in images]

    def _instances(self, ids: Tensor) -> dict[str, Tensor]:
        numbers = torch.unique(ids)
        numbers = numbers[numbers > 0]
        scores = score_of(numbers)
        order = scores.argsort(descending=True, stable=True)
        numbers, scores = numbers[order], scores[order]
        masks = ids[None] == numbers[:, None, None]
        rows, columns = masks.any(2).float(), masks.any(1).float()
        boxes = torch.stack(
            [
                columns.argmax(1),
                rows.argmax(1),
                masks.shape[2] - columns.flip(1).argmax(1),
                masks.shape[1] - rows.flip(1).argmax(1),
            ],
            dim=1,
        ).float()
        labels = label_of(numbers, int(self.classes.round()))
        return {"boxes": boxes, "labels": labels, "scores": scores, "masks": masks[:, None].float()}


def label_of(number: Tensor, classes: int = CLASSES) -> Tensor:
    """Return the label of an object, from 1."""
    return 1 + number % classes


def score_of(number: Tensor) -> Tensor:
    """Return the score of an object, between 0.5 and 1."""
    return 0.5 + (number * 37 % 125).float() / 250


@register(ORACLE, task="instance")
def instance_oracle(*, num_classes: int, in_channels: int = 1) -> InstanceOracle:
    """Build the oracle."""
    return InstanceOracle(num_classes)


def write_oracle_model(
    folder: Path, *, tile_px: int = 64, overlap_px: int = 16, threshold: float = 0.5
) -> Path:
    """Write a model folder of the oracle; its class ids are 3, 5 and 7."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / WEIGHTS_NAME
    save_file({"classes": torch.tensor([float(CLASSES)])}, path)
    colors = ("#d73027", "#4575b4", "#1a9850")
    card = ModelCard(
        id=folder.name.lower(),
        title="Oracle",
        task="instance",
        builder=ORACLE,
        builder_args={},
        classes=tuple(ClassInfo(3 + 2 * i, f"kind {i}", color) for i, color in enumerate(colors)),
        bands=(BandSpec("number", 1.0, 0.0, 0.0, 1.0, ("number",)),),
        resolution_m=Resolution(1e-6, 1.0, 1e6),
        tile_px=tile_px,
        overlap_px=overlap_px,
        stride=1,
        score_threshold=threshold,
        weights=WeightsInfo(WEIGHTS_NAME, file_sha256(path), path.stat().st_size),
        licenses={"code": "GPL-2.0-or-later", "weights": "CC0-1.0", "data": "none"},
        description="Knows every object of the scenes of the tests.",
    )
    (folder / CARD_NAME).write_text(card.to_json(), encoding="utf-8")
    return folder


def object_scene(height: int, width: int, objects: int, *, largest_px: int, seed: int = 0) -> Scene:
    """Return a raster of object numbers: discs, boxes, rings, bars and crosses of all sizes.

    Objects lie on free ground only, so many touch; each is in one piece (8-connected). Sides
    go from 5 pixels to ``largest_px``, large ones being rare, and the largest come first.
    """
    rng = np.random.default_rng(seed)
    scene = np.zeros((height, width), np.uint16)
    large = rng.uniform(largest_px / 3, largest_px, max(2, objects // 100))
    small = np.exp(rng.uniform(np.log(5), np.log(max(6, largest_px / 8)), 3 * objects))
    number = 0
    for side in [*np.sort(large)[::-1], *small]:
        if number == objects:
            break
        shape = _shape(int(side), rng)
        row = rng.integers(0, max(1, height - shape.shape[0] // 2))
        column = rng.integers(0, max(1, width - shape.shape[1] // 2))
        place = scene[row : row + shape.shape[0], column : column + shape.shape[1]]
        free = shape[: place.shape[0], : place.shape[1]] & (place == 0)
        parts, count = ndimage.label(free, np.ones((3, 3)))
        if count == 0:
            continue
        largest = np.bincount(parts.ravel())[1:].argmax() + 1
        number += 1
        place[parts == largest] = number
    return scene


def _shape(side: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return one of five shapes in a square of about this side."""
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    radius = np.hypot(rows, columns)
    kind = rng.integers(5)
    if kind == 0:
        return radius <= side / 2
    if kind == 1:
        return np.ones((max(1, side // 2), side), np.bool_)
    if kind == 2:
        return (radius <= side / 2) & (radius > side / 4)
    if kind == 3:
        return np.ones((side, max(2, side // 8)), np.bool_)
    return (np.abs(rows) <= side / 8 + 1) | (np.abs(columns) <= side / 8 + 1)


def drawn_masks(masks: MaskRuns, shape: tuple[int, int]) -> list[npt.NDArray[np.bool_]]:
    """Return masks as boolean arrays of a raster's shape."""
    canvases = []
    for number in range(len(masks)):
        canvas = np.zeros(shape, np.uint8)
        one = masks.take(np.array([number]))
        paint(one, one.box[:, :2].astype(np.int64), canvas)
        canvases.append(canvas.astype(bool))
    return canvases


def tile_detections(scene: Scene, layout: TileLayout, row: int) -> Detections:
    """Return what the oracle sees in one row of tiles, with class ids 3, 5 and 7."""
    height, width = layout.tile_px
    parts = []
    for column, left in enumerate(layout.column_starts):
        top = layout.row_starts[row]
        tile = scene[top : top + height, left : left + width]
        numbers = np.unique(tile[tile > 0]).astype(np.int64)
        crops = (tile[None] == numbers[:, None, None]).astype(np.uint8).ravel()
        box = np.tile(np.array([0, 0, *tile.shape], np.int32), (len(numbers), 1))
        masks, _ = masks_of_crops(crops, box)
        score = score_of(torch.from_numpy(numbers)).numpy().astype(np.float32)
        kind = (3 + 2 * (numbers % CLASSES)).astype(np.int32)
        place = np.tile(np.array([row, column], np.int32), (len(numbers), 1))
        parts.append(Detections(masks.shifted(top, left), kind, score, place))
    return join_detections(parts)
