"""Chips as tensors: normalised images with class masks or instances, for training and validation.

Pixels are normalised with the statistics of the training chips (or of the model that is tuned),
exactly as the card of the published model says it. Missing pixels become 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors

from ..errors import LabelError, RasterError
from ..geo.normalize import normalize
from ..zoo.card import BandSpec
from .augment import ClassMask, instance_target
from .chip_folder import Chip, ChipFolder
from .sampling import Draw

IGNORE_ID = 255
CROP_DRAWS = 5
LEAST_KNOWN_RATIO = 0.1
_AUGMENT_STREAM = 2


@dataclass(frozen=True)
class ClassTable:
    """From the class ids of the masks to the numbers of the network.

    Attributes:
        ids: Ids in the masks, in the order of the network's outputs; for instance networks the
            foreground only, which the network counts from 1.
    """

    ids: tuple[int, ...]

    def table(self) -> NDArray[np.int64]:
        """Return the network's class of each mask value, 255 for ids that it does not know."""
        table = np.full(256, IGNORE_ID, np.int64)
        table[list(self.ids)] = np.arange(len(self.ids))
        return table

    def labels(self, class_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the labels from 1 of an instance network for the class ids of objects."""
        return self.table()[class_ids] + 1


def band_specs(folder: ChipFolder) -> tuple[BandSpec, ...]:
    """Return the input bands of a network that learns from these chips.

    Raises:
        RasterError: If a band has no spread, as when all its pixels are equal.
    """
    found = []
    for number, band in enumerate(folder.bands, 1):
        mean, std = band.mean, band.std
        name = (band.name or f"band_{number}").lower()
        if not (std > 0 and np.isfinite(std) and np.isfinite(mean)):
            raise RasterError(
                f"band {number} ({name}) of the training chips has mean {mean:g}, spread {std:g}",
                "leave out the band with 'bands' when the chips are cut",
            )
        found.append(BandSpec(name, 1.0, 0.0, mean, std, (name,)))
    return tuple(found)


def is_empty(chip: Chip, class_ids: Sequence[int], background_ids: Sequence[int]) -> bool:
    """Return whether a chip shows none of the foreground classes."""
    wanted = set(class_ids) - set(background_ids)
    return chip.instances == 0 and not any(chip.class_pixels.get(i, 0) for i in wanted)


class ChipDataset(torch.utils.data.Dataset[dict[str, Any]]):
    """Chips of one part of a folder.

    Items are asked for by a :class:`engine.data.sampling.Draw` (training: the same draw always
    gives the same sample) or by a whole number (validation: the whole chip, unchanged).

    Args:
        folder: The chips.
        chips: Those to use.
        bands: Normalisation, one per band of the chips.
        classes: Class ids in the network's order.
        instances: Whether samples have instance targets instead of class masks.
        augment: Changes of training samples; None leaves chips whole.
        seed: Seed of the training.
    """

    def __init__(
        self,
        folder: ChipFolder,
        chips: Sequence[Chip],
        bands: Sequence[BandSpec],
        classes: ClassTable,
        *,
        instances: bool = False,
        augment: Any = None,
        seed: int = 0,
    ) -> None:
        self.folder = folder
        self.chips = list(chips)
        self.bands = tuple(bands)
        self.classes = classes
        self.instances = instances
        self.augment = augment
        self.seed = seed
        self._table = classes.table()

    def __len__(self) -> int:
        return len(self.chips)

    def __getitem__(self, item: Draw | int) -> dict[str, Any]:
        if not isinstance(item, Draw):
            return self.whole(item)
        chip = self.chips[item.chip]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_sample_seed(self.seed, item))
            return self._instance_sample(chip) if self.instances else self._mask_sample(chip)

    def whole(self, index: int) -> dict[str, Any]:
        """Return a chip unchanged: ``image``, ``index`` and, for class masks, ``target``."""
        chip = self.chips[index]
        sample: dict[str, Any] = {"image": self.image(chip), "index": index}
        if not self.instances:
            sample["target"] = self.mask(chip)
        return sample

    def image(self, chip: Chip) -> Tensor:
        """Return the normalised image of a chip, float32 ``[C, H, W]``.

        Raises:
            RasterError: If it cannot be read or has other bands than the others.
        """
        pixels, valid = self.folder.read_image(chip), self.folder.read_valid(chip)
        if pixels.shape[0] != len(self.bands):
            raise RasterError(
                f"chip {chip.name} has {pixels.shape[0]} bands, not {len(self.bands)}",
                "cut the chips again",
            )
        return torch.from_numpy(normalize(pixels, self.bands, valid))

    def mask(self, chip: Chip) -> Tensor:
        """Return the network's class of each pixel, int64 ``[H, W]``, 255 where unknown."""
        return torch.from_numpy(self._table[self.folder.read_mask(chip)])

    def _mask_sample(self, chip: Chip) -> dict[str, Any]:
        image, mask = tv_tensors.Image(self.image(chip)), ClassMask(self.mask(chip).to(torch.uint8))
        if self.augment is None:
            return {"image": _plain(image), "target": _plain(mask).long()}
        for _ in range(CROP_DRAWS):
            changed = self.augment({"image": image, "mask": mask})
            target = _plain(changed["mask"]).long()
            if float((target != IGNORE_ID).float().mean()) >= LEAST_KNOWN_RATIO:
                break
        return {"image": _plain(changed["image"]).contiguous(), "target": target.contiguous()}

    def _instance_sample(self, chip: Chip) -> dict[str, Any]:
        masks, class_ids, crowd = self.folder.read_instances(chip)
        keep = ~crowd
        labels = torch.from_numpy(self.classes.labels(class_ids[keep]))
        image = tv_tensors.Image(self.image(chip))
        objects = tv_tensors.Mask(torch.from_numpy(np.ascontiguousarray(masks[keep])))
        if self.augment is None:
            return {"image": _plain(image), "target": instance_target(_plain(objects), labels)}
        for _ in range(CROP_DRAWS):
            changed = self.augment({"image": image, "objects": objects})
            target = instance_target(_plain(changed["objects"]), labels)
            if len(target["labels"]):
                break
        return {"image": _plain(changed["image"]).contiguous(), "target": target}


def collate_masks(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a batch: images ``[N, C, H, W]`` and targets ``[N, H, W]``.

    Chips of different sizes are padded to the largest one, with 0 and unknown ground.
    """
    height = max(s["image"].shape[-2] for s in samples)
    width = max(s["image"].shape[-1] for s in samples)
    batch: dict[str, Any] = {
        "image": torch.stack([_padded(s["image"], height, width, 0) for s in samples]),
        "target": torch.stack([_padded(s["target"], height, width, IGNORE_ID) for s in samples]),
    }
    if "index" in samples[0]:
        batch["index"] = [int(s["index"]) for s in samples]
    return batch


def collate_instances(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a batch as lists: images ``[C, H, W]`` and, in training, one target each."""
    return {key: [s[key] for s in samples] for key in samples[0]}


def check_classes(folder: ChipFolder, classes: ClassTable, *, instances: bool) -> list[str]:
    """Return what a training should know about the classes of its chips.

    Raises:
        LabelError: If there is no chip to train on, or no labelled object at all.
    """
    train = folder.chips("train")
    if not train:
        raise LabelError("the chips have no training part", "cut them with a share for train")
    if instances and not any(chip.instances for chip in train):
        raise LabelError(
            "no training chip has an object", "label some objects, or train a semantic network"
        )
    notes = []
    for split in ("train", "val"):
        seen = {i for chip in folder.chips(split) for i, n in chip.class_pixels.items() if n}
        missing = [c.name for c in folder.classes if c.id in classes.ids and c.id not in seen]
        if folder.chips(split) and missing:
            what = "cannot be learnt" if split == "train" else "is not validated"
            notes.append(f"the {split} chips lack {', '.join(missing)}, which {what}")
    if not folder.chips("val"):
        notes.append("there are no val chips: training chips choose the best weights")
    return notes


def _plain(x: Tensor) -> Tensor:
    return x.as_subclass(torch.Tensor)


def _padded(x: Tensor, height: int, width: int, value: int) -> Tensor:
    missing = (0, width - x.shape[-1], 0, height - x.shape[-2])
    return torch.nn.functional.pad(x, missing, value=value) if any(missing) else x


def _sample_seed(seed: int, draw: Draw) -> int:
    numbers = np.random.SeedSequence((seed, _AUGMENT_STREAM, draw.epoch, draw.position))
    return int(numbers.generate_state(1, np.uint64)[0] >> 1)
