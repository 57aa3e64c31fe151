"""``rs-segment train`` and ``rs-segment pretrain``: from chips to a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..protocol import Cancelled, Result
from .console import Console, exit_code
from .progress import duration_text


@click.command(short_help="Train a network on chips and publish it as a model.")
@click.option("--chips", metavar="DIR", help="Folder that 'rs-segment chips' made.")
@click.option("--dataset", metavar="NAME", help="A published data set, cut into chips first.")
@click.option("--root", metavar="DIR", help="Folder of --dataset.")
@click.option("--network", metavar="NAME", help="One of 'rs-segment models networks'.")
@click.option("--output", required=True, metavar="DIR", help="Model folder to make.")
@click.option("--init", metavar="MODEL|FILE", help="Model to tune, or backbone weights.")
@click.option("--preset", metavar="quick|balanced|best", help="Instead of the published recipe.")
@click.option("--config", metavar="FILE", help="JSON file of recipe values.")
@click.option("--set", "options", multiple=True, metavar="NAME=VALUE", help="One recipe value.")
@click.option("--epochs", type=int, metavar="N", help="Passes over the training chips.")
@click.option("--batch", type=int, metavar="N", help="Chips per step and device.")
@click.option("--lr", type=float, metavar="X", help="Learning rate.")
@click.option("--seed", type=int, metavar="N", help="Seed of everything random.")
@click.option("--devices", type=int, metavar="N", help="Processes on each machine.")
@click.option("--nodes", type=int, metavar="N", help="Machines; start with torchrun.")
@click.option("--device", metavar="auto|cpu|cuda", help="Where to train.")
@click.option("--precision", metavar="auto|fp32|bf16", help="Precision of the network.")
@click.option("--workers", type=int, metavar="N", help="Processes that read chips.")
@click.option("--max-minutes", type=float, metavar="MIN", help="End after so long.")
@click.option("--model-id", metavar="ID", help="Id of the model; the folder's name.")
@click.option("--title", metavar="TEXT", help="Title of the model.")
@click.option("--weights-license", metavar="TEXT", help="Licence of the weights.")
@click.option("--data-license", metavar="TEXT", help="Licence of the data.")
@click.option("--resume", is_flag=True, default=None, help="Continue an interrupted training.")
@click.option("--finish", is_flag=True, default=None, help="Publish the best weights so far.")
@click.option("--overwrite", is_flag=True, default=None, help="Replace an existing output.")
@click.option("--json", "as_json", is_flag=True, help="Write the result as JSON to stdout.")
def train(as_json: bool, **options: Any) -> int:
    """Train a network on chips and publish it as a model folder.

    The work folder OUTPUT.training holds checkpoints, curves and TensorBoard events. Ctrl-C
    writes a checkpoint; --resume goes on from it, --resume --finish publishes what is there.
    """
    record = _record(options, ("chips", "root", "output", "init", "config"))
    console = Console(as_json=as_json)
    final = console.run("train", record, train_text)
    if isinstance(final, Cancelled):
        console.note(
            "Stopped. Add --resume to go on, or --resume --finish to publish the best weights."
        )
    return exit_code(final)


@click.command(short_help="Learn backbone weights from images without labels.")
@click.option("--images", required=True, metavar="DIR|RASTER", help="Images, or a raster.")
@click.option("--network", required=True, metavar="NAME", help="Network whose backbone learns.")
@click.option("--output", required=True, metavar="OUT.safetensors", help="Weights to write.")
@click.option("--method", metavar="moco_v2", help="Method.")
@click.option("--config", metavar="FILE", help="JSON file of recipe values.")
@click.option("--set", "options", multiple=True, metavar="NAME=VALUE", help="One recipe value.")
@click.option("--tile", "tile_px", type=int, metavar="N", help="Side of an image crop.")
@click.option("--epochs", type=int, metavar="N", help="Passes over the images.")
@click.option("--batch", type=int, metavar="N", help="Images per step.")
@click.option("--lr", type=float, metavar="X", help="Learning rate.")
@click.option("--queue", type=int, metavar="N", help="Keys in the dictionary.")
@click.option("--seed", type=int, metavar="N", help="Seed.")
@click.option("--device", metavar="auto|cpu|cuda", help="Where to train.")
@click.option("--max-minutes", type=float, metavar="MIN", help="End after so long.")
@click.option("--resume", is_flag=True, default=None, help="Continue an interrupted run.")
@click.option("--overwrite", is_flag=True, default=None, help="Replace an existing output.")
@click.option("--json", "as_json", is_flag=True, help="Write the result as JSON to stdout.")
def pretrain(as_json: bool, **options: Any) -> int:
    """Learn backbone weights from images without labels, for 'train --init'."""
    record = _record(options, ("images", "output", "config"))
    console = Console(as_json=as_json)
    final = console.run("pretrain", record, pretrain_text)
    if isinstance(final, Cancelled):
        console.note("Stopped. Add --resume to go on.")
    return exit_code(final)


def _record(options: dict[str, Any], paths: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of a job: what was given, existing and new local paths made absolute."""
    record = {k: v for k, v in options.items() if v is not None and v != ()}
    for name in paths:
        if name in record and (name == "output" or Path(record[name]).expanduser().exists()):
            record[name] = str(Path(record[name]).expanduser().absolute())
    return record


def train_text(result: Result) -> str:
    """Return a finished training for people."""
    details = result.details
    best = details.get("best", {})
    lines = [
        result.outputs.get("model", ""),
        f"  {result.counts.get('steps', 0)} steps in {duration_text(result.seconds)}"
        f" ({details.get('ended') or 'stopped'})",
    ]
    if best.get("value") is not None:
        lines.append(f"  best validation {best['value']:.4f} at step {best['step']}")
    for split, values in details.get("metrics", {}).items():
        lines += [f"  {split}: {name} {value:.4f}" for name, value in values.items()]
    lines += [f"  {n}: {p}" for n, p in sorted(result.outputs.items()) if n != "model"]
    return "\n".join(lines)


def pretrain_text(result: Result) -> str:
    """Return a finished pre-training for people."""
    loss = result.details.get("loss")
    return "\n".join(
        [
            result.outputs.get("weights", ""),
            f"  {result.counts.get('steps', 0)} steps in {duration_text(result.seconds)}",
            *([f"  loss {loss:.4f}"] if loss is not None else []),
        ]
    )
