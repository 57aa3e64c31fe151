"""The report of a training: one HTML file that needs nothing else, pictures inside."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import image as matplotlib_image
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..data.chip_folder import Chip, ChipFolder
from ..data.dataset import IGNORE_ID
from ..evaluate.figures import metrics_figures
from ..zoo.card import ClassInfo, ModelCard
from .card import headline_rows
from .checkpoint import CurvePoint
from .measure import ChipScore, Measured

TILES_SHOWN = 4
TILE_PX = 192
MOST_POINTS = 400
_LEVELS = 255.0
_OVERLAY = 0.55
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;"
    "color:#222}h1,h2{font-weight:600}table{border-collapse:collapse;margin:.6rem 0 1.4rem}"
    "td,th{border-bottom:1px solid #ddd;padding:.25rem .8rem;text-align:left}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}figure{display:inline-block;"
    "margin:.4rem .6rem .4rem 0}figcaption{font-size:13px;color:#555}img{max-width:100%}"
    ".key{display:inline-block;width:.9em;height:.9em;margin:0 .3em 0 1em;vertical-align:middle}"
)


def report_html(
    card: ModelCard,
    curve: Sequence[CurvePoint],
    measured: Mapping[str, Measured],
    folder: ChipFolder,
    recipe_text: str,
) -> str:
    """Return the report as HTML.

    Args:
        card: Card of the model.
        curve: Points of the curves.
        measured: Figures by part of the chips; pictures are taken from the last part.
        folder: The chips.
        recipe_text: The resolved recipe as JSON.
    """
    parts = [
        f"<h1>{_text(card.title)}</h1><p>{_text(card.description)}</p>",
        _summary(card),
        "<h2>Curves</h2>",
        _picture(curves_figure(curve), "Loss and validation over the steps"),
    ]
    for split, found in measured.items():
        parts.append(f"<h2>Measured on the {split} chips</h2>")
        parts.append(_class_table(found.metrics))
        for name, picture in metrics_figures(found.metrics).items():
            parts.append(_picture(picture, name.replace("_", " ")))
    if measured:
        split, found = list(measured.items())[-1]
        parts.append(_tiles(found.chips, folder, card, split))
    parts.append("<h2>Training</h2>" + _table(_flat(card.training)))
    parts.append("<h2>Licences</h2>" + _table(list(card.licenses.items())))
    parts.append(f"<h2>Recipe</h2><pre>{_text(recipe_text)}</pre>")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{_text(card.title)}</title><style>{_STYLE}</style></head><body>"
        + "\n".join(parts)
        + "</body></html>\n"
    )


def curves_figure(curve: Sequence[CurvePoint]) -> bytes:
    """Return the loss of training and validation, and the validation figure, as a PNG."""
    with matplotlib.rc_context({"font.size": 9.0}):
        figure = Figure(figsize=(9.0, 3.2), layout="constrained")
        loss, value = figure.subplots(1, 2)
        for series in ("train", "val"):
            steps, values = _series(curve, series, "loss")
            if steps:
                loss.plot(steps, values, label=series, linewidth=1.2)
        loss.set(xlabel="step", ylabel="loss")
        loss.legend(frameon=False)
        for name in ("iou_mean", "miou", "pixel_accuracy", "mask_AP", "mask_AP50", "box_AP"):
            steps, values = _series(curve, "val", name)
            if steps:
                value.plot(steps, values, label=name, marker=".", linewidth=1.2)
        value.set(xlabel="step", ylabel="validation", ylim=(0, 1))
        if value.lines:
            value.legend(frameon=False)
        target = io.BytesIO()
        figure.savefig(target, format="png", dpi=120, metadata={"Software": None})
    return target.getvalue()


def _series(curve: Sequence[CurvePoint], series: str, name: str) -> tuple[list[int], list[float]]:
    points = [p for p in curve if p.series == series and name in p.values]
    points = points[:: max(1, len(points) // MOST_POINTS)]
    return [p.step for p in points], [p.values[name] for p in points]


def _summary(card: ModelCard) -> str:
    r = card.resolution_m
    size = f"{r.nominal:g} m ({r.min:g} to {r.max:g} m)" if r.max < 1e5 else "not known"
    keys = "".join(
        f'<span class="key" style="background:{c.color}"></span>{_text(c.name)}'
        for c in card.classes
    )
    rows = [
        ("id", card.id),
        ("task", card.task),
        ("network", f"{card.builder} {card.builder_args or ''}"),
        ("bands", ", ".join(b.name for b in card.bands)),
        ("pixel size", size),
        ("made", f"{card.created}, RS Segment {card.engine_version}"),
    ]
    return _table(rows) + f"<p>Classes:{keys}</p>"


def _class_table(metrics: Mapping[str, Any]) -> str:
    rows = [(name, f"{value:.4f}") for name, value in headline_rows(metrics)]
    text = _table(rows, numbers=True)
    entries = metrics.get("classes") or []
    known = (entries or [{}])[0]
    names = [n for n in ("iou", "precision", "recall", "f1", "truth_px") if n in known]
    if not names:
        return text
    head = "".join(f"<th>{_text(n)}</th>" for n in ("class", *names))
    body = "".join(
        "<tr>"
        + f"<td>{_text(entry['name'])}</td>"
        + "".join(f'<td class="n">{_figure(entry[n])}</td>' for n in names)
        + "</tr>"
        for entry in entries
    )
    return f"{text}<table><tr>{head}</tr>{body}</table>"


def _tiles(scores: Sequence[ChipScore], folder: ChipFolder, card: ModelCard, split: str) -> str:
    """Return the worst and the best chips: image, truth, prediction."""
    ordered = sorted(scores, key=lambda s: (s.score, s.index))
    worst = ordered[:TILES_SHOWN]
    best = [s for s in reversed(ordered) if s not in worst][:TILES_SHOWN]
    parts = []
    for title, chosen in (("Worst", worst), ("Best", best)):
        if not chosen:
            continue
        parts.append(f"<h2>{title} {split} chips</h2><p>Image, truth, prediction.</p>")
        for score in chosen:
            caption = f"{score.chip.name}: {score.score:.3f}"
            parts.append(_picture(tile_picture(folder, score, card), caption))
    return "".join(parts)


def tile_picture(folder: ChipFolder, score: ChipScore, card: ModelCard) -> bytes:
    """Return image, truth and prediction of a chip side by side as a PNG."""
    base = stretched(folder, score.chip)
    colors = color_table(card.classes if card.task == "semantic" else ())
    parts = [base, _over(base, score.truth, colors), _over(base, score.predicted, colors)]
    step = max(1, round(max(base.shape[:2]) / TILE_PX))
    gap = np.full((base.shape[0], 4 * step, 3), 255, np.uint8)
    row = np.concatenate([parts[0], gap, parts[1], gap, parts[2]], axis=1)[::step, ::step]
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
    colors = table[values]
    shown = colors[..., :1] >= 0
    mixed = (1 - _OVERLAY) * base + _OVERLAY * colors
    unknown = (values == IGNORE_ID)[..., None]
    result = np.where(shown, mixed, np.where(unknown, base * 0.4, base))
    return result.astype(np.uint8)


def _flat(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(str(k).replace("_", " "), str(v)) for k, v in record.items()]


def _table(rows: Sequence[tuple[str, Any]], *, numbers: bool = False) -> str:
    kind = ' class="n"' if numbers else ""
    cells = "".join(f"<tr><td>{_text(k)}</td><td{kind}>{_text(v)}</td></tr>" for k, v in rows)
    return f"<table>{cells}</table>"


def _picture(data: bytes, caption: str) -> str:
    text = base64.b64encode(data).decode("ascii")
    return (
        f'<figure><img alt="{_text(caption)}" src="data:image/png;base64,{text}">'
        f"<figcaption>{_text(caption)}</figcaption></figure>"
    )


def _figure(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else _text("" if value is None else value)


def _text(value: Any) -> str:
    return html.escape(str(value), quote=True)
