"""Parts of the images of a data set: the official ones, else a seeded and balanced draw."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .chip_folder import SPLITS
from .readers import DatasetImage
from .stratify import share_out

OFFICIAL, DRAWN, MIXED = "official", "image", "official, val drawn from train"


class ImageSplit(NamedTuple):
    """Part of each image, and how it came about."""

    splits: list[str]
    by: str


def split_images(images: Sequence[DatasetImage], shares: Sequence[float], seed: int) -> ImageSplit:
    """Return the part of each image.

    Official parts are kept. Where there is an official test but no validation, the validation
    images are drawn from the training images. Without official parts all are drawn. Images of a
    group stay together, and classes are balanced.

    Args:
        images: The images.
        shares: Shares of train, val and test.
        seed: Seed of the draw.
    """
    official = [image.split for image in images]
    if not all(official):
        return ImageSplit(_drawn(images, shares, seed), DRAWN)
    if "val" in official or "test" not in official or not shares[1]:
        return ImageSplit(official, OFFICIAL)
    places = [i for i, split in enumerate(official) if split == "train"]
    drawn = _drawn([images[i] for i in places], (shares[0], shares[1], 0.0), seed)
    for place, split in zip(places, drawn, strict=True):
        official[place] = split
    return ImageSplit(official, MIXED)


def _drawn(images: Sequence[DatasetImage], shares: Sequence[float], seed: int) -> list[str]:
    groups: dict[str, int] = {}
    members = [groups.setdefault(f"{i.group or i.path}", len(groups)) for i in images]
    amounts: list[Mapping[int, float]] = [image.amounts() for image in images]
    ids = sorted({class_id for item in amounts for class_id in item})
    columns = {class_id: column for column, class_id in enumerate(ids)}
    table: defaultdict[int, np.ndarray] = defaultdict(lambda: np.zeros(len(ids)))
    for member, item in zip(members, amounts, strict=True):
        for class_id, amount in item.items():
            table[member][columns[class_id]] += amount
    rows = np.array([table[group] for group in range(len(groups))]).reshape(len(groups), len(ids))
    parts = share_out(rows, shares, seed=seed)
    return [SPLITS[parts[member]] for member in members]
