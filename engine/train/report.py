"""The report of a training: one HTML file that needs nothing else, pictures inside."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..data.chip_folder import SPLITS, ChipFolder
from ..evaluate.figures import metrics_figures
from ..zoo.card import ModelCard
from .card import headline_rows
from .checkpoint import CurvePoint
from .measure import ChipScore, Measured
from .recipe import Recipe, resolve_recipe
from .record_rows import COMMAND_KEY, plain_text, record_rows, shell_line
from .report_pictures import FALSE, MISSED, MIXED_UP, PARTS, curves_figure, tile_picture

TILES_SHOWN, SOURCES_SHOWN = 4, 12
Cells = Sequence[tuple[Any, ...]]
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:66rem;margin:2rem auto;padding:0 1rem;"
    "color:#222}h1,h2,h3{font-weight:600;line-height:1.25}h2{margin-top:2.2rem;border-bottom:"
    "2px solid #eee;padding-bottom:.2rem}table{border-collapse:collapse;margin:.6rem 0 1.4rem}"
    "td,th{border-bottom:1px solid #ddd;padding:.25rem .8rem;text-align:left;vertical-align:top}"
    "th{font-weight:600;background:#fafafa}td.n,th.n{text-align:right;"
    "font-variant-numeric:tabular-nums}figure{display:inline-block;margin:.4rem .6rem .4rem 0;"
    "vertical-align:top}figcaption{font-size:13px;color:#555}img{max-width:100%}"
    ".key{display:inline-block;width:.9em;height:.9em;margin:0 .3em 0 1em;vertical-align:middle}"
    ".heads{display:flex;flex-wrap:wrap;gap:.8rem;margin:1rem 0}.heads div{border:1px solid #ddd;"
    "border-radius:.5rem;padding:.5rem 1rem}.heads b{display:block;font-size:1.6rem}"
    "nav a{margin-right:1rem}pre{white-space:pre-wrap;background:#f6f6f6;padding:.8rem}"
    "td.changed{font-weight:600}"
)
_CLASS_COLUMNS = ("iou", "precision", "recall", "f1", "truth_px", "predicted_px")
_OBJECT_COLUMNS = ("AP", "AP50", "AP75", "APS", "APM", "APL", "AR100")


def report_html(
    card: ModelCard,
    curve: Sequence[CurvePoint],
    measured: Mapping[str, Measured],
    folder: ChipFolder,
    recipe: Recipe,
) -> str:
    """Return the report as HTML.

    Args:
        card: Card of the model.
        curve: Points of the curves.
        measured: Figures by part of the chips; pictures are taken from the last part.
        folder: The chips.
        recipe: All numbers of the training.
    """
    training = dict(card.training)
    chosen_step = int(training.get("chosen_step") or 0)
    sections = [("Curves", _picture(curves_figure(curve, chosen_step), _curves_text(training)))]
    for split, found in measured.items():
        sections.append((f"Measured on the {split} chips", _measured(found.metrics)))
    if measured:
        split, found = list(measured.items())[-1]
        sections += _tiles(found.chips, folder, card, split)
    command = shell_line(str(training.pop(COMMAND_KEY, "")))
    sections += [
        ("Data", _data(folder)),
        ("Training", _table(list(record_rows(training)))),
        ("Recipe", _recipe(recipe, card.task)),
        ("Licences", _table(list(card.licenses.items()))),
        ("Repeat it", f"<pre>{_text(command)}</pre>"),
    ]
    links = "".join(f'<a href="#s{i}">{_text(t)}</a>' for i, (t, _) in enumerate(sections))
    body = "\n".join(
        f'<h2 id="s{i}">{_text(title)}</h2>{content}' for i, (title, content) in enumerate(sections)
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width">'
        f"<title>{_text(card.title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{_text(card.title)}</h1><p>{_text(card.description)}</p>{_heads(measured)}"
        f"{_summary(card)}<nav>{links}</nav>{body}</body></html>\n"
    )


def _heads(measured: Mapping[str, Measured]) -> str:
    """Return the figure that counts of each part, large."""
    boxes = "".join(
        f"<div><b>{found.headline[1]:.3f}</b>{_text(found.headline[0].replace('_', ' '))}, "
        f"{_text(split)}</div>"
        for split, found in measured.items()
    )
    return f'<div class="heads">{boxes}</div>' if boxes else ""


def _curves_text(training: Mapping[str, Any]) -> str:
    step = training.get("chosen_step")
    return f"The weights of step {step} are published (dashed line)." if step else "Curves"


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
        ("network", card.builder),
        *((f"network: {name}", value) for name, value in record_rows(card.builder_args)),
        ("bands", ", ".join(b.name for b in card.bands)),
        ("pixel size", size),
        ("made", f"{card.created}, RS Segment {card.engine_version}"),
    ]
    return _table(rows) + f"<p>Classes:{keys}</p>"


def _measured(metrics: Mapping[str, Any]) -> str:
    """Return the figures of a part: the main ones, those of each class, and pictures."""
    text = _table([(name.replace("_", " "), value) for name, value in headline_rows(metrics)])
    entries = list(metrics.get("classes") or [])
    if entries and "iou" in entries[0]:
        rows = [(e["name"], *(e.get(name) for name in _CLASS_COLUMNS)) for e in entries]
        text += _table(rows, ("class", *_CLASS_COLUMNS))
    elif entries:
        head = ("class", "objects", "detections", *(f"mask {n}" for n in _OBJECT_COLUMNS), "box AP")
        rows = [
            (
                *(e["name"], e["truth"], e["found"]),
                *(e["mask"].get(name) for name in _OBJECT_COLUMNS),
                e["box"].get("AP"),
            )
            for e in entries
        ]
        text += _table(rows, head)
    for name, picture in metrics_figures(metrics).items():
        text += _picture(picture, name.removesuffix(".png").replace("_", " "))
    return text


def _tiles(
    scores: Sequence[ChipScore], folder: ChipFolder, card: ModelCard, split: str
) -> list[tuple[str, str]]:
    """Return the worst and the best chips of a part as sections."""
    ordered = sorted(scores, key=lambda s: (s.score, s.index))
    worst = ordered[:TILES_SHOWN]
    best = [s for s in reversed(ordered) if s not in worst][:TILES_SHOWN]
    marks = [("missed", MISSED), ("false", FALSE)]
    if card.task == "semantic" and sum(not c.background for c in card.classes) > 1:
        marks.append(("another class", MIXED_UP))
    keys = "".join(
        f'<span class="key" style="background:rgb{color}"></span>{name}' for name, color in marks
    )
    about = f"<p>{', '.join(PARTS).capitalize()}:{keys}</p>"
    return [
        (
            f"{title} {split} chips",
            about
            + "".join(
                _picture(tile_picture(folder, s, card), f"{s.chip.name}: IoU {s.score:.3f}")
                for s in chosen
            ),
        )
        for title, chosen in (("Worst", worst), ("Best", best))
        if chosen
    ]


def _data(folder: ChipFolder) -> str:
    """Return chips, ground and objects of each part, how it was split, and the bands."""
    record = folder.record
    pixels, objects = record.get("class_pixels", {}), record.get("class_instances", {})
    rows = []
    for split in SPLITS:
        own = pixels.get(split, {})
        total = sum(own.values())
        shares = [own.get(str(c.id), 0) / total if total else None for c in folder.classes]
        counts = sum(objects.get(split, {}).values()) if objects else None
        rows.append((split, len(folder.chips(split)), total, counts, *shares))
    names = [f"{c.name} (share)" for c in folder.classes]
    parts = _table(rows, ("part", "chips", "known pixels", "objects", *names))
    about = [
        ("chips", folder.path.name),
        ("side of a chip", f"{folder.tile_px} pixels"),
        ("data type", folder.dtype),
        *record_rows(
            {"split": record.get("split", {}), "leak check": record.get("leak_check", {})}
        ),
    ]
    bands = [(b.name, b.mean, b.std, b.min, b.p2, b.p98, b.max) for b in folder.bands]
    columns = ("band", "mean", "std", "min", "2 %", "98 %", "max")
    return parts + _table(about) + _sources(record) + _table(bands, columns)


def _sources(record: Mapping[str, Any]) -> str:
    """Return the names of the rasters or images that the chips were cut from, the first ones."""
    found = list(record.get("sources") or [])
    rows = [
        (
            Path(str(s.get("raster") or s.get("image") or "–")).name,
            s.get("polygons"),
            s.get("gsd_m"),
        )
        for s in found[:SOURCES_SHOWN]
    ]
    more = f"<p>and {len(found) - len(rows)} more</p>" if len(found) > len(rows) else ""
    return _table(rows, ("cut from", "polygons", "pixel size (m)")) + more if rows else ""


def _recipe(recipe: Recipe, task: str) -> str:
    """Return all numbers of the recipe beside those of the network's own one."""
    own = dict(record_rows(asdict(resolve_recipe(recipe.network, task, []))))
    lines = []
    for name, value in record_rows(asdict(recipe)):
        before = own.get(name, "–")
        kind = ' class="changed"' if value != before else ""
        lines.append(f"<tr><td>{_text(name)}</td><td{kind}>{_text(value)}</td>")
        lines.append(f"<td>{_text(before if value != before else '')}</td></tr>")
    head = "<tr><th>number</th><th>here</th><th>recipe of the network, where it differs</th></tr>"
    return f"<table>{head}{''.join(lines)}</table>"


def _table(rows: Cells, head: Sequence[str] = ()) -> str:
    """Return a table; numbers stand on the right."""
    columns = zip(*rows, strict=True)
    numeric = [any(isinstance(v, (int, float)) for v in column) for column in columns]
    titles = "".join(
        f"<th{_right(number)}>{_text(word.replace('_', ' '))}</th>"
        for word, number in zip(head, numeric, strict=False)
    )
    lines = "".join(
        "<tr>"
        + "".join(f"<td{_right(n)}>{_cell(v)}</td>" for v, n in zip(row, numeric, strict=True))
        + "</tr>"
        for row in rows
    )
    return f"<table>{f'<tr>{titles}</tr>' if titles else ''}{lines}</table>"


def _right(number: bool) -> str:
    return ' class="n"' if number else ""


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if 0 < abs(value) < 1 else f"{value:.6g}"
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else _text(plain_text(value))


def _picture(data: bytes, caption: str) -> str:
    text = base64.b64encode(data).decode("ascii")
    return (
        f'<figure><img alt="{_text(caption)}" src="data:image/png;base64,{text}">'
        f"<figcaption>{_text(caption)}</figcaption></figure>"
    )


def _text(value: Any) -> str:
    return html.escape(str(value), quote=True)
