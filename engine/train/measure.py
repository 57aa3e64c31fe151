"""Figures of a trained network on a part of the chips, chip by chip, with the tiles to show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..data.chip_folder import Chip
from ..data.dataset import IGNORE_ID, ChipDataset
from ..data.rle import encode_mask
from ..evaluate.coco_eval import instance_report
from ..evaluate.confusion import ConfusionMatrix

Tell = Callable[[int, int], None]
MASK_LEVEL = 0.5


@dataclass
class ChipScore:
    """How well a chip was predicted.

    Attributes:
        chip: The chip.
        index: Its number in the data set.
        score: Mean IoU of the classes that are there; for instances of the objects.
        predicted: Predicted class (or object number) of each pixel, ``[H, W]``.
        truth: The same of the truth, 255 where unknown.
    """

    chip: Chip
    index: int
    score: float
    predicted: NDArray[np.uint8]
    truth: NDArray[np.uint8]


@dataclass
class Measured:
    """Figures of a part of the chips.

    Attributes:
        metrics: As ``metrics.json`` has them, see ``docs/training.md``.
        chips: One score per chip with known ground.
        headline: The figure that counts, by name and value.
    """

    metrics: dict[str, Any]
    chips: list[ChipScore] = field(default_factory=list)
    headline: tuple[str, float] = ("", 0.0)

    def headline_dict(self) -> dict[str, float]:
        """Return the figure that counts as a mapping."""
        return dict([self.headline])


def predict_whole(
    network: nn.Module, data: ChipDataset, *, bf16: bool, device: str
) -> Iterator[Any]:
    """Yield the network's output for each chip in order: logits, or one record of instances."""
    network.eval()
    kind = "cuda" if device.startswith("cuda") else "cpu"
    for index in range(len(data)):
        image = data.whole(index)["image"].to(device)
        with torch.no_grad(), torch.autocast(kind, torch.bfloat16, enabled=bf16):
            if data.instances:
                yield network([image])[0]
            else:
                batch = image.unsqueeze(0).contiguous(memory_format=torch.channels_last)
                yield network(batch)[0].float()


def measure_semantic(
    network: nn.Module,
    data: ChipDataset,
    names: list[str],
    background: list[bool],
    *,
    bf16: bool = False,
    device: str = "cpu",
    tell: Tell = lambda done, total: None,
) -> Measured:
    """Return the figures of a semantic network on whole chips.

    Args:
        network: The network.
        data: Chips with class masks.
        names: Names of the classes.
        background: Which of them are background.
        bf16: Whether to compute in bfloat16.
        device: Where the network is.
        tell: Called with chips done and chips in all.
    """
    total = ConfusionMatrix(len(names))
    scores = []
    for index, logits in enumerate(predict_whole(network, data, bf16=bf16, device=device)):
        truth = data.whole(index)["target"].numpy().astype(np.uint8)
        predicted = logits.argmax(dim=0).cpu().numpy().astype(np.uint8)
        total.add(truth, predicted)
        if (truth != IGNORE_ID).any():
            own = ConfusionMatrix(len(names))
            own.add(truth, predicted)
            score = float(own.metrics(names)["miou"] or 0.0)
            scores.append(ChipScore(data.chips[index], index, score, predicted, truth))
        tell(index + 1, len(data))
    metrics = total.metrics(names)
    front = [
        entry["iou"]
        for entry, hidden in zip(metrics["classes"], background, strict=True)
        if not hidden and entry["iou"] is not None
    ]
    metrics["iou_mean"] = sum(front) / len(front) if front else 0.0
    return Measured(metrics, scores, ("iou_mean", metrics["iou_mean"]))


def coco_truth(data: ChipDataset, split: str) -> dict[str, Any]:
    """Return the COCO record of a part of the chips."""
    return data.folder.coco(split)


def detections_of(
    output: dict[str, torch.Tensor], image_id: int, category_ids: tuple[int, ...]
) -> list[dict[str, Any]]:
    """Return the instances of one chip as COCO results.

    Args:
        output: ``boxes``, ``labels`` (from 1), ``scores``, ``masks`` of one image.
        image_id: Id of the chip in the COCO record.
        category_ids: Class id of each label.
    """
    found = []
    masks = instance_masks(output)
    for mask, box, label, score in zip(
        masks,
        output["boxes"].tolist(),
        output["labels"].tolist(),
        output["scores"].tolist(),
        strict=True,
    ):
        x0, y0, x1, y1 = box
        found.append(
            {
                "image_id": image_id,
                "category_id": category_ids[int(label) - 1],
                "score": float(score),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "segmentation": encode_mask(mask),
            }
        )
    return found


def instance_masks(output: dict[str, torch.Tensor]) -> NDArray[np.bool_]:
    """Return the masks of instances as bool ``[n, H, W]``."""
    masks = output["masks"]
    if masks.ndim == 4:
        masks = masks[:, 0]
    hard = masks if masks.dtype == torch.bool else masks > MASK_LEVEL
    return hard.cpu().numpy()


def image_ids(truth: dict[str, Any]) -> dict[str, int]:
    """Return the id of each chip's image by file name."""
    return {str(image["file_name"]): int(image["id"]) for image in truth["images"]}


def measure_instances(
    network: nn.Module,
    data: ChipDataset,
    split: str,
    *,
    bf16: bool = False,
    device: str = "cpu",
    tell: Tell = lambda done, total: None,
) -> Measured:
    """Return COCO's figures of an instance network on whole chips; see :func:`measure_semantic`."""
    truth = coco_truth(data, split)
    ids = image_ids(truth)
    found: list[dict[str, Any]] = []
    scores = []
    for index, output in enumerate(predict_whole(network, data, bf16=bf16, device=device)):
        chip = data.chips[index]
        found += detections_of(output, ids[chip.image_file], data.classes.ids)
        scores.append(_instance_score(data, index, output))
        tell(index + 1, len(data))
    report, _ = instance_report(truth, found)
    return Measured(report, scores, ("mask_AP", float(report["mask"]["AP"] or 0.0)))


def _instance_score(
    data: ChipDataset, index: int, output: dict[str, torch.Tensor], least_score: float = 0.5
) -> ChipScore:
    """Return the IoU of all objects of a chip together, and both as maps of object numbers."""
    chip = data.chips[index]
    masks, _, crowd = data.folder.read_instances(chip)
    shape = (chip.height_px, chip.width_px)
    truth = _numbered(masks[~crowd], shape)
    kept = (output["scores"] >= least_score).cpu().numpy()
    predicted = _numbered(instance_masks(output)[kept], shape)
    both = ((truth > 0) & (predicted > 0)).sum()
    either = ((truth > 0) | (predicted > 0)).sum()
    return ChipScore(chip, index, float(both / either) if either else 1.0, predicted, truth)


def _numbered(masks: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.uint8]:
    numbers = np.zeros(shape, np.uint8)
    for number, mask in enumerate(masks):
        numbers[mask] = number % 250 + 1
    return numbers
