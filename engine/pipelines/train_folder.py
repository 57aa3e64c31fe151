"""The work folder of a training, ``<output>.training``: what it holds and whether it fits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import JobError
from ..geo.disk import disk_errors
from ..jobs import PretrainJob, TrainJob
from ..train.checkpoint import BEST_NAME, LAST_NAME
from ..train.fit import TENSORBOARD
from ..train.keeper import CSV_NAME

JOB_NAME = "job.json"
RECIPE_NAME = "recipe.json"
SUFFIX = ".training"
CHIPS_NAME = "chips"
OWN_NAMES = {
    JOB_NAME,
    RECIPE_NAME,
    LAST_NAME,
    BEST_NAME,
    CSV_NAME,
    TENSORBOARD,
    CHIPS_NAME,
    ".chips",
}


def work_folder(output: Path) -> Path:
    """Return the work folder of an output: beside it, under its name."""
    return output.with_name(output.name + SUFFIX)


def open_work_folder(folder: Path, job: TrainJob | PretrainJob, *, resume: bool) -> bool:
    """Make the work folder, or check that it is the one to go on with.

    Args:
        folder: The folder.
        job: The job; its identity must be that of the interrupted one.
        resume: Whether to go on.

    Returns:
        Whether there is a checkpoint to go on from.

    Raises:
        JobError: If the folder belongs to another training, or is in the way.
        DiskError: If it cannot be written.
    """
    found = (folder / LAST_NAME).is_file()
    if resume:
        if folder.exists():
            _check_identity(folder, asdict(job.identity()))
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return found
    if folder.exists() and not job.overwrite and any(folder.iterdir()):
        raise JobError(
            f"{folder} holds an interrupted training",
            "resume it, or set overwrite to start anew",
        )
    with disk_errors(folder):
        if folder.exists():
            _check_own(folder)
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
    return False


def _check_own(folder: Path) -> None:
    """Refuse to remove a folder that holds other things than a training.

    Raises:
        JobError: If it does.
    """
    foreign = sorted(
        item.name
        for item in folder.iterdir()
        if item.name.partition(".partial")[0].removesuffix(".lock") not in OWN_NAMES
    )
    if foreign:
        raise JobError(
            f"{folder} holds {foreign[0]}, which no training made",
            "move it away, or choose another output",
        )


def _check_identity(folder: Path, wanted: Mapping[str, Any]) -> None:
    path = folder / JOB_NAME
    if not path.is_file():
        return
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    plain = json.loads(json.dumps(wanted))
    free = {"max_minutes", "title", "model_id", "weights_license", "data_license"}
    changed = [k for k in plain if k not in free and earlier.get(k) != plain[k]]
    if changed:
        raise JobError(
            f"the training in {folder} had another {changed[0]}: {earlier.get(changed[0])!r}",
            "repeat the first call exactly, or set overwrite and leave out resume",
        )


def write_record(path: Path, text: str) -> None:
    """Write a small file whole or not at all.

    Raises:
        DiskError: If it cannot be written.
    """
    with disk_errors(path):
        partial = path.with_name(path.name + ".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
