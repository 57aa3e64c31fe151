"""Figures of an evaluation as tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..protocol import Result

SIZES = ("AP", "AP50", "AP75", "APS", "APM", "APL", "AR100", "AR")


def metrics_text(result: Result) -> str:
    """Return the figures of ``evaluate`` and ``compare`` as text with aligned columns."""
    metrics = result.details
    lines = [_head(result)]
    if "miou" in metrics:
        lines += _semantic(metrics)
    if "mask" in metrics:
        lines += _instances(metrics)
    if "objects" in metrics:
        lines += _objects(metrics)
    if "ground" in metrics:
        lines += _ground(metrics)
    lines += [f"{name}: {path}" for name, path in sorted(result.outputs.items())]
    return "\n".join(lines)


def _head(result: Result) -> str:
    metrics = result.details
    counts = ", ".join(f"{value:,} {name}" for name, value in result.counts.items())
    model = f"{metrics['model']} on " if metrics.get("model") else ""
    split = f", {metrics['split']}" if metrics.get("split", "all") != "all" else ""
    return f"{model}{metrics.get('data', '')}{split}: {counts}, {result.seconds:.1f} s"


def _semantic(metrics: Mapping[str, Any]) -> list[str]:
    keys = ("iou", "precision", "recall", "f1")
    boundary = {row["name"]: row["f1"] for row in metrics.get("boundary", {}).get("classes", ())}
    rows = [
        [row["name"], *(row[key] for key in keys), *_if(boundary, row["name"])]
        for row in metrics["classes"]
    ]
    lines = _table(["class", *keys, *(["boundary f1"] if boundary else [])], rows)
    parts = [("mIoU", "miou"), ("mean F1", "mean_f1"), ("pixel accuracy", "pixel_accuracy")]
    text = ", ".join(f"{title} {_figure(metrics[key])}" for title, key in parts)
    if boundary:
        text += f", boundary F1 {_figure(metrics['boundary']['mean_f1'])}"
    return [*lines, text]


def _if(values: Mapping[str, Any], name: str) -> list[Any]:
    return [values[name]] if name in values else []


def _instances(metrics: Mapping[str, Any]) -> list[str]:
    lines = []
    for kind in ("mask", "box"):
        if kind in metrics:
            keys = [key for key in SIZES if metrics[kind].get(key) is not None]
            rows = [
                [row["name"], row["truth"], row["found"], *(row[kind].get(key) for key in keys)]
                for row in metrics["classes"]
            ]
            if len(rows) != 1:
                rows.append(["all", "", "", *(metrics[kind][key] for key in keys)])
            lines += _table([kind, "truth", "found", *keys], rows)
    return lines


def _objects(metrics: Mapping[str, Any]) -> list[str]:
    keys = ("precision", "recall", "f1", "right", "wrong", "missed")
    rows = [[row["name"], *(row["objects"][key] for key in keys)] for row in metrics["classes"]]
    if len(rows) != 1:
        rows.append(["all", *(metrics["objects"][key] for key in keys)])
    return _table([f"objects at IoU {metrics['min_iou']:g}", *keys], rows)


def _ground(metrics: Mapping[str, Any]) -> list[str]:
    keys = ("iou", "precision", "recall", "f1", "truth_m2", "found_m2", "shared_m2")
    rows = [[row["name"], *(row["ground"][key] for key in keys)] for row in metrics["classes"]]
    if len(rows) != 1:
        rows.append(["all", *(metrics["ground"][key] for key in keys)])
    return _table(["ground", *keys], rows)


def _table(titles: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return lines with aligned columns, the first one to the left."""
    texts = [list(titles), *([_figure(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(titles))]
    return [
        "  ".join(
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in texts
    ]


def _figure(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) <= 1 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
