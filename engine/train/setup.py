"""From a job's chips and recipe to what a training needs: classes, plan, data sets, network."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..data.augment import AugmentOptions, make_augment
from ..data.chip_folder import ChipFolder
from ..data.dataset import (
    ChipDataset,
    ClassTable,
    band_specs,
    check_classes,
    collate_instances,
    collate_masks,
    is_empty,
)
from ..data.sampling import EpochBatches, epoch_order
from ..errors import LabelError
from ..models.c2fnet import C2FNet
from ..models.registry import INSTANCE, create_model, find_builder
from ..zoo.card import BandSpec, ClassInfo
from .checkpoint import TrainingState
from .data_module import ChipLoaders
from .module import TrainPlan, keep_ratios
from .recipe import Recipe

LEAST_CLASSES = 2


@dataclass(frozen=True)
class Material:
    """What there is to learn from.

    Attributes:
        folder: The chips.
        task: ``semantic`` or ``instance``.
        classes: Classes of the model, as its card lists them.
        table: From mask ids to the network's classes.
        bands: Normalisation.
        empty: Which training chips hold no object.
        notes: What the user should know.
    """

    folder: ChipFolder
    task: str
    classes: tuple[ClassInfo, ...]
    table: ClassTable
    bands: tuple[BandSpec, ...]
    empty: NDArray[np.bool_]
    notes: list[str] = field(default_factory=list)

    @property
    def instances(self) -> bool:
        """Whether the network is an instance network."""
        return self.task == INSTANCE

    def dataset(self, split: str, seed: int = 0, augment: Any = None) -> ChipDataset:
        """Return the chips of a part; of the training part where val has none."""
        chips = self.folder.chips(split)
        if not chips and split == "val":
            chips = self.folder.chips("train")
        return ChipDataset(
            self.folder,
            chips,
            self.bands,
            self.table,
            instances=self.instances,
            augment=augment,
            seed=seed,
        )


def read_material(
    folder: ChipFolder, task: str, bands: Sequence[BandSpec] | None = None
) -> Material:
    """Return what a folder of chips offers to a network of a task.

    Args:
        folder: The chips.
        task: ``semantic`` or ``instance``.
        bands: Normalisation of the model that is tuned; None means the chips' statistics.

    Raises:
        LabelError: If the chips lack objects, classes or a training part.
    """
    chosen = [c for c in folder.classes if not (task == INSTANCE and c.background)]
    if task == INSTANCE and folder.task == "semantic":
        raise LabelError(
            f"the chips in {folder.path} have class masks, but no objects",
            "choose a semantic network, or cut chips from polygons",
        )
    if task != INSTANCE and len(chosen) < LEAST_CLASSES:
        names = ", ".join(c.name for c in chosen) or "none"
        raise LabelError(
            f"a semantic network needs two classes, the chips have: {names}",
            "cut the chips with background, or label a second class",
        )
    if not chosen:
        raise LabelError(f"the chips in {folder.path} have no class", "cut the chips again")
    table = ClassTable(tuple(c.id for c in chosen))
    notes = check_classes(folder, table, instances=task == INSTANCE)
    card_classes = [
        c if task == INSTANCE else replace(c, id=index) for index, c in enumerate(chosen)
    ]
    background = [c.id for c in chosen if c.background]
    empty = [is_empty(chip, table.ids, background) for chip in folder.chips("train")]
    return Material(
        folder,
        task,
        tuple(card_classes),
        table,
        tuple(bands) if bands is not None else band_specs(folder),
        np.array(empty, bool),
        notes,
    )


def make_plan(material: Material, recipe: Recipe, seed: int, world: int, tuned: bool) -> TrainPlan:
    """Return the numbers that follow from recipe and chips."""
    order = epoch_order(
        material.empty,
        seed=seed,
        epoch=0,
        empty_ratio=recipe.empty_ratio,
        repeat=recipe.repeat,
    )
    batches = EpochBatches(order, 0, recipe.batch, world=world).total
    steps = math.ceil(batches / recipe.accumulate)
    pixels = np.zeros(len(material.table.ids), np.int64)
    for chip in material.folder.chips("train"):
        pixels += [chip.class_pixels.get(i, 0) for i in material.table.ids]
    weights = () if material.instances else keep_ratios(pixels, recipe.class_weights)
    return TrainPlan(
        seed=seed,
        epochs=math.ceil(recipe.steps / steps) if recipe.steps else recipe.epochs,
        epoch_steps=steps,
        epoch_batches=batches,
        class_names=tuple(c.name for c in material.classes),
        background=tuple(c.background for c in material.classes),
        tuned=tuned,
        keep_ratios=weights,
    )


def make_network(material: Material, recipe: Recipe, stage_steps: int) -> nn.Module:
    """Return the network with fresh weights.

    A builder that anneals its loss (FarSeg) is told to do so over the first sixth of the steps,
    as in the paper, unless the recipe says otherwise.

    Raises:
        ModelError: If the network could be trained but not be used on rasters.
    """
    options = dict(recipe.options)
    known = inspect.signature(find_builder(recipe.network)).parameters
    sixth = max(1, stage_steps // 6)
    if "annealing_steps" in known:
        options.setdefault("annealing_steps", sixth)
    if "focus" in known and isinstance(options.get("focus", {}), dict):
        options["focus"] = {"annealing_steps": sixth, **options.get("focus", {})}
    network = create_model(
        recipe.network,
        num_classes=len(material.classes),
        in_channels=len(material.bands),
        **options,
    )
    if isinstance(network, C2FNet):
        network.look.check_whole()
    return network


def make_loaders(
    material: Material, recipe: Recipe, state: TrainingState, seed: int, workers: int
) -> ChipLoaders:
    """Return the loaders of training and validation."""
    crop_px = min(recipe.crop_px or material.folder.tile_px, material.folder.tile_px)
    augment = make_augment(AugmentOptions(**asdict(recipe.augment)), crop_px)
    return ChipLoaders(
        material.dataset("train", seed, augment),
        material.dataset("val"),
        material.empty,
        recipe,
        state,
        collate=collate_instances if material.instances else collate_masks,
        seed=seed,
        workers=workers,
    )
