"""Learning rate as a function of the step: warm-up, then one of five forms."""

from __future__ import annotations

import math
from dataclasses import dataclass

SCHEDULES = ("constant", "poly", "step", "cosine", "one_cycle")


@dataclass(frozen=True)
class ScheduleRecipe:
    """Form of the learning rate over a training; shares are of all steps, in [0, 1].

    Attributes:
        name: ``constant``, ``poly``, ``step``, ``cosine`` or ``one_cycle``.
        power: Exponent of ``poly``.
        milestones: Shares of the training after which ``step`` multiplies by ``gamma``.
        gamma: Factor of ``step``.
        warmup_steps: Steps of linear warm-up.
        warmup_epochs: Epochs of linear warm-up; the longest of the three counts.
        warmup_ratio: Share of the training that is linear warm-up.
        warmup_from: Share of the rate that the warm-up starts from.
        floor: Share of the rate that ``poly``, ``cosine`` and ``one_cycle`` end at.
        rise: Share of the training in which ``one_cycle`` rises.
    """

    name: str = "cosine"
    power: float = 0.9
    milestones: tuple[float, ...] = (0.67, 0.89)
    gamma: float = 0.1
    warmup_steps: int = 0
    warmup_epochs: float = 0.0
    warmup_ratio: float = 0.0
    warmup_from: float = 0.0
    floor: float = 0.0
    rise: float = 0.3


def warmup_length(recipe: ScheduleRecipe, total_steps: int, epoch_steps: int) -> int:
    """Return the steps of warm-up, at most half of the training."""
    wanted = max(
        recipe.warmup_steps,
        round(recipe.warmup_epochs * epoch_steps),
        round(recipe.warmup_ratio * total_steps),
    )
    return min(wanted, total_steps // 2)


def rate_ratio(recipe: ScheduleRecipe, step: int, total_steps: int, warmup_steps: int) -> float:
    """Return the share of the peak learning rate at a step.

    Args:
        recipe: Form of the schedule.
        step: Steps done, from 0.
        total_steps: Steps of the whole training.
        warmup_steps: Steps of linear warm-up, see :func:`warmup_length`.
    """
    if step < warmup_steps:
        return recipe.warmup_from + (1 - recipe.warmup_from) * (step + 1) / warmup_steps
    done = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    if recipe.name == "step":
        share = step / max(1, total_steps)
        return float(recipe.gamma ** sum(share >= m for m in recipe.milestones))
    shapes = {
        "constant": 1.0,
        "poly": float((1 - done) ** recipe.power),
        "cosine": _half_cosine(done),
        "one_cycle": _one_cycle(done, recipe.rise),
    }
    return recipe.floor + (1 - recipe.floor) * shapes[recipe.name]


def _half_cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * done))


def _one_cycle(done: float, rise: float) -> float:
    """Return Smith's one cycle: a cosine from 1/25 up to 1, then a cosine down to 0."""
    if done < rise:
        return 1 - (1 - 1 / 25) * _half_cosine(done / rise)
    return _half_cosine((done - rise) / max(1e-9, 1 - rise))
