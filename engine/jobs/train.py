"""Jobs that train networks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Tuple

from ..errors import JobError
from .base import MAX_SEED, Job, check_choice, check_ending, check_given, check_range
from .segment import PRECISIONS

PRESETS = ("", "quick", "balanced", "best")
PRETRAIN_METHODS = ("moco_v2",)


def _check_options(options: Tuple[str, ...]) -> None:
    for option in options:
        if "=" not in option.strip("="):
            raise JobError(f"option {option!r} is not NAME=VALUE", "write e.g. optimizer.lr=0.001")


@dataclass(frozen=True)
class TrainJob(Job):
    """Train a network on chips and publish it as a model folder (docs/training.md).

    Zero, -1 or empty always means "as the recipe of the network and the preset say".

    Attributes:
        output: Model folder to make. The work folder is beside it, ``<output>.training``.
        network: Name of a network (``rs-segment models networks``); may be empty if ``init``
            is a model folder, whose network is then taken.
        chips: Folder of chips; or ``dataset`` and ``root``, which are cut into chips first.
        dataset: Name of a data set reader.
        root: Folder of the data set.
        init: Model id or folder to fine-tune from, or a ``.safetensors`` file of backbone
            weights (``rs-segment pretrain``); empty means from scratch.
        preset: ``quick``, ``balanced`` or ``best``; empty means the recipe as published.
        config: JSON file of recipe values that override the recipe.
        options: ``NAME=VALUE`` pairs that override recipe and config, e.g. ``optimizer.lr=1e-3``.
        epochs: Passes over the training chips.
        batch: Chips per step and device.
        lr: Learning rate.
        seed: Seed of initial weights, order and augmentation.
        devices: Processes (GPUs, or CPU processes with gloo).
        nodes: Machines; start one process per machine with torchrun.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``auto``, ``fp32`` or ``bf16``.
        workers: Processes that read chips, -1 means automatic.
        max_minutes: End training after so long and keep the best weights; 0 means no limit.
        model_id: Id of the model; empty means the name of the output folder.
        title: Title of the model for people.
        weights_license: Licence of the weights, as the card states it; empty means not stated.
        data_license: Licence of the data.
        resume: Whether to continue from the last checkpoint of the work folder.
        finish: Whether to publish the best checkpoint of an interrupted training at once,
            without further steps.
        overwrite: Whether an existing model folder or work folder may be replaced.
    """

    output: str
    network: str = ""
    chips: str = ""
    dataset: str = ""
    root: str = ""
    init: str = ""
    preset: str = ""
    config: str = ""
    options: Tuple[str, ...] = ()
    epochs: int = 0
    batch: int = 0
    lr: float = 0.0
    seed: int = 0
    devices: int = 1
    nodes: int = 1
    device: str = "auto"
    precision: str = "auto"
    workers: int = -1
    max_minutes: float = 0.0
    model_id: str = ""
    title: str = ""
    weights_license: str = ""
    data_license: str = ""
    resume: bool = False
    finish: bool = False
    overwrite: bool = False

    def check(self) -> None:
        """Raise JobError if a value is out of its range."""
        check_given(self, "output")
        if not self.network and not self.init:
            raise JobError("neither a network nor a model to start from", "set 'network'")
        if bool(self.chips) == bool(self.dataset):
            raise JobError("a training needs chips or a data set", "set 'chips', or 'dataset'")
        if self.dataset:
            check_given(self, "root")
        check_choice("preset", self.preset, PRESETS)
        check_choice("precision", self.precision, PRECISIONS)
        _check_options(self.options)
        check_range("epochs", self.epochs, 0, 100_000)
        check_range("seed", self.seed, 0, MAX_SEED)
        check_range("batch", self.batch, 0, 4096)
        check_range("lr", self.lr, 0.0, 100.0)
        check_range("devices", self.devices, 1, 1024)
        check_range("nodes", self.nodes, 1, 4096)
        check_range("workers", self.workers, -1, 256)
        check_range("max_minutes", self.max_minutes, 0.0, 1e6)

    def identity(self) -> TrainJob:
        """Return the job without the fields that do not change the weights of a full training."""
        return replace(self, resume=False, finish=False, overwrite=False, workers=-1)


@dataclass(frozen=True)
class PretrainJob(Job):
    """Learn backbone weights from images without labels.

    Attributes:
        images: Folder of images, or a raster.
        network: Name of the network whose backbone learns.
        output: Weights to write, ``*.safetensors``; ``rs-segment train --init`` reads them.
        method: ``moco_v2``.
        config: JSON file of recipe values.
        options: ``NAME=VALUE`` pairs that override them.
        bands: Raster band numbers (from 1); empty means all except alpha.
        tile_px: Side of an image crop in pixels.
        epochs: Passes over the images, 0 means the recipe's.
        batch: Images per step, 0 means the recipe's.
        lr: Learning rate, 0 means the recipe's.
        queue: Keys in the dictionary, 0 means the recipe's.
        seed: Seed.
        device: ``auto``, ``cpu`` or ``cuda``.
        max_minutes: End after so long and keep the weights; 0 means no limit.
        resume: Whether to continue from the last checkpoint.
        overwrite: Whether existing outputs may be replaced.
    """

    images: str
    network: str
    output: str
    method: str = "moco_v2"
    config: str = ""
    options: Tuple[str, ...] = ()
    bands: Tuple[int, ...] = ()
    tile_px: int = 224
    epochs: int = 0
    batch: int = 0
    lr: float = 0.0
    queue: int = 0
    seed: int = 0
    device: str = "auto"
    max_minutes: float = 0.0
    resume: bool = False
    overwrite: bool = False

    def check(self) -> None:
        """Raise JobError if a value is out of its range."""
        check_given(self, "images", "network", "output")
        check_ending("output", self.output, (".safetensors",), "safetensors file")
        check_choice("method", self.method, PRETRAIN_METHODS)
        _check_options(self.options)
        check_range("tile_px", self.tile_px, 16, 4096)
        check_range("epochs", self.epochs, 0, 100_000)
        check_range("seed", self.seed, 0, MAX_SEED)
        check_range("batch", self.batch, 0, 65_536)
        check_range("lr", self.lr, 0.0, 100.0)
        check_range("queue", self.queue, 0, 1 << 24)
        check_range("max_minutes", self.max_minutes, 0.0, 1e6)

    def identity(self) -> PretrainJob:
        """Return the job without the fields that do not change the weights."""
        return replace(self, resume=False, overwrite=False)
