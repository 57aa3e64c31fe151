"""Pictures of a training's report: curves, and chips with truth, prediction and mistakes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import image as matplotlib_image
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..data.chip_folder import Chip, ChipFolder
from ..data.dataset import IGNORE_ID
from ..zoo.card import ClassInfo, ModelCard
from .checkpoint import CurvePoint
from .measure import ChipScore

TILE_PX = 192
MOST_POINTS = 400
PARTS = ("image", "truth", "prediction", "mistakes")
MISSED, FALSE, MIXED_UP = (214, 39, 40), (31, 119, 180), (255, 191, 0)
"""Colours of mistakes: truth that was not found, found without truth, found as another class."""

_LEVELS = 255.0
_OVERLAY = 0.55
_STRONG = 0.85
_DARK = 0.4
_VALUES = ("iou_mean", "miou", "pixel_accuracy", "mask_AP", "mask_AP50", "box_AP")


def curves_figure(curve: Sequence[CurvePoint], chosen_step: int = 0) -> bytes:
    """Return loss, validation figures and learning rate over the steps as a PNG.

    Args:
        curve: Points of the curves.
        chosen_step: Step of the published weights, marked by a line; 0 for none.
    """
    with matplotlib.rc_context({"font.size": 9.0}):
        figure = Figure(figsize=(11.0, 3.2), layout="constrained")
        axes = figure.subplots(1, 3, width_ratios=(5, 5, 3))
        loss, value, rate = axes
        for series in ("train", "val"):
            _draw(loss, curve, series, "loss", series)
        for name in _VALUES:
            _draw(value, curve, "val", name, name.replace("_", " "), marker=".")
        _draw(rate, curve, "train", "lr", "learning rate", color="#777777")
        loss.set(ylabel="loss")
        value.set(ylabel="validation", ylim=(0, 1))
        rate.set(ylabel="learning rate", ylim=(0, None))
        for one in axes:
            one.set(xlabel="step")
            one.grid(alpha=0.25)
            one.spines[["top", "right"]].set_visible(False)
            if chosen_step:
                one.axvline(chosen_step, color="#2ca02c", linestyle="--", linewidth=0.9)
            if len(one.lines) > bool(chosen_step):
                one.legend(frameon=False, fontsize=8)
        target = io.BytesIO()
        figure.savefig(target, format="png", dpi=120, metadata={"Software": None})
    return target.getvalue()


def _draw(
    axes: Axes,
    curve: Sequence[CurvePoint],
    series: str,
    name: str,
    label: str,
    **style: Any,
) -> None:
    """Draw one value of one series where there are points of it."""
    points = [p for p in curve if p.series == series and name in p.values]
    points = points[:: max(1, len(points) // MOST_POINTS)]
    if points:
        values = [p.values[name] for p in points]
        axes.plot([p.step for p in points], values, label=label, linewidth=1.2, **style)


def tile_picture(folder: ChipFolder, score: ChipScore, card: ModelCard) -> bytes:
    """Return a chip as image, truth, prediction and mistakes side by side, as a PNG."""
    base = stretched(folder, score.chip)
    semantic = card.task == "semantic"
    colors = color_table(card.classes if semantic else ())
    background = [c.id for c in card.classes if c.background] if semantic else [0]
    parts = [
        base,
        _over(base, score.truth, colors),
        _over(base, score.predicted, colors),
        _mistakes(base, score, background, classes=semantic),
    ]
    step = max(1, round(max(base.shape[:2]) / TILE_PX))
    gap = np.full((base.shape[0], 4 * step, 3), 255, np.uint8)
    pieces = [piece for part in parts for piece in (part, gap)][:-1]
    row = np.concatenate(pieces, axis=1)[::step, ::step]
    target = io.BytesIO()
    matplotlib_image.imsave(target, np.ascontiguousarray(row), format="png")
    return target.getvalue()


def stretched(folder: ChipFolder, chip: Chip) -> NDArray[np.uint8]:
    """Return a chip as a picture ``[H, W, 3]``: three bands (or one) between 2 and 98 percent."""
    pixels, valid = folder.read_image(chip), folder.read_valid(chip)
    chosen = (0, 1, 2) if pixels.shape[0] >= 3 else (0, 0, 0)
    planes = []
    for index in chosen:
        band = folder.bands[index]
        width = max(band.p98 - band.p2, 1e-12)
        plane = (np.nan_to_num(pixels[index].astype(np.float32)) - band.p2) / width
        planes.append(np.where(valid, np.clip(plane, 0, 1), 1.0))
    return (np.stack(planes, axis=-1) * _LEVELS).astype(np.uint8)


def color_table(classes: Sequence[ClassInfo]) -> NDArray[np.int16]:
    """Return the colour of each value, -1 for none: classes, or objects in turning colours."""
    table = np.full((256, 3), -1, np.int16)
    if classes:
        for index, info in enumerate(classes):
            if not info.background:
                table[index] = [int(info.color[i : i + 2], 16) for i in (1, 3, 5)]
        return table
    wheel = np.array([[228, 26, 28], [55, 126, 184], [77, 175, 74], [255, 127, 0], [152, 78, 163]])
    for value in range(1, IGNORE_ID):
        table[value] = wheel[value % len(wheel)]
    return table


def _over(
    base: NDArray[np.uint8], values: NDArray[np.uint8], table: NDArray[np.int16]
) -> NDArray[np.uint8]:
    """Return the picture with values in their colours; unknown ground is darker."""
    colors = table[values]
    shown = colors[..., :1] >= 0
    mixed = (1 - _OVERLAY) * base + _OVERLAY * colors
    unknown = (values == IGNORE_ID)[..., None]
    result = np.where(shown, mixed, np.where(unknown, base * _DARK, base))
    return result.astype(np.uint8)


def _mistakes(
    base: NDArray[np.uint8], score: ChipScore, background: Sequence[int], *, classes: bool
) -> NDArray[np.uint8]:
    """Return the picture in grey with the pixels that are wrong in colour.

    Args:
        base: The chip as a picture ``[H, W, 3]``.
        score: Truth and prediction.
        background: Values that mean that there is nothing.
        classes: Whether values are classes; numbers of objects do not mean the same twice.
    """
    known = score.truth != IGNORE_ID
    true = known & ~np.isin(score.truth, background)
    found = known & ~np.isin(score.predicted, background)
    mixed_up = true & found & (score.truth != score.predicted) & classes
    grey: NDArray[np.float64] = base.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    for wrong, color in ((true & ~found, MISSED), (found & ~true, FALSE), (mixed_up, MIXED_UP)):
        grey[wrong] = (1 - _STRONG) * grey[wrong] + _STRONG * np.array(color)
    grey[~known] *= _DARK
    return grey.astype(np.uint8)
