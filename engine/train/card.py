"""The card of a trained model: what was done, and what was measured."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .. import __version__
from ..zoo.card import ModelCard, Resolution
from .checkpoint import TrainingState
from .measure import Measured
from .recipe import Recipe, recipe_source
from .setup import Material
from .start import Start

UNKNOWN_GSD = Resolution(1e-6, 1.0, 1e6)
LEAST_RANGE = 1.25
STRIDE = 32
OVERLAP_SHARE = 4
CODE_LICENSE = "GPL-2.0-or-later"


def model_id_of(name: str) -> str:
    """Return a valid id from the name of a folder."""
    plain = re.sub(r"[^a-z0-9_.-]+", "_", name.lower()).strip("_.-")
    return (plain or "model")[:80]


def resolution_of(gsd_m: float, recipe: Recipe) -> Resolution:
    """Return the pixel sizes that a model has seen.

    A chip enlarged by ``s`` looks like ground of ``gsd / s``; at least a quarter more or less is
    stated. Chips of unknown size give a range that no raster leaves.
    """
    if gsd_m <= 0:
        return UNKNOWN_GSD
    finer = max(recipe.augment.scale_max, LEAST_RANGE)
    coarser = min(recipe.augment.scale_min, 1 / LEAST_RANGE)
    return Resolution(round(gsd_m / finer, 6), round(gsd_m, 6), round(gsd_m / coarser, 6))


def make_card(
    material: Material,
    recipe: Recipe,
    state: TrainingState,
    measured: Mapping[str, Measured],
    *,
    names: Mapping[str, str],
    training: Mapping[str, Any],
) -> ModelCard:
    """Return the card, without weights.

    Args:
        material: Chips, classes and bands.
        recipe: All numbers.
        state: What the training has come to.
        measured: Figures by part of the chips.
        names: ``id``, ``title`` and the licences ``weights`` and ``data``, empty if not given.
        training: Further entries of the training record.
    """
    folder = material.folder
    tile_px = max(STRIDE, folder.tile_px)
    return ModelCard(
        id=names["id"],
        title=names["title"] or f"{recipe.network} trained on {folder.path.name}",
        task=material.task,
        builder=recipe.network,
        builder_args={k: v for k, v in recipe.options.items() if k != "pretrained"},
        classes=material.classes,
        bands=material.bands,
        resolution_m=resolution_of(folder.gsd_m, recipe),
        tile_px=tile_px,
        overlap_px=tile_px // OVERLAP_SHARE,
        stride=STRIDE,
        score_threshold=recipe.score_threshold,
        weights=None,
        dtypes=(folder.dtype,),
        training={**_training_record(material, recipe, state), **training},
        metrics=tuple(_card_metrics(measured)),
        licenses=_licenses(names, folder.record),
        description=_description(material),
        engine_version=__version__,
        created=datetime.now(timezone.utc).date().isoformat(),
    )


def _training_record(material: Material, recipe: Recipe, state: TrainingState) -> dict[str, Any]:
    record = material.folder.record
    return {
        "chips": material.folder.path.name,
        "split": record.get("split", {}),
        "splits": record.get("splits", {}),
        "shared_pixels": record.get("leak_check", {}).get("shared_pixels"),
        "epochs": state.stage * recipe.epochs + state.epoch,
        "steps": state.step,
        "chosen_step": state.best_step or state.step,
        "ended": state.reason or "stopped by the user",
        "minutes": round(state.seconds / 60, 2),
        "recipe_source": recipe_source(recipe.network),
        "optimizer": recipe.optimizer.name,
        "lr": recipe.optimizer.lr,
        "schedule": recipe.schedule.name,
        "batch": recipe.batch * recipe.accumulate,
        "crop_px": recipe.crop_px,
        "weight_average": recipe.ema_decay,
        "hardware": f"{platform.system()} {platform.machine()}",
    }


def _card_metrics(measured: Mapping[str, Measured]) -> list[dict[str, Any]]:
    rows = []
    for split, found in measured.items():
        data = f"{split} chips ({len(found.chips)})"
        note = " (chose the weights)" if split == "val" else ""
        for name, value in headline_rows(found.metrics):
            rows.append({"data": f"{data}{note}", "name": name, "value": value})
    return rows


def headline_rows(metrics: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return the figures that people ask for first, rounded."""
    rows: list[tuple[str, Any]] = []
    if "miou" in metrics:
        rows = [(name, metrics[name]) for name in ("miou", "pixel_accuracy", "mean_f1")]
        rows += [(f"{entry['name']} iou", entry["iou"]) for entry in metrics["classes"]]
    else:
        for kind in ("mask", "box"):
            rows += [(f"{kind} {name}", metrics[kind].get(name)) for name in ("AP", "AP50", "AP75")]
    return [(name, round(float(value), 4)) for name, value in rows if value is not None]


def _licenses(names: Mapping[str, str], record: Mapping[str, Any]) -> dict[str, str]:
    """Return what is known about licences; nothing is invented."""
    found = {"code": CODE_LICENSE}
    known = {str(k): str(v) for k, v in dict(record.get("licenses") or {}).items() if v}
    if known:
        found["data"] = "; ".join(f"{k}: {v}" for k, v in known.items())
    for what in ("weights", "data"):
        if names.get(what):
            found[what] = names[what]
    return found


def _description(material: Material) -> str:
    front = [c.name for c in material.classes if not c.background]
    gsd = material.folder.gsd_m
    size = f" of {gsd:g} m" if gsd > 0 else ", whose pixel size is not known"
    what = "every pixel" if material.task == "semantic" else "each object"
    return (
        f"Finds {', '.join(front)}, {what}, in {len(material.bands)}-band images{size}. It has "
        "seen only the places of its chips; other places and seasons may be recognised less well."
    )


def start_record(start: Start, seed: int, command: str, folder: Path) -> dict[str, Any]:
    """Return the entries of the training record that come from the job."""
    return {
        "initialised_with": start.text,
        "seed": seed,
        "command": command,
        "work_folder": folder.name,
    }
