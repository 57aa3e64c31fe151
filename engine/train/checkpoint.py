"""Checkpoints of a training: one safetensors file whose header holds the state as JSON.

Everything that a training needs to go on as if nothing had happened: weights, running average,
optimiser, place in the epoch, what was best, the loss curve. The random state is not stored: it
is a function of seed, step and process (:func:`step_seed`), as are order and augmentation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..errors import DiskError, ModelError
from .tensor_file import write_tensors

LAST_NAME = "last.safetensors"
BEST_NAME = "best.safetensors"
STATE_KEY = "state"
_STEP_STREAM = 3
FREE_SPACE_HINT = "free some space, then run again with resume; what was trained until then is kept"


@dataclass
class CurvePoint:
    """One point of the curves: ``series`` is ``train`` or ``val``."""

    series: str
    step: int
    epoch: float
    values: dict[str, float]


@dataclass
class TrainingState:
    """What a training has come to.

    Attributes:
        network: Name of the network, so that a checkpoint of another one is noticed.
        stage: Number of the stage, from 0.
        epoch: Epoch of the stage, from 0.
        batch: Batches done in the epoch.
        step: Optimiser steps done, over all stages.
        stage_step: Optimiser steps done in this stage.
        seconds: Time spent training, over all runs.
        best: Best value of the validation, None for none yet.
        best_step: Step of that value.
        best_epoch: Epochs done then, over all stages.
        waits: Validations since then.
        loss_sum: Sum of the losses since the last point of the curve.
        loss_count: Number of those losses.
        finished: Whether training has come to its end.
        reason: Why it ended.
        curve: Points of the curves.
    """

    network: str = ""
    stage: int = 0
    epoch: int = 0
    batch: int = 0
    step: int = 0
    stage_step: int = 0
    seconds: float = 0.0
    best: float | None = None
    best_step: int = 0
    best_epoch: float = 0.0
    waits: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    finished: bool = False
    reason: str = ""
    curve: list[CurvePoint] = field(default_factory=list)


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """Return the seed of torch's random state at a step of a process."""
    numbers = np.random.SeedSequence((seed, _STEP_STREAM, step, rank))
    return int(numbers.generate_state(1, np.uint64)[0] >> 1)


def save_checkpoint(
    path: Path,
    state: TrainingState,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: Mapping[str, Tensor] | None,
) -> None:
    """Write the checkpoint; a failed write leaves the earlier one as it was.

    Raises:
        DiskError: If the file cannot be written.
    """
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    if average is not None:
        tensors.update({f"average.{k}": v for k, v in average.items()})
    for index, values in optimizer.state_dict()["state"].items():
        given = {k: v for k, v in values.items() if v is not None}
        tensors.update({f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in given.items()})
    write_weights(path, tensors, {STATE_KEY: json.dumps(asdict(state))})


def write_weights(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors of any device by :func:`write_tensors`; the hint tells how to go on.

    Raises:
        DiskError: If the file cannot be written.
    """
    plain = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
    try:
        write_tensors(path, plain, metadata)
    except DiskError as error:
        raise DiskError(error.message, FREE_SPACE_HINT) from None


def read_state(path: Path) -> TrainingState:
    """Return the state of a checkpoint without its tensors.

    Raises:
        ModelError: If there is none, or it is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            record: dict[str, Any] = json.loads((file.metadata() or {})[STATE_KEY])
        record["curve"] = [CurvePoint(**point) for point in record["curve"]]
        return TrainingState(**record)
    except FileNotFoundError:
        raise ModelError(f"there is no checkpoint {path}", "train without resume") from None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"checkpoint {path} cannot be read: {error}",
            "delete the work folder, or train into another folder",
        ) from None


def load_network(path: Path, state: TrainingState, network: nn.Module) -> None:
    """Restore the weights of a checkpoint.

    Raises:
        ModelError: If it is of another network.
    """
    tensors = _part(path, "network.", state)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise _unfit(path, state, error) from None


def load_average(path: Path, state: TrainingState) -> dict[str, Tensor]:
    """Return the running average of a checkpoint, empty if it has none."""
    return _part(path, "average.", state)


def load_optimizer(path: Path, state: TrainingState, optimizer: torch.optim.Optimizer) -> None:
    """Restore the optimiser of a checkpoint.

    Raises:
        ModelError: If it was another optimiser, or one of another network.
    """
    try:
        _restore_optimizer(optimizer, _part(path, "optimizer.", state))
    except (KeyError, ValueError, RuntimeError) as error:
        raise _unfit(path, state, error) from None


def _unfit(path: Path, state: TrainingState, error: Exception) -> ModelError:
    first = str(error).splitlines()[0]
    return ModelError(
        f"checkpoint {path} of network {state.network!r} does not fit: {first}",
        "resume with the same network and recipe, or train into another folder",
    )


def _part(path: Path, prefix: str, state: TrainingState) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            return {name[len(prefix) :]: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise _unfit(path, state, error) from None


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            if value.shape == parameter.shape and value.stride() != parameter.stride():
                # Fused steps walk through memory: moments must lie as their parameter does.
                values[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
