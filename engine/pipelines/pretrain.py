"""Pre-training: images without labels in, backbone weights out."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ..data.unlabelled import data_bands, find_images, measure_bands, tiles_of
from ..data.views import ViewPairs
from ..errors import JobError
from ..geo.disk import disk_errors, only_writer
from ..jobs import PretrainJob
from ..models.blocks.moco import MomentumContrast
from ..models.registry import create_model
from ..predict.backend import choose_backend, set_cpu_threads
from ..protocol import IsCancelled, Report, Result
from ..train.backbone import Pyramid, first_backbone, pyramid_widths
from ..train.checkpoint import LAST_NAME, TrainingState, load_network, read_state, write_weights
from ..train.contrast_module import ContrastModule, PairLoader
from ..train.fit import Hardware, fit_stage, prepare_network
from ..train.keeper import Keeper
from ..train.module import TrainPlan
from ..train.recipe import (
    AugmentRecipe,
    OptimizerRecipe,
    Recipe,
    override,
    parse_options,
    read_config,
)
from ..train.schedule import ScheduleRecipe
from .train_folder import JOB_NAME, RECIPE_NAME, open_work_folder, work_folder, write_record

CLASSES = 2
MOMENTUM, TEMPERATURE, QUEUE = 0.999, 0.2, 65_536
MOCO_RECIPE = Recipe(
    epochs=200,
    batch=256,
    optimizer=OptimizerRecipe(
        name="sgd", lr=0.03, momentum=0.9, weight_decay=1e-4, norm_decay=True
    ),
    schedule=ScheduleRecipe(name="cosine"),
    augment=AugmentRecipe(),
)
"""As published (MoCo v2): 200 epochs of 256 images, SGD 0.03, cosine."""


def run_pretrain(job: PretrainJob, report: Report, cancelled: IsCancelled) -> Result:
    """Learn the backbone of a network by momentum contrast and write its weights.

    Raises:
        EngineError: If images, network or recipe do not fit.
        JobCancelled: If the user stopped it; ``resume`` goes on.
    """
    job.check()
    output = Path(job.output).expanduser().absolute()
    if output.exists() and not job.overwrite:
        raise JobError(f"{output} exists", "choose another output, or set overwrite")
    recipe = _recipe(job)
    bands, data = _images(job)
    with only_writer(output):
        return _pretrain(job, output, recipe, (bands, data), report, cancelled)


def _pretrain(
    job: PretrainJob,
    output: Path,
    recipe: Recipe,
    images: tuple[Sequence[int], ViewPairs],
    report: Report,
    cancelled: IsCancelled,
) -> Result:
    """Learn, or go on learning, in the work folder; then write the weights."""
    bands, data = images
    folder = work_folder(output)
    resumes = open_work_folder(folder, job, resume=job.resume)
    write_record(folder / JOB_NAME, json.dumps(asdict(job.identity()), indent=2) + "\n")
    write_record(folder / RECIPE_NAME, recipe.to_json())
    state = read_state(folder / LAST_NAME) if resumes else TrainingState(network=job.network)
    set_cpu_threads()
    torch.manual_seed(job.seed)
    moco = _contrast(job, recipe, len(bands), len(data))
    if not state.finished:
        _fit(job, recipe, (moco, data, state), folder, report, cancelled, resumes)
    else:
        load_network(folder / LAST_NAME, state, moco)
    weights = backbone_weights(moco)
    with disk_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"network": job.network, "method": job.method, "bands": str(len(bands))}
    write_weights(output, weights, metadata)
    losses = [p.values["loss"] for p in state.curve if p.series == "train"]
    details = {"network": job.network, "loss": losses[-1] if losses else None}
    return Result({"weights": str(output)}, {"steps": state.step}, state.seconds, details)


def _recipe(job: PretrainJob) -> Recipe:
    layers: list[tuple[str, dict[str, Any]]] = []
    if job.config:
        path = Path(job.config).expanduser()
        layers.append((f"config {path}", read_config(path)))
    layers.append(("option", parse_options(job.options)))
    own: dict[str, Any] = {"epochs": job.epochs, "steps": 0} if job.epochs else {}
    if job.batch:
        own["batch"] = job.batch
    if job.lr:
        own["optimizer"] = {"lr": job.lr}
    layers.append(("job", own))
    return replace(override(MOCO_RECIPE, layers), network=job.network)


def _images(job: PretrainJob) -> tuple[Sequence[int], ViewPairs]:
    sources = find_images(Path(job.images).expanduser())
    bands = data_bands(sources[0], job.bands)
    tiles = tiles_of(sources, job.tile_px, bands)
    specs = measure_bands(tiles, bands, job.tile_px, job.seed)
    return bands, ViewPairs(tiles, bands, specs, job.tile_px, job.seed)


def _contrast(job: PretrainJob, recipe: Recipe, bands: int, images: int) -> MomentumContrast:
    """Return the contrast of a network's backbone; a small set gets a shorter queue."""
    network = create_model(job.network, num_classes=CLASSES, in_channels=bands, **recipe.options)
    pyramid = Pyramid(first_backbone(network, job.network))
    wanted = job.queue or min(QUEUE, max(recipe.batch, images))
    length = max(1, wanted // recipe.batch) * recipe.batch
    return MomentumContrast(
        pyramid,
        pyramid_widths(pyramid, bands),
        queue_length=length,
        momentum=MOMENTUM,
        temperature=TEMPERATURE,
    )


def _fit(
    job: PretrainJob,
    recipe: Recipe,
    parts: tuple[MomentumContrast, ViewPairs, TrainingState],
    folder: Path,
    report: Report,
    cancelled: IsCancelled,
    resumes: bool,
) -> None:
    moco, data, state = parts
    loader = PairLoader(data, recipe, state, job.seed)
    batches = loader.batches(0).total
    steps = math.ceil(batches / recipe.accumulate)
    plan = TrainPlan(
        seed=job.seed,
        epochs=math.ceil(recipe.steps / steps) if recipe.steps else recipe.epochs,
        epoch_steps=steps,
        epoch_batches=batches,
        class_names=(),
        background=(),
    )
    backend = choose_backend(job.device, "auto", 1)
    hardware = Hardware("cuda" if backend.is_cuda else "cpu", backend.precision)
    module = ContrastModule(prepare_network(moco, hardware), recipe, plan, state)
    keeper = Keeper(module, folder, report, cancelled, job.max_minutes)
    with disk_errors(folder):
        fit_stage(module, loader, keeper, hardware, resume=resumes)


def backbone_weights(moco: MomentumContrast) -> dict[str, torch.Tensor]:
    """Return the learnt backbone as ``backbone.*``, without the wrapper around its maps."""
    prefix = "backbone.body."
    state = moco.backbone_state()
    return {f"backbone.{name[len(prefix) :]}": tensor for name, tensor in state.items()}
