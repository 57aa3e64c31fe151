"""A small train job and what its tests read back."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.protocol import Event
from engine.runner import run_named

TINY = (
    "options.encoder=mobilenet_v2",
    "options.encoder_depth=3",
    "options.decoder_channels=[16, 8, 8]",
    "log_steps=1",
    "checkpoint_steps=1",
    "augment.scale_min=0.8",
    "augment.scale_max=1.25",
)


def fields(folder: Path, **changes: Any) -> dict[str, Any]:
    """Return the fields of a small job in a folder."""
    record = {
        "chips": str(folder / "chips"),
        "output": str(folder / "model"),
        "network": "unet",
        "preset": "quick",
        "options": TINY,
        "epochs": 3,
        "batch": 2,
        "workers": 0,
        "device": "cpu",
        "precision": "fp32",
    }
    return {**record, **changes}


def train(
    record: dict[str, Any],
    cancelled: Callable[[], bool] = lambda: False,
    events: list[Event] | None = None,
) -> Any:
    """Run the job and return its final event."""
    seen = events if events is not None else []
    return run_named("train", record, seen.append, cancelled)


def curve(path: Path) -> list[dict[str, str]]:
    """Return the rows of a file of curves."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
