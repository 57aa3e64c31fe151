"""Outlines of found and true instances side by side, without the images themselves.

Images of research data sets may not be passed on; outlines show just as well what was found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

matplotlib.use("Agg")

COLUMNS = 5
COLORS = matplotlib.colormaps["tab10"].colors
TRUTH = {"colors": "black", "linewidths": 2.2, "linestyles": "dotted"}


def draw_outlines(
    path: Path,
    truth: Sequence[Mapping[str, Any]],
    found: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    *,
    least_score: float = 0.3,
) -> None:
    """Write a picture with one panel per image: truth dotted in black, found in its class's colour.

    Args:
        path: PNG to write.
        truth: Per image ``labels`` from 1 and ``masks`` ``[N, H, W]``.
        found: Per image ``labels``, ``scores`` and bool ``masks`` ``[N, H, W]``.
        names: Names of the classes, from label 1.
        least_score: Instances below are not drawn.
    """
    rows = -(-len(truth) // COLUMNS)
    figure = Figure(figsize=(2.3 * COLUMNS, 2.5 * rows), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, true, seen in zip(panels, truth, found, strict=False):
        masks = np.asarray(true["masks"])
        _frame(axes, masks.shape[-2:])
        for mask in masks:
            _outline(axes, mask, **TRUTH)
        kept = [i for i, score in enumerate(seen["scores"]) if float(score) >= least_score]
        for i in kept:
            label = int(seen["labels"][i])
            color = COLORS[(label - 1) % len(COLORS)]
            _outline(axes, np.asarray(seen["masks"][i]), colors=[color], linewidths=1.4)
        present = sorted({int(label) for label in true["labels"]})
        title = ", ".join(names[label - 1].replace("_", " ") for label in present)
        axes.set_title(f"{title}: {len(kept)} of {len(masks)}", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def _frame(axes: Any, shape_px: tuple[int, int]) -> None:
    height, width = shape_px
    axes.set_axis_on()
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[], aspect="equal")


def _outline(axes: Any, mask: NDArray[Any], **style: Any) -> None:
    """Draw the border of a mask, closed at the edges of the image too."""
    padded = np.pad(mask.astype(np.float32), 1)
    height, width = padded.shape
    grid = (np.arange(width) - 0.5, np.arange(height) - 0.5)
    if padded.any():
        axes.contour(*grid, padded, levels=[0.5], **style)
