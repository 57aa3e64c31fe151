"""What the numbers of a recipe may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import JobError
from .schedule import SCHEDULES

CHOICES = {
    "optimizer.name": ("sgd", "adamw"),
    "schedule.name": SCHEDULES,
    "class_weights": ("none", "inverse", "square_root"),
    "weights_dtype": ("fp16", "fp32"),
}
_SHARE, _DECAY, _STRENGTH = (0.0, 1.0), (0.0, 0.999999), (0.0, 100.0)
RANGES = {
    "epochs": (1, 1e6),
    "steps": (0, 1e9),
    "batch": (1, 65_536),
    "accumulate": (1, 4096),
    "crop_px": (0, 16_384),
    "repeat": (1, 1e6),
    "empty_ratio": _SHARE,
    "clip_norm": (0, 1e9),
    "ema_decay": _DECAY,
    "freeze_norm_from": _SHARE,
    "validate_epochs": (1, 1e6),
    "patience": (0, 1e6),
    "min_delta": (0, 1e9),
    "log_steps": (1, 1e6),
    "checkpoint_steps": (0, 1e9),
    "score_threshold": _SHARE,
    "optimizer.lr": (1e-12, 1e3),
    "optimizer.momentum": _DECAY,
    "optimizer.beta1": _DECAY,
    "optimizer.beta2": _DECAY,
    "optimizer.weight_decay": (0, 1e3),
    "optimizer.backbone_ratio": _SHARE,
    "schedule.power": (0, 100),
    "schedule.gamma": (0, 1e3),
    "schedule.warmup_steps": (0, 1e9),
    "schedule.warmup_epochs": (0, 1e6),
    "schedule.warmup_ratio": _SHARE,
    "schedule.warmup_from": _SHARE,
    "schedule.floor": _SHARE,
    "schedule.rise": _SHARE,
    "augment.hflip": _SHARE,
    "augment.vflip": _SHARE,
    "augment.rotate90": _SHARE,
    "augment.scale_min": (0.1, 10),
    "augment.scale_max": (0.1, 10),
    "augment.brightness": _STRENGTH,
    "augment.contrast": _STRENGTH,
    "augment.saturation": _STRENGTH,
    "augment.band_gain": _STRENGTH,
    "augment.noise": _STRENGTH,
    "augment.color_ratio": _SHARE,
}
"""Least and most of each number, both allowed."""


def check_numbers(values: Mapping[str, Any]) -> None:
    """Refuse a recipe with a number that no training can have.

    Args:
        values: All numbers of a recipe by their dotted names.

    Raises:
        JobError: With the first one that is wrong, and what it may be.
    """
    for name, known in CHOICES.items():
        if values[name] not in known:
            raise JobError(
                f"recipe value {name} = {values[name]!r} is unknown", f"use {', '.join(known)}"
            )
    largest = ("augment.scale_min", (RANGES["augment.scale_min"][0], values["augment.scale_max"]))
    for name, (least, most) in [*RANGES.items(), largest]:
        if not least <= values[name] <= most:
            raise JobError(
                f"recipe value {name} = {values[name]:g} is not in {least:g}..{most:g}",
                "correct the value",
            )
