"""Check, import and export models."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import DiskError, JobCancelled, ModelError
from ..geo.disk import disk_errors
from ..jobs import CheckModelJob, ExportModelJob, ImportModelJob
from ..models.load import load_network
from ..protocol import IsCancelled, Log, Progress, Report, Result
from ..zoo.card import CARD_NAME, ModelCard, read_card
from ..zoo.registry import USER, ModelEntry, find_model, list_models, user_zoo, verify_weights
from .export import ENDINGS, export_network
from .model_files import (
    copy_model,
    model_file_names,
    pack_model,
    refuse_foreign,
    unpack_model,
)

MIN_TRIAL_PX = 64
STEPS = 4


def run_check_model(job: CheckModelJob, report: Report, cancelled: IsCancelled) -> Result:
    """Check a model of the zoo, a model folder or a zip of one.

    Returns:
        ``details``: ``id`` and ``checked``, one line for each thing that was found sound.

    Raises:
        ModelError: If something is wrong with it.
    """
    started = time.monotonic()
    source = Path(job.model).expanduser()
    with contextlib.ExitStack() as stack:
        if source.is_file():
            staging = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rs_segment_")))
            _bring(source, staging, report)
            entry = ModelEntry(staging, USER, read_card(staging))
        else:
            entry = find_model(str(source) if source.is_dir() else job.model)
        checked = check_entry(entry, report, cancelled)
    return Result(
        {}, {"checks": len(checked)}, _since(started), {"id": entry.id, "checked": checked}
    )


def run_import_model(job: ImportModelJob, report: Report, cancelled: IsCancelled) -> Result:
    """Copy a model folder or zip into the user's zoo; it appears there whole or not at all.

    Returns:
        ``outputs``: ``folder``; ``details``: ``id`` and ``checked``.

    Raises:
        ModelError: If the model is not sound, or its id is taken.
        DiskError: If the zoo cannot be written.
    """
    started = time.monotonic()
    source, zoo = Path(job.source).expanduser(), user_zoo()
    with disk_errors(zoo):
        zoo.mkdir(parents=True, exist_ok=True)
    with _staging(zoo) as staging:
        with disk_errors(staging):
            _bring(source, staging, report)
        entry = ModelEntry(staging, USER, read_card(staging))
        target = _target(zoo, entry.id, overwrite=job.overwrite)
        checked = check_entry(entry, report, cancelled)
        with disk_errors(target):
            _install(staging, target)
    return Result(
        {"folder": str(target)},
        {"checks": len(checked)},
        _since(started),
        {"id": entry.id, "checked": checked},
    )


def run_export_model(job: ExportModelJob, report: Report, cancelled: IsCancelled) -> Result:
    """Write a model as a folder, a zip or a network file; it appears whole or not at all.

    Returns:
        ``outputs``: ``output``; ``counts``: ``bytes``; ``details``: ``id`` and, for a network
        file, ``largest_difference`` of its scores to the engine's (absent if not checked).

    Raises:
        ModelError: If the model is not sound, or the network cannot be written so.
        DiskError: If the output exists already, or cannot be written.
    """
    started = time.monotonic()
    entry = find_model(job.model)
    card = _card(entry)
    if card.weights is not None:
        verify_weights(entry)
    output = Path(job.output).expanduser().absolute()
    _check_output(output, overwrite=job.overwrite)
    details: dict[str, Any] = {"id": entry.id}
    with disk_errors(output), _staging(output.parent) as staging:
        if job.format in ENDINGS:
            _stop_if(cancelled)
            path = staging / f"model{ENDINGS[job.format]}"
            difference = export_network(entry, job.format, path, report)
            if difference is not None:
                details["largest_difference"] = difference
            _stop_if(cancelled)
            path.replace(output)
        elif job.format == "zip":
            pack_model(entry.folder, card, staging / "model.zip")
            (staging / "model.zip").replace(output)
        else:
            folder = staging / "model"
            folder.mkdir()
            copy_model(entry.folder, folder)
            _install(folder, output)
    files = list(output.iterdir()) if job.format == "folder" else [output]
    counts = {"bytes": sum(path.stat().st_size for path in files)}
    return Result({"output": str(output)}, counts, _since(started), details)


def check_entry(entry: ModelEntry, report: Report, cancelled: IsCancelled) -> list[str]:
    """Check card, hash and network, and run the network once.

    Returns:
        One line for each thing that was found sound.

    Raises:
        ModelError: If something is wrong.
        JobCancelled: If ``cancelled`` returned True.
    """
    card = _card(entry)
    model_file_names(card)
    checked = [f"{CARD_NAME}: {len(card.classes)} classes, {len(card.bands)} bands, {card.task}"]
    report(Progress("check", 1, STEPS, "steps"))
    if card.weights is None:
        report(Log(f"{card.id} has no weights: it can be trained, but not run yet", "warning"))
        return [*checked, "no weights: it can be trained, but not run yet"]
    _stop_if(cancelled)
    verify_weights(entry)
    checked.append(f"{card.weights.file}: {card.weights.bytes} bytes, SHA-256 as in the card")
    report(Progress("check", 2, STEPS, "steps"))
    _stop_if(cancelled)
    network = load_network(entry)
    parameters = sum(p.numel() for p in network.parameters())
    checked.append(f"network {card.builder}: {parameters} parameters, all from the file")
    report(Progress("check", 3, STEPS, "steps"))
    _stop_if(cancelled)
    checked.append(_trial(network, card))
    report(Progress("check", 4, STEPS, "steps"))
    return checked


def _trial(network: nn.Module, card: ModelCard) -> str:
    """Run the network once on noise; semantic scores must have the card's classes."""
    side_px = -(-MIN_TRIAL_PX // card.stride) * card.stride
    noise = torch.randn(
        (len(card.bands), side_px, side_px), generator=torch.Generator().manual_seed(0)
    )
    try:
        with torch.inference_mode():
            output = network(noise[None] if card.task == "semantic" else [noise])
    except RuntimeError as error:
        raise ModelError(
            f"network of {card.id!r} fails on {side_px} x {side_px} pixels: {error}",
            "correct stride or builder_args of the card",
        ) from None
    if card.task == "semantic":
        _check_logits(output, (1, len(card.classes), side_px, side_px), card.id)
    return f"forward pass on {side_px} x {side_px} pixels"


def _check_logits(output: object, shape: tuple[int, ...], model_id: str) -> None:
    found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    if found != shape:
        raise ModelError(
            f"network of {model_id!r} returns {found}, not {shape}",
            "classes and builder_args of the card must be those of the training",
        )
    if isinstance(output, Tensor) and not bool(torch.isfinite(output).all()):
        raise ModelError(
            f"network of {model_id!r} returns values that are not finite", "train it again"
        )


def _bring(source: Path, staging: Path, report: Report) -> None:
    """Copy or unpack a model into the staging folder."""
    if source.is_dir():
        left = copy_model(source, staging)
        if left:
            report(Log(f"not copied: {', '.join(left[:8])}"))
    elif source.is_file() and source.suffix.lower() == ".zip":
        unpack_model(source, staging)
    else:
        raise refuse_foreign(source)


def _target(zoo: Path, model_id: str, *, overwrite: bool) -> Path:
    """Return the folder of a model in the user's zoo."""
    same = [entry.folder for entry in list_models([(zoo, USER)]) if entry.id == model_id]
    target = same[0] if same else zoo / model_id
    if target.exists() and not overwrite:
        raise ModelError(
            f"the user's zoo has a model {model_id!r} already ({target})",
            "allow overwriting to replace it, or change the id in the card",
        )
    return target


def _check_output(output: Path, *, overwrite: bool) -> None:
    if not output.parent.is_dir():
        raise DiskError(f"folder {output.parent} does not exist", "create it, or choose another")
    if not output.exists():
        return
    if not overwrite:
        raise DiskError(f"{output} exists already", "allow overwriting, or choose another name")
    if output.is_dir() and not (output / CARD_NAME).is_file():
        raise DiskError(f"{output} is a folder, but no model folder", "choose another name")


@contextlib.contextmanager
def _staging(parent: Path) -> Iterator[Path]:
    """Make a hidden folder that is gone afterwards, unless it was renamed."""
    folder = parent / f".rs_segment_{uuid.uuid4().hex[:12]}"
    with disk_errors(parent):
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _install(staging: Path, target: Path) -> None:
    """Rename a finished folder to its final name; an earlier one goes only after that."""
    if not target.exists():
        staging.rename(target)
        return
    earlier = target.with_name(f".rs_segment_{uuid.uuid4().hex[:12]}")
    target.rename(earlier)
    try:
        staging.rename(target)
    except OSError:
        earlier.rename(target)
        raise
    if earlier.is_dir():
        shutil.rmtree(earlier, ignore_errors=True)
    else:
        earlier.unlink()


def _card(entry: ModelEntry) -> ModelCard:
    if entry.card is None:
        raise ModelError(f"model {entry.id!r} is unusable: {entry.problem}", "import it again")
    return entry.card


def _stop_if(cancelled: IsCancelled) -> None:
    if cancelled():
        raise JobCancelled


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
