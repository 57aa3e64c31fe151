"""Lightning modules: what a step and a validation are, for semantic and instance networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..data.dataset import IGNORE_ID
from ..evaluate.confusion import ConfusionMatrix
from .checkpoint import TrainingState, step_seed
from .optimizer import WeightAverage, make_optimizer, set_rate
from .recipe import Recipe
from .schedule import rate_ratio, warmup_length


@dataclass(frozen=True)
class TrainPlan:
    """Numbers of a training that follow from recipe and data.

    Attributes:
        seed: Seed of the training.
        epochs: Epochs per stage.
        epoch_steps: Optimiser steps per epoch.
        epoch_batches: Batches per epoch and process.
        class_names: Names of the network's classes.
        background: Which of them are background.
        tuned: Whether the backbone started from weights.
        keep_ratios: Share of the labelled pixels of each class that count in the loss, see
            :func:`keep_ratios`; empty means all.
    """

    seed: int
    epochs: int
    epoch_steps: int
    epoch_batches: int
    class_names: tuple[str, ...]
    background: tuple[bool, ...]
    tuned: bool = False
    keep_ratios: tuple[float, ...] = ()

    @property
    def stage_steps(self) -> int:
        """Optimiser steps per stage."""
        return self.epochs * self.epoch_steps


class TrainModule(LightningModule):
    """What all networks share: optimiser, rate, random state, running average.

    Args:
        network: The network.
        recipe: Its recipe.
        plan: Numbers that follow from the data.
        state: Where the training stands; the keeper moves it on.
        rank: Number of the process.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        plan: TrainPlan,
        state: TrainingState,
        rank: int = 0,
    ) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.plan = plan
        self.state = state
        self.rank = rank
        self.average = WeightAverage(network, recipe.ema_decay) if recipe.ema_decay else None
        self.found: dict[str, float] = {}
        self.last_loss = math.nan
        self._kept: dict[str, Tensor] = {}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimiser."""
        return make_optimizer(self.network, self.recipe.optimizer, tuned=self.plan.tuned)

    def rate(self) -> float:
        """Return the learning rate of the current step."""
        warmup = warmup_length(self.recipe.schedule, self.plan.stage_steps, self.plan.epoch_steps)
        ratio = rate_ratio(
            self.recipe.schedule, self.state.stage_step, self.plan.stage_steps, warmup
        )
        return self.recipe.optimizer.lr * ratio

    def on_train_start(self) -> None:
        """Move the running average to the network's device."""
        if self.average is not None:
            self.average.to(self.device)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set rate and random state, both functions of the step."""
        set_rate(self.trainer.optimizers[0], self.rate())
        place = self.state.epoch * self.plan.epoch_batches + self.state.batch
        torch.manual_seed(step_seed(self.plan.seed, (self.state.stage << 40) + place, self.rank))
        if self.state.stage_step >= self.recipe.freeze_norm_from * self.plan.stage_steps:
            freeze_norm(self.network)

    def on_validation_start(self) -> None:
        """Validate the running average."""
        self.found = {}
        if self.average is not None:
            self._kept = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
            self.network.load_state_dict(self.average.tensors)

    def on_validation_end(self) -> None:
        """Go on with the weights that learn."""
        if self._kept:
            self.network.load_state_dict(self._kept)
            self._kept = {}

    def published_tensors(self) -> dict[str, Tensor]:
        """Return the weights that a model made now would have."""
        return self.average.tensors if self.average is not None else self.network.state_dict()

    def metric(self) -> str:
        """Return the name of the validation value that chooses the best weights."""
        raise NotImplementedError


class SemanticModule(TrainModule):
    """Training of a network with the semantic contract."""

    confusion: ConfusionMatrix

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """Return the network's own loss of a batch."""
        images = batch["image"].contiguous(memory_format=torch.channels_last)
        target = thinned(batch["target"], self.plan.keep_ratios)
        outputs = self.network(images)
        loss: Tensor = self.network.loss(outputs, target)["loss"]  # type: ignore[operator]
        return loss

    def on_validation_epoch_start(self) -> None:
        """Start counting."""
        self.confusion = ConfusionMatrix(len(self.plan.class_names))
        self._losses: list[float] = []

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        """Count the pixels of a batch and add up its cross-entropy."""
        images = batch["image"].contiguous(memory_format=torch.channels_last)
        logits = self.network(images).float()
        target = batch["target"]
        self.confusion.add(target.cpu().numpy(), logits.argmax(dim=1).cpu().numpy())
        known = int((target != IGNORE_ID).sum())
        if known:
            total = functional.cross_entropy(
                logits, target, ignore_index=IGNORE_ID, reduction="sum"
            )
            self._losses.append(float(total) / known)

    def on_validation_epoch_end(self) -> None:
        """Gather the counts of all processes; the values are in ``found``."""
        counts = torch.from_numpy(self.confusion.counts)
        self.confusion.counts = all_sum(counts, self.device).numpy()
        self.found = semantic_values(self.confusion, self.plan.class_names, self.plan.background)
        losses = torch.tensor([sum(self._losses), float(len(self._losses))], dtype=torch.float64)
        total, count = all_sum(losses, self.device).tolist()
        if count:
            self.found["loss"] = total / count

    def metric(self) -> str:
        """Return the mean IoU of the foreground classes."""
        return "iou_mean"


def semantic_values(
    confusion: ConfusionMatrix, names: Sequence[str], background: Sequence[bool]
) -> dict[str, float]:
    """Return ``miou``, ``pixel_accuracy``, ``iou_mean`` (foreground) and one IoU per class."""
    metrics = confusion.metrics(list(names))
    found = {key: metrics[key] for key in ("miou", "pixel_accuracy") if metrics[key] is not None}
    values = [entry["iou"] for entry in metrics["classes"]]
    for name, value in zip(names, values, strict=True):
        if value is not None:
            found[f"iou_{name}"] = value
    front = [
        v for v, hidden in zip(values, background, strict=True) if not hidden and v is not None
    ]
    found["iou_mean"] = sum(front) / len(front) if front else 0.0
    return found


def freeze_norm(network: nn.Module) -> None:
    """Let batch normalisations use their running statistics and keep them as they are."""
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.eval()


def in_processes() -> bool:
    """Return whether this is one of several processes that train together."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def all_sum(values: Tensor, device: torch.device) -> Tensor:
    """Return the sum over all processes; the values themselves with one process."""
    if not in_processes():
        return values
    moved = values.to(device)
    torch.distributed.all_reduce(moved)
    return moved.cpu()


def thinned(target: Tensor, keep: Sequence[float]) -> Tensor:
    """Return a target in which pixels of frequent classes are ignored at random.

    In expectation this weighs the classes in any loss that is a mean over labelled pixels, so
    it works with each network's own loss.

    Args:
        target: Class ids int64 ``[N, H, W]``.
        keep: Share of each class's pixels that stays; empty keeps all.
    """
    if not len(keep):
        return target
    shares = torch.ones(256, device=target.device)
    shares[: len(keep)] = torch.tensor(keep, device=target.device)
    dropped = torch.rand(target.shape, device=target.device) >= shares[target]
    return target.masked_fill(dropped, IGNORE_ID)


def keep_ratios(pixels: NDArray[np.int64], method: str) -> tuple[float, ...]:
    """Return the shares for :func:`thinned` from the pixels per class.

    Args:
        pixels: Labelled training pixels of each class.
        method: ``none``, ``inverse`` (all classes weigh the same) or ``square_root`` of that.
    """
    if method == "none":
        return ()
    present = pixels[pixels > 0]
    shares = np.ones(len(pixels))
    if len(present):
        shares[pixels > 0] = present.min() / present
    return tuple(np.sqrt(shares) if method == "square_root" else shares)
