"""``rs-segment models``: list, show, check, import and export models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ..errors import EngineError
from ..protocol import Failure, Result
from ..zoo.card import ModelCard
from ..zoo.registry import ModelEntry, find_model, list_models
from .console import Console, exit_code


@click.group(short_help="List, show, check, import and export models.")
def models() -> None:
    """List, show, check, import and export models."""


_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Write the result as JSON to stdout."
)


@models.command(name="list", short_help="List the models of the zoo.")
@_json_option
def list_(as_json: bool) -> int:
    """List the models that come with RS Segment and those of the user's zoo."""
    entries = list_models()
    result = Result(
        {}, {"models": len(entries)}, details={"models": [entry_record(e) for e in entries]}
    )
    Console(as_json=as_json).show(result, lambda _: list_text(entries))
    return 0


@models.command(short_help="List the networks that can be trained.")
@_json_option
def networks(as_json: bool) -> int:
    """List the networks that can be trained: task, what they need, and where the recipe is from."""
    from ..pipelines.networks import list_networks

    found = list_networks()
    result = Result({}, {"networks": len(found)}, details={"networks": found})
    Console(as_json=as_json).show(result, lambda _: networks_text(found))
    return 0


@models.command(short_help="Show the card of a model.")
@click.argument("model", metavar="ID|FOLDER")
@_json_option
def show(model: str, as_json: bool) -> int:
    """Show the card of a model."""
    console = Console(as_json=as_json)
    try:
        entry = find_model(model)
    except EngineError as error:
        failure = Failure(error.code, error.message, error.hint)
        console.show(failure, lambda _: "")
        return exit_code(failure)
    result = Result({"folder": str(entry.folder)}, details=entry_record(entry))
    console.show(result, lambda _: card_text(entry))
    return 0


@models.command(short_help="Check a model folder, zip or model of the zoo.")
@click.argument("model", metavar="PATH|ID")
@_json_option
def check(model: str, as_json: bool) -> int:
    """Check card, files, hash and network of a model, and run it once."""
    return exit_code(Console(as_json=as_json).run("check_model", {"model": model}, _check_text))


@models.command(name="import", short_help="Copy a model into the user's zoo.")
@click.argument("source", metavar="PATH")
@click.option("--overwrite", is_flag=True, help="Replace a user's model with the same id.")
@_json_option
def import_(source: str, overwrite: bool, as_json: bool) -> int:
    """Copy a model folder or zip into the user's zoo after checking it."""
    record = {"source": source, "overwrite": overwrite}
    return exit_code(Console(as_json=as_json).run("import_model", record, _import_text))


@models.command(short_help="Write a model as a folder, zip, ONNX or TorchScript.")
@click.argument("model", metavar="ID|FOLDER")
@click.option(
    "--format",
    "format_",
    default="zip",
    metavar="folder|zip|onnx|torchscript",
    show_default=True,
    help="folder and zip are imported again; onnx and torchscript are for other programs.",
)
@click.option(
    "--output",
    metavar="PATH",
    help="Where to write; ./ID, ./ID.zip, ./ID.onnx or ./ID.pt if not given.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing output.")
@_json_option
def export(model: str, format_: str, output: str | None, overwrite: bool, as_json: bool) -> int:
    """Write a model as a folder or zip that another installation imports, or for other programs.

    ONNX and TorchScript files hold network, weights, normalisation and card: raw pixel values
    of tiles go in, class scores come out.
    """
    ending = {"zip": ".zip", "onnx": ".onnx", "torchscript": ".pt"}.get(format_, "")
    path = Path(output).expanduser() if output else Path(f"{Path(model).name}{ending}")
    record = {
        "model": model,
        "output": str(path.absolute()),
        "format": format_,
        "overwrite": overwrite,
    }
    return exit_code(Console(as_json=as_json).run("export_model", record, _export_text))


def entry_record(entry: ModelEntry) -> dict[str, Any]:
    """Return a model as plain JSON values."""
    return {
        "id": entry.id,
        "origin": entry.origin,
        "folder": str(entry.folder),
        "problem": entry.problem,
        "card": entry.card.to_dict() if entry.card else None,
    }


def list_text(entries: list[ModelEntry]) -> str:
    """Return models as a table for people."""
    if not entries:
        return "no models; train one, or import one with: rs-segment models import PATH"
    head = ("ID", "TASK", "CLASSES", "BANDS", "GSD (m)", "ORIGIN", "TITLE")
    rows = [head, *(_row(entry) for entry in entries)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    )


def networks_text(found: list[dict[str, Any]]) -> str:
    """Return networks as a table for people."""
    rows = [("NAME", "TASK", "NEEDS", "RECIPE")]
    for row in found:
        recipe = row["recipe_source"] or "defaults of the task"
        rows.append((row["name"], row["task"], row["weight"], recipe))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    )


def _row(entry: ModelEntry) -> tuple[str, ...]:
    card = entry.card
    if card is None:
        return (entry.id, "-", "-", "-", "-", entry.origin, f"unusable: {entry.problem}")
    gsd = f"{card.resolution_m.min:g}-{card.resolution_m.max:g}"
    title = card.title if card.weights else f"{card.title} (no weights)"
    classes = str(sum(not c.background for c in card.classes))
    return (entry.id, card.task, classes, str(len(card.bands)), gsd, entry.origin, title)


def card_text(entry: ModelEntry) -> str:
    """Return the card of a model for people."""
    card = entry.card
    if card is None:
        return entry.problem
    r = card.resolution_m
    rows = [
        ("id", card.id),
        ("title", card.title),
        ("task", card.task),
        ("network", f"{card.builder} {card.builder_args or ''}".rstrip()),
        ("classes", ", ".join(_class_text(card))),
        ("bands", ", ".join(band.name for band in card.bands)),
        ("GSD", f"{r.nominal:g} m ({r.min:g} to {r.max:g})"),
        ("tile", f"{card.tile_px} px, overlap {card.overlap_px} px"),
        ("threshold", f"{card.score_threshold:g}"),
        ("weights", _weights_text(card)),
        ("folder", str(entry.folder)),
    ]
    rows += [("metric", _metric_text(metric)) for metric in card.metrics]
    rows += [("licence", f"{what}: {name}") for what, name in card.licenses.items()]
    text = "\n".join(f"{name:<10} {value}" for name, value in rows)
    return f"{text}\n\n{card.description}" if card.description else text


def _class_text(card: ModelCard) -> list[str]:
    return [f"{c.id} {c.name}{' (background)' if c.background else ''}" for c in card.classes]


def _metric_text(metric: Mapping[str, Any]) -> str:
    if {"name", "value", "data"} <= set(metric):
        return f"{metric['name']} {metric['value']} on {metric['data']}"
    return ", ".join(f"{name} {value}" for name, value in metric.items())


def _weights_text(card: ModelCard) -> str:
    if card.weights is None:
        return "none: train the network first"
    return f"{card.weights.file}, {card.weights.bytes / 1e6:.1f} MB"


def _check_text(result: Result) -> str:
    return "\n".join([f"{result.details['id']} is sound:", *_check_lines(result)])


def _check_lines(result: Result) -> list[str]:
    return [f"  {line}" for line in result.details["checked"]]


def _import_text(result: Result) -> str:
    return f"imported {result.details['id']} into {result.outputs['folder']}"


def _export_text(result: Result) -> str:
    return f"{result.outputs['output']} ({result.counts['bytes'] / 1e6:.1f} MB)"
