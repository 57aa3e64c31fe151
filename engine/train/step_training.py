"""Training on batches that are a function of the step, for data that are not a folder of chips.

Benchmarks and the scripts of the shipped model make their batches themselves; loop, checkpoints,
running average and resume are those of every other training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from ..errors import ModelError
from ..protocol import IsCancelled, Report
from .checkpoint import LAST_NAME, TrainingState, load_average, load_network, read_state
from .fit import Hardware, fit_stage, prepare_network
from .keeper import Keeper
from .module import SemanticModule, TrainPlan
from .recipe import Recipe

Batches = Callable[[int], tuple[Tensor, Tensor]]
CPU_BF16 = Hardware(precision="bf16")


@dataclass(frozen=True)
class Judge:
    """How weights are judged.

    Attributes:
        metric: Name of the value that chooses the best weights; more is better.
        measure: From a network in any mode to values by name.
    """

    metric: str
    measure: Callable[[nn.Module], Mapping[str, float]]


class StepModule(SemanticModule):
    """Training of a semantic network whose validation is a function of the network."""

    judge: Judge | None = None

    def on_validation_epoch_start(self) -> None:
        """Nothing is collected batch by batch."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Judge the weights; there is one batch."""
        if self.judge is not None:
            self.found = dict(self.judge.measure(self.network))

    def on_validation_epoch_end(self) -> None:
        """The values are in ``found``."""

    def metric(self) -> str:
        """Return the judge's value."""
        return self.judge.metric if self.judge is not None else ""


class _Steps(IterableDataset[dict[str, Tensor]]):
    """The batches of the steps of a range."""

    def __init__(self, batches: Batches, steps: range) -> None:
        super().__init__()
        self._batches, self._steps = batches, steps

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for step in self._steps:
            images, target = self._batches(step)
            yield {"image": images, "target": target}


class StepLoader(LightningDataModule):
    """Loader of batches from where the training stands.

    Args:
        batches: Step to normalised images ``[N, C, H, W]`` and targets ``[N, H, W]``.
        state: Where the training stands.
        epoch_steps: Steps between validations.
        judged: Whether there is a validation.
    """

    def __init__(
        self, batches: Batches, state: TrainingState, epoch_steps: int, *, judged: bool
    ) -> None:
        super().__init__()
        self.batches, self.state = batches, state
        self.epoch_steps, self.judged = epoch_steps, judged

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the rest of the current epoch."""
        first = self.state.epoch * self.epoch_steps
        steps = range(first + self.state.batch, first + self.epoch_steps)
        return DataLoader(_Steps(self.batches, steps), batch_size=None)

    def val_dataloader(self) -> list[DataLoader[Any]]:
        """Return one batch without content, or nothing where nobody judges."""
        return [DataLoader([0], batch_size=None)] if self.judged else []  # type: ignore[arg-type]


@dataclass(frozen=True)
class StepTraining:
    """A training on batches that are a function of the step.

    Attributes:
        network: Network with the semantic contract; trained in place.
        batches: Step to normalised images ``[N, C, H, W]`` and targets ``[N, H, W]``.
        recipe: ``steps`` in all, in ``epochs`` equal parts that each end with a validation
            (rounded up to whole parts); ``batch``, crops and augmentation are the caller's.
        folder: Work folder; a checkpoint found there is continued.
        judge: How weights are judged; None for no validation.
        hardware: Device and precision.
        seed: Seed of the random state of each step.
        tuned: Whether the backbone starts from weights and learns at its own rate.
    """

    network: nn.Module
    batches: Batches
    recipe: Recipe
    folder: Path
    judge: Judge | None = None
    hardware: Hardware = CPU_BF16
    seed: int = 0
    tuned: bool = False

    def run(
        self,
        report: Report = lambda event: None,
        cancelled: IsCancelled = lambda: False,
    ) -> dict[str, Tensor]:
        """Train to the last step; return the weights at the end, averaged if the recipe says so.

        Raises:
            JobCancelled: If ``cancelled`` says so; the checkpoint is written before.
            ModelError: If the checkpoint is damaged or of another network.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        resume = (self.folder / LAST_NAME).is_file()
        state = self._state() if resume else TrainingState(network=self.recipe.network)
        module = self._module(state)
        if state.finished:
            return self._finished(module)
        loader = StepLoader(
            self.batches, state, module.plan.epoch_steps, judged=self.judge is not None
        )
        keeper = Keeper(module, self.folder, report, cancelled)
        fit_stage(module, loader, keeper, self.hardware, resume=resume)
        return module.published_tensors()

    def _state(self) -> TrainingState:
        state = read_state(self.folder / LAST_NAME)
        if state.network != self.recipe.network:
            raise ModelError(
                f"the checkpoint in {self.folder} is of network {state.network!r}, "
                f"not {self.recipe.network!r}",
                "train into another, empty folder",
            )
        return state

    def _module(self, state: TrainingState) -> StepModule:
        epoch_steps = math.ceil(self.recipe.steps / self.recipe.epochs)
        plan = TrainPlan(
            seed=self.seed,
            epochs=self.recipe.epochs,
            epoch_steps=epoch_steps,
            epoch_batches=epoch_steps * self.recipe.accumulate,
            class_names=(),
            background=(),
            tuned=self.tuned,
        )
        network = prepare_network(self.network, self.hardware)
        module = StepModule(network, self.recipe, plan, state)
        module.judge = self.judge
        module.train()
        return module

    def _finished(self, module: StepModule) -> dict[str, Tensor]:
        """Return the weights of a training that was done before."""
        path = self.folder / LAST_NAME
        load_network(path, module.state, module.network)
        if module.average is not None:
            module.average.load(load_average(path, module.state))
        return module.published_tensors()
