"""Training loop for semantic networks: warm-up and cosine, weight average, resumable."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import JobCancelled
from ..protocol import IsCancelled, Progress, Report
from .checkpoints import TrainState, load_checkpoint, save_checkpoint, write_tensors

logger = logging.getLogger(__name__)

BEST_NAME = "best.safetensors"
Batches = Callable[[int], tuple[Tensor, Tensor]]
Validate = Callable[[nn.Module], Mapping[str, float]]


@dataclass(frozen=True)
class LoopOptions:
    """Numbers of the loop.

    Attributes:
        steps: Optimiser steps in all.
        learning_rate: Peak rate of the new layers.
        encoder_rate_ratio: Rate of the pretrained encoder relative to ``learning_rate``.
        weight_decay: AdamW's decay; biases and normalisations have none.
        warmup_steps: Steps of linear warm-up.
        average_decay: Decay of the running average of the weights.
        validate_every: Steps between validations of the average.
        checkpoint_every: Steps between checkpoints.
        metric: Key of the validation value that chooses the best average.
        bf16: Whether to compute the network in bfloat16.
    """

    steps: int
    learning_rate: float = 1e-3
    encoder_rate_ratio: float = 0.3
    weight_decay: float = 0.02
    warmup_steps: int = 100
    average_decay: float = 0.998
    validate_every: int = 250
    checkpoint_every: int = 100
    metric: str = "miou"
    bf16: bool = True


def rate_factor(step: int, options: LoopOptions) -> float:
    """Return the share of the peak learning rate at a step: linear up, then half a cosine."""
    if step < options.warmup_steps:
        return (step + 1) / options.warmup_steps
    done = (step - options.warmup_steps) / max(1, options.steps - options.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def make_optimizer(network: nn.Module, options: LoopOptions) -> torch.optim.AdamW:
    """Return AdamW with groups for encoder and rest, with and without weight decay."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        ratio = options.encoder_rate_ratio if ".encoder." in f".{name}" else 1.0
        decay = options.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((ratio, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "weight_decay": decay, "lr_ratio": ratio}
            for (ratio, decay), parameters in groups.items()
        ],
        lr=options.learning_rate,
    )


def update_average(average: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    """Move the average towards the network's state in place; whole numbers are copied."""
    state = network.state_dict()
    floating = [name for name, value in state.items() if value.is_floating_point()]
    torch._foreach_lerp_(
        [average[name] for name in floating], [state[name] for name in floating], 1 - decay
    )
    for name in state.keys() - set(floating):
        average[name].copy_(state[name])


class SemanticTrainer:
    """Trains a network on batches that are a function of the step.

    Args:
        network: Network with the semantic contract; trained in place.
        batches: Step to normalised images ``[N, C, H, W]`` and class ids ``[N, H, W]``.
        options: Numbers of the loop.
        folder: Where checkpoints go; a checkpoint found there is continued.
        validate: Network (with the averaged weights) to scores; None to skip.
    """

    def __init__(
        self,
        network: nn.Module,
        batches: Batches,
        options: LoopOptions,
        *,
        folder: Path,
        validate: Validate | None = None,
    ) -> None:
        self.network = network
        self.batches = batches
        self.options = options
        self.folder = folder
        self.validate = validate
        self.optimizer = make_optimizer(network, options)
        self.average = {k: v.detach().clone() for k, v in network.state_dict().items()}
        self.state = TrainState()
        found = load_checkpoint(folder, network, self.optimizer)
        if found is not None:
            self.state, self.average = found

    def run(self, report: Report, cancelled: IsCancelled) -> TrainState:
        """Train to the last step; return the final state.

        Raises:
            JobCancelled: If ``cancelled`` says so; the last checkpoint is written before.
        """
        while self.state.step < self.options.steps:
            if cancelled():
                self.save()
                raise JobCancelled
            begin = time.perf_counter()
            self.state.loss_sum += self._step()
            self.state.loss_count += 1
            self.state.seconds += time.perf_counter() - begin
            report(Progress("train", self.state.step, self.options.steps, "step"))
            if self._due(self.options.validate_every):
                self._validate()
            if self._due(self.options.checkpoint_every):
                self.save()
        return self.state

    def save(self) -> None:
        """Write the checkpoint."""
        save_checkpoint(self.folder, self.state, self.network, self.average, self.optimizer)

    def _due(self, every: int) -> bool:
        return self.state.step % every == 0 or self.state.step == self.options.steps

    def _step(self) -> float:
        step = self.state.step
        images, target = self.batches(step)
        images = images.contiguous(memory_format=torch.channels_last)
        for group in self.optimizer.param_groups:
            factor = rate_factor(step, self.options)
            group["lr"] = self.options.learning_rate * group["lr_ratio"] * factor
        self.network.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.options.bf16):
            outputs = self.network(images)
        loss: Tensor = self.network.loss(outputs, target)["loss"]  # type: ignore[operator]
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        decay = min(self.options.average_decay, (step + 1) / (step + 10))
        update_average(self.average, self.network, decay)
        self.state.step += 1
        return float(loss.detach())

    def _validate(self) -> None:
        record = {
            "step": float(self.state.step),
            "loss": self.state.loss_sum / max(1, self.state.loss_count),
            "seconds": self.state.seconds,
        }
        self.state.loss_sum, self.state.loss_count = 0.0, 0
        if self.validate is not None:
            with averaged(self.network, self.average):
                record.update(self.validate(self.network))
            value = record[self.options.metric]
            if value > self.state.best:
                self.state.best = value
                write_tensors(self.folder / BEST_NAME, self.average, {})
        self.state.history.append(record)
        logger.info("validation %s", {k: round(v, 4) for k, v in record.items()})


class averaged:
    """Context in which a network has the averaged weights."""

    def __init__(self, network: nn.Module, average: Mapping[str, Tensor]) -> None:
        self.network = network
        self.average = average
        self.kept: dict[str, Tensor] = {}

    def __enter__(self) -> nn.Module:
        self.kept = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.network.load_state_dict(self.average)
        return self.network

    def __exit__(self, *_: object) -> None:
        self.network.load_state_dict(self.kept)
