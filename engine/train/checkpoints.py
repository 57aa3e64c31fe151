"""Checkpoints of a training: tensors in safetensors, numbers in JSON, never a pickle."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..errors import DiskError, ModelError

TENSORS_NAME = "checkpoint.safetensors"
STATE_NAME = "state"
READABLE = 0o644


@dataclass
class TrainState:
    """What a training has come to.

    Attributes:
        step: Steps done.
        seconds: Time spent in steps, over all runs.
        best: Best validation value so far, -1 for none.
        loss_sum: Sum of the losses since the last validation.
        loss_count: Number of those losses.
        history: One record per validation: step, loss, seconds and its scores.
    """

    step: int = 0
    seconds: float = 0.0
    best: float = -1.0
    loss_sum: float = 0.0
    loss_count: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def save_checkpoint(
    folder: Path,
    state: TrainState,
    network: nn.Module,
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write the checkpoint in one file and move it into place.

    Raises:
        DiskError: If the folder cannot be written.
    """
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    tensors.update({f"average.{k}": v for k, v in average.items()})
    for index, values in optimizer.state_dict()["state"].items():
        tensors.update({f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in values.items()})
    write_tensors(folder / TENSORS_NAME, tensors, {STATE_NAME: json.dumps(vars(state))})


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors beside the target and rename, so that a file is whole or not there.

    Raises:
        DiskError: If the file cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Copies: tensors that share memory (tied weights, views) cannot be stored as they are.
        plain = {
            k: v.detach().clone(memory_format=torch.contiguous_format) for k, v in tensors.items()
        }
        save_file(plain, partial, metadata=metadata)
        partial.chmod(READABLE)  # the library's file is for its owner only
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        raise DiskError(f"cannot write {path}: {error}", "check the space and the rights") from None


def load_checkpoint(
    folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[TrainState, dict[str, Tensor]] | None:
    """Restore network and optimiser; return state and weight average, None without checkpoint.

    Raises:
        ModelError: If the checkpoint is damaged or of another network.
    """
    path = folder / TENSORS_NAME
    if not path.is_file():
        return None
    try:
        tensors = load_file(path)
        record = json.loads(_metadata(path)[STATE_NAME])
        network.load_state_dict(_part(tensors, "network."))
        _restore_optimizer(optimizer, _part(tensors, "optimizer."))
        state = TrainState(**record)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"checkpoint {path} does not fit: {error}", "train into another, empty folder"
        ) from None
    return state, _part(tensors, "average.")


def read_state(folder: Path) -> TrainState:
    """Return the state of the checkpoint in a folder, without its tensors.

    Raises:
        ModelError: If there is none, or it is damaged.
    """
    path = folder / TENSORS_NAME
    try:
        return TrainState(**json.loads(_metadata(path)[STATE_NAME]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"checkpoint {path} cannot be read: {error}", "train first") from None


def read_average(folder: Path) -> dict[str, Tensor]:
    """Return the averaged weights of the checkpoint in a folder.

    Raises:
        ModelError: If there is none, or it is damaged.
    """
    path = folder / TENSORS_NAME
    try:
        return _part(load_file(path), "average.")
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelError(f"checkpoint {path} cannot be read: {error}", "train first") from None


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    record = optimizer.state_dict()
    optimizer.load_state_dict({"state": state, "param_groups": record["param_groups"]})
