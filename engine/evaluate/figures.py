"""Pictures of evaluations: confusion matrix, precision over recall, bars per class.

Each function returns the bytes of a picture, the same for the same input. No window is opened.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

PICTURE_FORMATS = ("png", "svg")
DPI = 120
_MOST_LABELLED = 25
_MOST_CURVES = 12
_STYLE: Any = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "rs-segment",
    "svg.fonttype": "none",
}


def confusion_figure(
    matrix: Sequence[Sequence[float]] | NDArray[Any],
    names: Sequence[str],
    *,
    title: str = "Confusion matrix",
    picture_format: str = "png",
) -> bytes:
    """Return a confusion matrix as a picture, each row in percent of its sum.

    Args:
        matrix: ``[K, K]`` or ``[K + 1, K + 1]``, rows are the truth; one row and column more
            than names are those of no class.
        names: Names of the classes.
        title: Title.
        picture_format: ``png`` or ``svg``.
    """
    counts = np.asarray(matrix, np.float64)
    labels = [*names, "(none)"] if len(counts) == len(names) + 1 else list(names)
    sums = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, sums, out=np.zeros_like(counts), where=sums > 0)
    with matplotlib.rc_context(_STYLE):
        side = min(max(3.2, 0.55 * len(labels) + 1.6), 14.0)
        figure = Figure(figsize=(side + 0.8, side), layout="constrained")
        axes = figure.add_subplot()
        image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
        axes.set_yticks(range(len(labels)), labels)
        axes.set(title=title, xlabel="predicted", ylabel="true")
        axes.spines[:].set_visible(False)
        if len(labels) <= _MOST_LABELLED:
            _write_percent(axes, shares)
        figure.colorbar(image, ax=axes, shrink=0.8, format=_percent)
        return _picture(figure, picture_format)


def _write_percent(axes: Any, shares: NDArray[np.float64]) -> None:
    for row, column in np.ndindex(*shares.shape):
        share = float(shares[row, column])
        color = "white" if share > 0.55 else "#333333"
        axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=color)


def _percent(value: float, position: int) -> str:
    return f"{100 * value:.0f} %"


def curves_figure(
    curves: Mapping[str, Any],
    *,
    iou: str = "50",
    title: str = "Precision over recall",
    picture_format: str = "png",
) -> bytes:
    """Return precision over recall as a picture, one line per class and their mean.

    Args:
        curves: ``curves`` of a ``metrics.json``: ``recall`` and ``classes``, each with ``name``
            and ``precision50`` and ``precision75`` (None without truth).
        iou: ``50`` or ``75``.
        title: Title.
        picture_format: ``png`` or ``svg``.
    """
    recall = np.asarray(curves["recall"], np.float64)
    lines = [(c["name"], c[f"precision{iou}"]) for c in curves["classes"]]
    known = [(name, np.asarray(values, np.float64)) for name, values in lines if values is not None]
    with matplotlib.rc_context(_STYLE):
        many = len(known) > 1
        figure = Figure(figsize=(7.6 if many else 5.6, 4.0), layout="constrained")
        axes = figure.add_subplot()
        shown = known if len(known) <= _MOST_CURVES else []
        for name, values in shown:
            axes.plot(recall, values, label=f"{name} ({values.mean():.3f})", linewidth=1.3)
        if known and len(shown) != 1:
            values = np.mean([values for _, values in known], axis=0)
            label = f"mean of {len(known)} ({values.mean():.3f})"
            axes.plot(recall, values, color="black", linewidth=2.0, label=label)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
        axes.set_title(f"{title} at IoU 0.{iou}")
        axes.grid(alpha=0.3)
        if known:
            beside = (1.0, 1.0) if many else None
            place: Any = "upper left" if many else "best"
            axes.legend(fontsize=8, frameon=False, loc=place, bbox_to_anchor=beside)
        return _picture(figure, picture_format)


def classes_figure(
    classes: Sequence[Mapping[str, Any]],
    keys: Sequence[str],
    *,
    title: str = "Per class",
    picture_format: str = "png",
) -> bytes:
    """Return horizontal bars of some figures of each class.

    Args:
        classes: Rows with ``name`` and the figures in 0..1 or None.
        keys: Names of the figures, such as ``iou`` and ``f1``.
        title: Title.
        picture_format: ``png`` or ``svg``.
    """
    with matplotlib.rc_context(_STYLE):
        height = max(1.8, 0.24 * len(classes) * len(keys) + 1.2)
        figure = Figure(figsize=(5.6, min(height, 20.0)), layout="constrained")
        axes = figure.add_subplot()
        width = 0.8 / max(1, len(keys))
        places = np.arange(len(classes))
        for index, key in enumerate(keys):
            values = [_value(row.get(key)) for row in classes]
            bars = axes.barh(places + index * width, values, height=width * 0.9, label=key)
            texts = ["–" if row.get(key) is None else f"{row[key]:.3f}" for row in classes]
            axes.bar_label(bars, texts, padding=2, fontsize=7)
        axes.set_yticks(places + width * (len(keys) - 1) / 2, [str(r["name"]) for r in classes])
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.1), title=title)
        axes.legend(fontsize=8, frameon=False, loc="lower right")
        return _picture(figure, picture_format)


def _value(value: Any) -> float:
    return 0.0 if value is None or math.isnan(value) else float(value)


def _picture(figure: Figure, picture_format: str) -> bytes:
    if picture_format not in PICTURE_FORMATS:
        raise ValueError(f"picture format {picture_format!r} is not png or svg")
    buffer = io.BytesIO()
    metadata = {"Software": None} if picture_format == "png" else {"Date": None}
    figure.savefig(buffer, format=picture_format, dpi=DPI, metadata=metadata)
    return buffer.getvalue()


def metrics_figures(metrics: Mapping[str, Any], picture_format: str = "png") -> dict[str, bytes]:
    """Return all pictures that the record of a ``metrics.json`` allows, by file name."""
    names = [str(row["name"]) for row in metrics["classes"]]
    found: dict[str, bytes] = {}
    options = {"picture_format": picture_format}
    if "confusion" in metrics:
        found["confusion"] = confusion_figure(metrics["confusion"], names, **options)
        found["classes"] = classes_figure(metrics["classes"], ("iou", "f1"), **options)
    if "curves" in metrics:
        for iou in ("50", "75"):
            found[f"curves{iou}"] = curves_figure(metrics["curves"], iou=iou, **options)
        rows = [{"name": r["name"], **r["mask"]} for r in metrics["classes"]]
        found["classes"] = classes_figure(rows, ("AP", "AP50"), **options)
    ground = metrics.get("ground")
    if ground is not None:
        title = "Ground by class"
        matrix = ground["confusion_m2"]
        found["ground"] = confusion_figure(matrix, names, title=title, **options)
    return {f"{name}.{picture_format}": data for name, data in found.items()}
