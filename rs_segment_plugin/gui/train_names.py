"""Names and places of a training: model folder, chips, work folder; no widgets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict

from ..algorithms.train import FIELDS, INIT, model_id_of
from ..engine_api import list_models, user_zoo

JOB_FILE = "job.json"
_PASSING = ("resume", "finish", "overwrite", "workers")


@dataclass(frozen=True)
class TrainingPaths:
    """Where a training reads and writes.

    Attributes:
        model: The model folder.
        chips: The chips that it learns from.
        work: Its checkpoints and curves.
    """

    model: Path
    chips: Path
    work: Path

    def interrupted(self) -> bool:
        """Return whether a training of this name was stopped before its end."""
        return self.work.is_dir() and not self.taken()

    def taken(self) -> bool:
        """Return whether there is a model of this name."""
        return (self.model / "card.json").is_file()

    def earlier_parameters(self) -> Dict[str, Any]:
        """Return the parameters of the interrupted training: it goes on only with the same ones."""
        try:
            job = json.loads((self.work / JOB_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(job, dict):
            return {}
        table = {name: field for name, (field, _) in FIELDS.items() if field not in _PASSING}
        found = {name: job.get(field) for name, field in {**table, INIT: "init"}.items()}
        texts = {k: ";".join(v) if isinstance(v, list) else v for k, v in found.items()}
        return {name: value for name, value in texts.items() if value not in (None, "")}


def training_paths(title: str) -> TrainingPaths:
    """Return the places for a model of this name, among the user's own models."""
    model = user_zoo() / model_id_of(title)
    return TrainingPaths(
        model, model.with_name(f"{model.name}.chips"), model.with_name(f"{model.name}.training")
    )


def free_title(title: str) -> str:
    """Return the title with a number behind it that no model has yet."""
    taken = {entry.id for entry in list_models()}
    stem, _, last = title.rpartition(" ")
    number = int(last) + 1 if stem and last.isdigit() and len(last) < 4 else 2
    base = stem if number > 2 else title
    while model_id_of(f"{base} {number}") in taken:
        number += 1
    return f"{base} {number}"
