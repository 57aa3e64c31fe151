"""From the best weights of a training to a model folder that inference reads."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ..errors import JobCancelled, JobError
from ..geo.disk import disk_errors
from ..jobs import TrainJob
from ..models.load import read_weights
from ..protocol import IsCancelled, Progress, Report, Result
from ..train.card import make_card, model_id_of, start_record
from ..train.checkpoint import BEST_NAME, LAST_NAME, load_average, load_network
from ..train.keeper import write_curves
from ..train.measure import Measured, measure_instances, measure_semantic
from ..train.publish import publish_model, stored_tensors
from ..train.report import report_html
from ..train.start import Start
from ..zoo.card import CARD_NAME, card_problems
from .train_folder import write_record
from .training import Training

logger = logging.getLogger(__name__)

METRICS_NAME, REPORT_NAME, CURVES_NAME = "metrics.json", "report.html", "curves.csv"
MEASURED = ("val", "test")


def check_output(output: Path, job: TrainJob) -> None:
    """Refuse an output that is in the way, before anything is computed.

    Raises:
        JobError: If the output exists and may not be replaced, or is no place for a model.
    """
    if output.is_file():
        raise JobError(f"{output} is a file", "give the path of a folder to make")
    if output.is_dir() and any(output.iterdir()):
        if not (output / CARD_NAME).is_file():
            raise JobError(f"{output} is a folder with other content", "give a new folder")
        if not job.overwrite:
            raise JobError(f"{output} holds a model", "choose another output, or set overwrite")


def publish_training(training: Training, report: Report, cancelled: IsCancelled) -> Result:
    """Measure the best weights and write the model folder; it is whole or not there.

    Raises:
        DiskError: If the folder cannot be written.
        JobCancelled: If the user stopped it; nothing is left behind.
    """
    partial = training.output.with_name(f".{training.output.name}.partial")
    with disk_errors(training.output):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    try:
        result = _publish(training, partial, report, cancelled)
        with disk_errors(training.output):
            if training.output.exists():
                shutil.rmtree(training.output)
            partial.replace(training.output)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return result


def _publish(training: Training, partial: Path, report: Report, cancelled: IsCancelled) -> Result:
    job, state = training.job, training.state
    tensors = chosen_tensors(training)
    stored = stored_tensors(tensors, training.recipe.weights_dtype)
    network = training.network_of_tensors(stored)
    measured = _measure(training, network, report, cancelled)
    names = {
        "id": job.model_id or model_id_of(training.output.name),
        "title": job.title,
        "weights": job.weights_license,
        "data": job.data_license,
    }
    command = json.dumps({"job": "train", "fields": _without_folders(job)})
    record = start_record(training.start or Start(), job.seed, command, training.folder)
    world, recipe = training.hardware.world, training.recipe
    record.update(processes=world, batch=recipe.batch * recipe.accumulate * world)
    card = make_card(
        training.material, training.recipe, state, measured, names=names, training=record
    )
    card = replace(card, builder_args=training.builder_args())
    problems = card_problems(card)
    if problems:
        raise JobError(f"the model's card is not sound: {problems[0]}", "set model_id")
    card = publish_model(partial, stored, card, convert=False)
    metrics = {split: found.metrics for split, found in measured.items()}
    write_record(partial / METRICS_NAME, json.dumps(metrics, indent=2) + "\n")
    write_curves(partial / CURVES_NAME, state.curve)
    folder = training.material.folder
    text = report_html(card, state.curve, measured, folder, training.recipe)
    write_record(partial / REPORT_NAME, text)
    report(Progress("publish", 1, 1, "model"))
    return Result(
        {
            "model": str(training.output),
            "metrics": str(training.output / METRICS_NAME),
            "curves": str(training.output / CURVES_NAME),
            "report": str(training.output / REPORT_NAME),
        },
        {"steps": state.step, "epochs": state.epoch},
        state.seconds,
        {
            "model_id": card.id,
            "best": {"value": state.best, "step": state.best_step, "epoch": state.best_epoch},
            "ended": state.reason,
            "metrics": {split: dict(found.headline_dict()) for split, found in measured.items()},
            "card": card.to_dict(),
        },
    )


def _without_folders(job: TrainJob) -> dict[str, Any]:
    """Return the fields of a job that differ from their defaults, paths by their last part."""
    fields = asdict(job.identity())
    plain = asdict(TrainJob(output=""))
    for name in ("output", "chips", "root", "init", "config"):
        fields[name] = Path(fields[name]).name
    return {name: value for name, value in fields.items() if value != plain[name]}


def chosen_tensors(training: Training) -> dict[str, torch.Tensor]:
    """Return the weights to publish: the best ones, or the last ones without a validation."""
    best = training.folder / BEST_NAME
    if best.is_file():
        return read_weights(best)
    last = training.folder / LAST_NAME
    average = load_average(last, training.state)
    if average:
        return average
    network = training.fresh_network()
    load_network(last, training.state, network)
    return network.state_dict()


def _measure(
    training: Training, network: torch.nn.Module, report: Report, cancelled: IsCancelled
) -> dict[str, Measured]:
    material = training.material
    network = network.to(training.hardware.device).to(memory_format=torch.channels_last)
    found = {}
    for split in MEASURED:
        if not material.folder.chips(split):
            continue
        data = material.dataset(split)

        def tell(done: int, total: int, split: str = split) -> None:
            report(Progress("publish", done, total, f"{split} chips"))
            if cancelled():
                raise JobCancelled

        settings: dict[str, Any] = {
            "bf16": training.hardware.precision == "bf16",
            "device": training.hardware.device,
            "tell": tell,
        }
        if material.instances:
            found[split] = measure_instances(network, data, split, **settings)
        else:
            names = [c.name for c in material.classes]
            hidden = [c.background for c in material.classes]
            found[split] = measure_semantic(network, data, names, hidden, **settings)
    return found
