#!/usr/bin/env python3
"""Train a small network on the shipped sample and measure it on ground that it has not seen.

Run by ``make demo-train``: chips of the Banepa buildings, a quick training on the CPU (under ten
minutes), the report, the raster segmented with the new model, and the IoU on the test blocks next
to the same network untrained and to constant guesses. ``DATA=folder`` takes the larger scene
(``banepa_orthophoto_rgb.tif``, ``banepa_buildings.gpkg``) instead. Everything is written below
``demo/train/``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.windows import Window

from engine.commands.progress import progress_view
from engine.data.chip_folder import ChipFolder
from engine.evaluate.confusion import ConfusionMatrix
from engine.models.load import build_network
from engine.protocol import Event, Log, Metrics, Progress, Result
from engine.runner import run_named
from engine.train.publish import publish_model
from engine.zoo.card import read_card

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "demo" / "train"
NETWORK = "unet"
OPTIONS = (
    "options.encoder=mobilenet_v2",
    "options.decoder_channels=[128, 96, 64, 32, 16]",
    "validate_epochs=5",
)
NAMES = ("background", "building")
TILE_PX, BATCH = 256, 8
WIDE_MARGIN = 0.15
UNTRAINED_SEED = 1


class DemoError(Exception):
    """A step of the demo failed; the message is for people."""


class Console:
    """Shows the events of a job on stderr."""

    def __init__(self) -> None:
        self.view = progress_view()

    def report(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, Progress):
            self.view.update(event)
        elif isinstance(event, Log):
            self.view.line(event.message)
        elif isinstance(event, Metrics) and event.series == "val":
            value = event.values.get("iou_mean", float("nan"))
            self.view.line(f"step {event.step}: validation IoU {value:.3f}")

    def run(self, name: str, **fields: Any) -> Result:
        """Run a job.

        Raises:
            DemoError: If it did not end well.
        """
        final = run_named(name, fields, self.report, lambda: False)
        self.view.close()
        if not isinstance(final, Result):
            raise DemoError(f"{name}: {final}")
        return final


def sample(data: Path | None) -> tuple[Path, Path]:
    """Return raster and labels: the shipped sample, or the scene of a folder."""
    if data is None:
        folder = ROOT / "resources" / "samples"
        return folder / "banepa.tif", folder / "banepa_buildings.gpkg"
    return data / "banepa_orthophoto_rgb.tif", data / "banepa_buildings.gpkg"


def untrained_model(trained: Path, folder: Path) -> Path:
    """Write the same network with random weights as a model."""
    card = replace(read_card(trained), id="untrained", weights=None)
    torch.manual_seed(UNTRAINED_SEED)
    publish_model(folder, build_network(card).state_dict(), card)
    return folder


def segment(console: Console, raster: Path, model: Path) -> Path:
    """Segment the raster; return the class raster."""
    classes = OUTPUT / f"{model.name}_classes.tif"
    console.run(
        "segment",
        raster=str(raster),
        model=str(model),
        output=str(OUTPUT / f"{model.name}.gpkg"),
        class_raster=str(classes),
        overwrite=True,
    )
    return classes


def measure(chips: ChipFolder, classes: Path | int) -> dict[str, Any]:
    """Return the figures of a class raster, or of a constant class, on the test chips."""
    matrix = ConfusionMatrix(len(NAMES))
    for chip in chips.chips("test"):
        truth = chips.read_mask(chip)
        matrix.add(truth, _predicted(classes, chip.row_off, chip.col_off, truth.shape))
    return matrix.metrics(NAMES)


def _predicted(
    classes: Path | int, row: int, col: int, shape: tuple[int, ...]
) -> NDArray[np.uint8]:
    if isinstance(classes, int):
        return np.full(shape, classes, np.uint8)
    with rasterio.open(classes) as dataset:
        found: NDArray[np.uint8] = dataset.read(1, window=Window(col, row, shape[1], shape[0]))
    return found


def row(name: str, metrics: dict[str, Any]) -> str:
    """Return one line of the table."""
    building = metrics["classes"][1]["iou"] or 0.0
    return f"{name:<28} building IoU {building:.3f}   mean IoU {metrics['miou']:.3f}"


def main() -> int:
    """Make chips, train, segment, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the larger scene")
    parser.add_argument("--minutes", type=float, default=6.0, help="longest training")
    parser.add_argument("--epochs", type=int, default=80)
    arguments = parser.parse_args()
    raster, labels = sample(arguments.data)
    console, begin = Console(), time.monotonic()
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    console.run(
        "chips",
        output=str(OUTPUT / "chips"),
        rasters=[str(raster)],
        labels=str(labels),
        class_name="building",
        tile_px=TILE_PX,
        split=[60.0, 15.0, 25.0],
        seed=2,
    )
    result = console.run(
        "train",
        chips=str(OUTPUT / "chips"),
        output=str(OUTPUT / "buildings"),
        network=NETWORK,
        options=list(OPTIONS),
        preset="quick",
        epochs=arguments.epochs,
        batch=BATCH,
        max_minutes=arguments.minutes,
        data_license="imagery CC-BY-4.0 (OpenAerialMap, HOT); labels ODbL-1.0 (OpenStreetMap)",
        title="Buildings of the sample (demo)",
    )
    minutes = (time.monotonic() - begin) / 60
    chips = ChipFolder.open(OUTPUT / "chips")
    trained = measure(chips, segment(console, raster, OUTPUT / "buildings"))
    raw_model = untrained_model(OUTPUT / "buildings", OUTPUT / "untrained")
    raw = measure(chips, segment(console, raster, raw_model))
    guesses = [measure(chips, guess) for guess in range(len(NAMES))]
    print(f"\n{len(chips.chips('test'))} test chips of ground that the training has not seen:")
    print(row("trained", trained))
    print(row("same network, untrained", raw))
    print(row("everywhere building", guesses[1]))
    print(row("nowhere building", guesses[0]))
    print(f"\nchips and training: {minutes:.1f} minutes; report: {result.outputs['report']}")
    best_other = max(m["classes"][1]["iou"] or 0.0 for m in (raw, *guesses))
    margin = (trained["classes"][1]["iou"] or 0.0) - best_other
    if margin < WIDE_MARGIN:
        print(f"the trained network is only {margin:.3f} better", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DemoError as error:
        sys.exit(f"demo-train: {error}")
