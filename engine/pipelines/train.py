"""Training: chips and a recipe in, a published model folder out."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..data.chip_folder import CHIPS_FILE, ChipFolder
from ..errors import JobCancelled, JobError, ModelError
from ..geo.disk import disk_errors, only_writer
from ..jobs import ChipsJob, TrainJob
from ..models.load import load_weights, read_weights
from ..models.registry import INSTANCE, SEMANTIC, find_builder, list_models
from ..predict.backend import choose_backend
from ..protocol import IsCancelled, Log, Report, Result
from ..train.checkpoint import BEST_NAME, LAST_NAME, TrainingState, read_state
from ..train.fit import fit_stage, prepare_network
from ..train.instance_module import InstanceModule
from ..train.keeper import TIME_UP, Keeper
from ..train.module import SemanticModule, TrainModule
from ..train.recipe import Recipe, parse_options, preset_layers, read_config, resolve_recipe
from ..train.setup import Material, make_loaders, make_network, make_plan, read_material
from ..train.start import Start, check_same_network, start_from_backbone, start_from_model
from ..zoo.registry import ModelEntry, find_model
from .chips import run_chips
from .train_folder import (
    CHIPS_NAME,
    JOB_NAME,
    RECIPE_NAME,
    open_work_folder,
    work_folder,
    write_record,
)
from .train_publish import check_output, publish_training
from .train_ranks import Ranks, leave_processes, train_in_ranks
from .training import Training

logger = logging.getLogger(__name__)
__all__ = ["run_train"]


def run_train(job: TrainJob, report: Report, cancelled: IsCancelled) -> Result:
    """Train a network and publish it.

    Raises:
        EngineError: See ``docs/training.md`` for what can go wrong.
        JobCancelled: If the user stopped it; ``resume`` goes on, ``finish`` publishes.
    """
    job.check()
    output = Path(job.output).expanduser().absolute()
    check_output(output, job)
    ranks = Ranks.from_environment(job)
    if ranks.needs_start:
        return train_in_ranks(job, ranks, lambda: _train(job, output, ranks, report, cancelled))
    return _train(job, output, ranks, report, cancelled)


def _train(
    job: TrainJob, output: Path, ranks: Ranks, report: Report, cancelled: IsCancelled
) -> Result:
    """Train as one process; the first one holds the output against a second run."""
    with nullcontext() if ranks.rank else only_writer(output):
        return _train_alone(job, output, ranks, report, cancelled)


def _train_alone(
    job: TrainJob, output: Path, ranks: Ranks, report: Report, cancelled: IsCancelled
) -> Result:
    training = prepare(job, output, ranks, report, cancelled)
    if not (job.finish and training.resumes):
        _run_stages(training, report, cancelled)
    leave_processes()
    if training.hardware.rank:
        return Result({})
    if training.start is None:  # nothing was trained in this run, but the card tells the start
        training.start = initial_weights(training, training.fresh_network())
    return publish_training(training, report, cancelled)


def prepare(
    job: TrainJob, output: Path, ranks: Ranks, report: Report, cancelled: IsCancelled
) -> Training:
    """Settle everything before the first step and write job and recipe into the work folder.

    Raises:
        EngineError: If chips, network, recipe or earlier training do not fit.
    """
    entry = _initial_model(job)
    network = job.network or (entry.card.builder if entry and entry.card else "")
    task = _task_of(network)
    recipe = _recipe(job, network, task, entry)
    folder = work_folder(output)
    if not ranks.rank:
        open_work_folder(folder, job, resume=job.resume)
    resumes = ranks.resumes(job, folder / LAST_NAME)
    chips = ChipFolder.open(_chips(job, folder, ranks, report, cancelled))
    material = read_material(chips, task, _tuned_bands(entry, chips))
    _check_processes(material, ranks)
    if not ranks.rank:
        for note in material.notes:
            report(Log(note, "warning"))
        write_record(folder / JOB_NAME, _job_text(job))
        write_record(folder / RECIPE_NAME, recipe.to_json())
    state = read_state(folder / LAST_NAME) if resumes else TrainingState(network=network)
    if state.network != network:
        raise ModelError(
            f"the checkpoint in {folder} is of network {state.network!r}, not {network!r}",
            "resume with the same network, or train into another folder",
        )
    if job.finish and not resumes:
        raise JobError(f"there is no training in {folder} to finish", "train first")
    hardware = ranks.hardware(*_device(job))
    return Training(job, folder, output, recipe, material, hardware, state, resumes, entry)


def _check_processes(material: Material, ranks: Ranks) -> None:
    """Refuse more processes than there are chips to validate: each of them needs one."""
    chips = len(material.dataset("val"))
    if ranks.world > chips:
        raise JobError(
            f"{ranks.world} processes share {chips} chips that choose the best weights",
            f"ask for at most {chips} devices, or cut the chips with a larger share for val",
        )


def _run_stages(training: Training, report: Report, cancelled: IsCancelled) -> None:
    """Train the stages that are left; when the time is up, later ones are not begun."""
    for stage in range(training.state.stage, max(1, len(training.recipe.stages))):
        _run_stage(training, stage, report, cancelled)
        if training.state.reason == TIME_UP:
            return


def _run_stage(training: Training, stage: int, report: Report, cancelled: IsCancelled) -> None:
    """Train one stage; a stage after the first starts from the best weights of the one before."""
    state, recipe, job = training.state, training.recipe, training.job
    resumes = training.resumes and stage == state.stage
    if stage > state.stage:
        _next_stage(state)
    if resumes and state.finished:
        return
    plan = make_plan(training.material, recipe, job.seed, training.hardware.world, tuned=False)
    torch.manual_seed(job.seed)
    network = make_network(training.material, recipe, plan.stage_steps)
    start = training.start = initial_weights(training, network)
    plan = replace(plan, tuned=start.tuned)
    if stage and not resumes:
        load_weights(network, read_weights(training.folder / BEST_NAME), "best of the stage before")
        state.best, state.waits = None, 0
    if recipe.stages:
        network.set_stage(recipe.stages[stage])  # type: ignore[operator]
    if not training.hardware.rank and not resumes:
        for note in start.notes:
            report(Log(note, "warning"))
    network = prepare_network(network, training.hardware)
    module = _module(training, network, plan)
    data = make_loaders(training.material, recipe, state, job.seed, job.workers)
    data.rank, data.world = training.hardware.rank, training.hardware.world
    keeper = Keeper(module, training.folder, report, cancelled, job.max_minutes)
    with disk_errors(training.folder):
        fit_stage(module, data, keeper, training.hardware, resume=resumes)


def _next_stage(state: TrainingState) -> None:
    state.stage, state.epoch, state.batch, state.stage_step = state.stage + 1, 0, 0, 0
    state.finished, state.reason = False, ""


def _module(training: Training, network: nn.Module, plan: Any) -> TrainModule:
    rank, recipe, state = training.hardware.rank, training.recipe, training.state
    if training.material.task == SEMANTIC:
        return SemanticModule(network, recipe, plan, state, rank)
    val_split = "val" if training.material.folder.chips("val") else "train"
    val = training.material.dataset("val")
    return InstanceModule(network, recipe, plan, state, val, val_split, rank)


def initial_weights(training: Training, network: nn.Module) -> Start:
    """Give a fresh network its initial weights, as the job says."""
    init = training.job.init
    if training.entry is not None:
        names = [c.name for c in training.material.classes]
        return start_from_model(network, training.entry, names, training.material.bands)
    return start_from_backbone(network, Path(init).expanduser()) if init else Start()


def _initial_model(job: TrainJob) -> ModelEntry | None:
    """Return the model that a job starts from, None for backbone weights or none.

    Raises:
        ModelError: If there is no such model, or it is of another network than the job's.
    """
    if not job.init or job.init.endswith(".safetensors"):
        return None
    entry = find_model(str(Path(job.init).expanduser()) if Path(job.init).exists() else job.init)
    if entry.card is not None:
        check_same_network(entry.card, job.network, {})
    return entry


def _task_of(network: str) -> str:
    if network not in list_models():
        find_builder(network)
    return SEMANTIC if network in list_models(SEMANTIC) else INSTANCE


def _recipe(job: TrainJob, network: str, task: str, entry: ModelEntry | None) -> Recipe:
    layers: list[tuple[str, dict[str, Any]]] = []
    if entry is not None and entry.card is not None:
        layers.append((f"card of {entry.id}", {"options": dict(entry.card.builder_args)}))
    layers += preset_layers(job.preset, network, task)
    if job.config:
        path = Path(job.config).expanduser()
        layers.append((f"config {path}", read_config(path)))
    layers.append(("option", parse_options(job.options)))
    own: dict[str, Any] = {}
    if job.epochs:
        own.update({"epochs": job.epochs, "steps": 0})
    if job.batch:
        own["batch"] = job.batch
    if job.lr:
        own["optimizer"] = {"lr": job.lr}
    layers.append(("job", own))
    return resolve_recipe(network, task, layers)


def _chips(
    job: TrainJob, folder: Path, ranks: Ranks, report: Report, cancelled: IsCancelled
) -> Path:
    """Return the folder of chips; process 0 cuts a data set into the work folder first.

    Raises:
        JobCancelled: If the user stopped it meanwhile.
    """
    if job.chips:
        return Path(job.chips).expanduser()
    chips = folder / CHIPS_NAME
    while ranks.rank and not (chips / CHIPS_FILE).is_file():
        if cancelled():
            raise JobCancelled
        time.sleep(1.0)
    if not (chips / CHIPS_FILE).is_file():
        cut = ChipsJob(output=str(chips), dataset=job.dataset, root=job.root, resume=job.resume)
        run_chips(cut, report, cancelled)
    return chips


def _tuned_bands(entry: ModelEntry | None, chips: ChipFolder) -> Sequence[Any] | None:
    """Return the normalisation of the model that is tuned, if it has the bands of the chips."""
    if entry is None or entry.card is None or len(entry.card.bands) != len(chips.bands):
        return None
    return entry.card.bands if chips.dtype in entry.card.dtypes else None


def _device(job: TrainJob) -> tuple[str, str]:
    backend = choose_backend(job.device, job.precision, 1)
    return ("cuda" if backend.is_cuda else "cpu"), backend.precision


def _job_text(job: TrainJob) -> str:
    return json.dumps(asdict(job.identity()), indent=2) + "\n"
