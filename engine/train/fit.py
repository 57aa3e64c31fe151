"""One call of Lightning's trainer per stage, set up for cold, resumed and distributed runs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from timm.layers.norm_act import convert_sync_batchnorm
from torch import nn

from ..errors import DeviceError, JobCancelled
from .checkpoint import LAST_NAME, load_average, load_network
from .keeper import Keeper
from .module import TrainModule
from .synced_norm import sync_batch_norm

logger = logging.getLogger(__name__)
TENSORBOARD = "tensorboard"
LOST_READER = "DataLoader worker"


@dataclass(frozen=True)
class Hardware:
    """Where a training runs.

    Attributes:
        device: ``cpu`` or ``cuda``.
        precision: ``fp32`` or ``bf16``.
        rank: Number of this process.
        world: Processes in all.
        nodes: Machines.
    """

    device: str = "cpu"
    precision: str = "fp32"
    rank: int = 0
    world: int = 1
    nodes: int = 1


def prepare_network(network: nn.Module, hardware: Hardware) -> nn.Module:
    """Return the network in channels-last layout, with normalisation over all processes."""
    if hardware.world > 1:
        convert = sync_batch_norm if hardware.device == "cpu" else convert_sync_batchnorm
        network = convert(network)
    return network.to(memory_format=torch.channels_last)


def fit_stage(
    module: TrainModule,
    data: LightningDataModule,
    keeper: Keeper,
    hardware: Hardware,
    *,
    resume: bool,
) -> None:
    """Train the current stage to its end.

    Args:
        module: Network, recipe and state.
        data: Loaders.
        keeper: Callback that moves the state on.
        hardware: Device and processes.
        resume: Whether weights, optimiser and average come from the last checkpoint.

    Raises:
        JobCancelled: If the user stopped it; the checkpoint is written before.
        DiskError: If the disk is full; the checkpoint before stays.
        DeviceError: If the device has too little memory.
    """
    with quiet_lightning():
        trainer = make_trainer(keeper, module, hardware)
    keeper.log_scalars = _scalar_log(trainer)
    if resume:
        keeper.restore = keeper.folder / LAST_NAME
        load_network(keeper.restore, module.state, module.network)
        if module.average is not None:
            module.average.load(load_average(keeper.restore, module.state))
    with quiet_lightning(), _memory_errors(module), _lost_readers(keeper):
        if module.state.batch >= module.plan.epoch_batches:
            _finish_epoch(trainer, module, data, keeper)
            if module.state.finished:
                return
        trainer.fit(module, datamodule=data)


def make_trainer(keeper: Keeper, module: TrainModule, hardware: Hardware) -> Trainer:
    """Return Lightning's trainer for the rest of a stage."""
    recipe, plan, state = module.recipe, module.plan, module.state
    distributed = hardware.world > 1
    strategy: Any = "auto"
    if distributed:
        strategy = DDPStrategy(
            cluster_environment=TorchElasticEnvironment(),
            process_group_backend="nccl" if hardware.device == "cuda" else "gloo",
            find_unused_parameters=True,  # encoders cut short, stages that do not train
        )
    return Trainer(
        accelerator="gpu" if hardware.device == "cuda" else "cpu",
        devices=hardware.world // hardware.nodes,
        num_nodes=hardware.nodes,
        strategy=strategy,
        precision="bf16-mixed" if hardware.precision == "bf16" else "32-true",
        max_epochs=plan.epochs - state.epoch,
        accumulate_grad_batches=recipe.accumulate,
        gradient_clip_val=recipe.clip_norm or None,
        check_val_every_n_epoch=1,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        logger=_tensorboard(keeper.folder, state.step) if hardware.rank == 0 else False,
        callbacks=[keeper],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        inference_mode=False,
    )


def _tensorboard(folder: Path, step: int) -> TensorBoardLogger:
    return TensorBoardLogger(str(folder), name=TENSORBOARD, version="", purge_step=step + 1)


def _scalar_log(trainer: Trainer) -> Any:
    def log(values: dict[str, float], step: int) -> None:
        for one in trainer.loggers:
            one.log_metrics(values, step)

    return log


def _finish_epoch(
    trainer: Trainer, module: TrainModule, data: LightningDataModule, keeper: Keeper
) -> None:
    """Validate and end an epoch whose last batch was the last thing done."""
    if keeper.validation_is_due():
        trainer.validate(module, datamodule=data, verbose=False)
    keeper.end_epoch()


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's advice on settings that are chosen on purpose out of the user's sight."""
    lightning = logging.getLogger("lightning.pytorch")
    level = lightning.level
    lightning.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        warnings.filterwarnings("ignore", message=".*find_unused_parameters.*")
        try:
            yield
        finally:
            lightning.setLevel(level)


@contextmanager
def _lost_readers(keeper: Keeper) -> Iterator[None]:
    """Tell the end of a reading process; one that was stopped with its parent is a stop.

    The checkpoint before stays: the error may come in the middle of a step.
    """
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0] if str(error) else ""
        if not reason.startswith(LOST_READER):
            raise
        if keeper.cancelled():
            raise JobCancelled from None
        raise DeviceError(
            f"a process that reads chips ended: {reason}",
            "if memory was short, set fewer workers; then run again with resume",
        ) from None


@contextmanager
def _memory_errors(module: TrainModule) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise DeviceError(
            f"a batch of {module.recipe.batch} chips does not fit into the device's memory",
            "set a smaller batch (and accumulate=2 to keep the rate), or a smaller crop_px",
        ) from None
