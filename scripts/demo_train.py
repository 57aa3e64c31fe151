#!/usr/bin/env python3
"""Train a small network on the shipped sample and measure it on ground that it has not seen.

Run by ``make demo-train``: chips of the Banepa buildings, a quick training on the CPU (under ten
minutes), the report, the raster segmented with the new model, and the IoU on the test blocks next
to the same network untrained and to constant guesses. ``DATA=folder`` takes the larger scene
(``banepa_orthophoto_rgb.tif``, ``banepa_buildings.gpkg``) instead. ``DOOR=qgis`` goes the same way
through ``qgis_process`` (``rssegment:makechips``, ``train``, ``segment``, ``evaluate``,
``compare``), and checks that the engine alone finds the same features. Everything is written
below ``demo/train/``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import rasterio
import shapely
import torch
from compare_doors import rows
from numpy.typing import NDArray
from rasterio.windows import Window
from training_doors import Door, QgisDoor, ShellDoor

from demo import DemoError
from engine.data.chip_folder import ChipFolder
from engine.evaluate.confusion import ConfusionMatrix
from engine.models.load import build_network
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


def segment(door: Door, raster: Path, model: Path) -> Path:
    """Segment the raster; return the class raster."""
    classes = OUTPUT / f"{model.name}_classes.tif"
    door.run(
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


def test_ground(chips: ChipFolder, raster: Path) -> Path:
    """Write the outlines of the test chips as a layer; return its file."""
    with rasterio.open(raster) as dataset:
        transform, crs = dataset.transform, dataset.crs.to_wkt()
    outlines = []
    for chip in chips.chips("test"):
        left, top = chip.col_off, chip.row_off
        box = shapely.box(left, top, left + chip.width_px, top + chip.height_px)
        outlines.append(shapely.transform(box, lambda x, y: transform @ (x, y), interleaved=False))
    path = OUTPUT / "test_ground.gpkg"
    pyogrio.raw.write(path, shapely.to_wkb(outlines), [], [], geometry_type="Polygon", crs=crs)
    return path


def train(door: Door, raster: Path, labels: Path, arguments: argparse.Namespace) -> str:
    """Cut chips and train; return the path of the report."""
    door.run(
        "chips",
        output=str(OUTPUT / "chips"),
        rasters=[str(raster)],
        labels=str(labels),
        class_name="building",
        tile_px=TILE_PX,
        split=[60.0, 15.0, 25.0],
        seed=2,
    )
    result = door.run(
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
    return str(result["report"])


def measure_by_jobs(door: Door, chips: ChipFolder, raster: Path, labels: Path) -> None:
    """Print what the jobs evaluate and compare say about the test ground."""
    metrics = OUTPUT / "metrics.json"
    chosen = {"model": str(OUTPUT / "buildings"), "chips": str(chips.path), "split": "test"}
    door.run("evaluate", **chosen, output=str(metrics), overwrite=True)
    by_chips = json.loads(metrics.read_text(encoding="utf-8"))
    layers = {"predicted": str(OUTPUT / "buildings.gpkg"), "truth": str(labels)}
    area = str(test_ground(chips, raster))
    door.run("compare", **layers, aoi=area, output=str(metrics), overwrite=True)
    found = json.loads(metrics.read_text(encoding="utf-8"))
    print(f"evaluate, test chips one by one: mean IoU {by_chips['miou']:.3f}")
    print(
        f"compare, polygons on the test ground: IoU {found['ground']['iou']:.3f}, "
        f"objects F1 {found['objects']['f1']:.3f}"
    )


def same_features(raster: Path) -> bool:
    """Segment with the engine alone, and return whether its features are those of the door."""
    other = OUTPUT / "shell.gpkg"
    model = str(OUTPUT / "buildings")
    ShellDoor().run("segment", raster=str(raster), model=model, output=str(other), overwrite=True)
    through, alone = rows(OUTPUT / "buildings.gpkg"), rows(other)
    equal = sum(one == two for one, two in zip(through, alone, strict=False))
    print(f"features: {len(through)} through QGIS, {len(alone)} by the engine alone, {equal} equal")
    return len(through) == len(alone) == equal > 0


def parse_arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the larger scene")
    parser.add_argument("--minutes", type=float, default=6.0, help="longest training")
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--door", choices=("shell", "qgis"), default="shell")
    parser.add_argument("--margin", type=float, default=WIDE_MARGIN, help="least gain of IoU")
    return parser.parse_args()


def main() -> int:
    """Make chips, train, segment, measure."""
    arguments = parse_arguments()
    raster, labels = sample(arguments.data)
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    door: Door = QgisDoor() if arguments.door == "qgis" else ShellDoor()
    begin = time.monotonic()
    report = train(door, raster, labels, arguments)
    minutes = (time.monotonic() - begin) / 60
    chips = ChipFolder.open(OUTPUT / "chips")
    trained = measure(chips, segment(door, raster, OUTPUT / "buildings"))
    raw_model = untrained_model(OUTPUT / "buildings", OUTPUT / "untrained")
    raw = measure(chips, segment(door, raster, raw_model))
    guesses = [measure(chips, guess) for guess in range(len(NAMES))]
    print(f"\n{len(chips.chips('test'))} test chips of ground that the training has not seen:")
    print(row("trained", trained))
    print(row("same network, untrained", raw))
    print(row("everywhere building", guesses[1]))
    print(row("nowhere building", guesses[0]))
    measure_by_jobs(door, chips, raster, labels)
    print(f"\nchips and training: {minutes:.1f} minutes; report: {report}")
    if arguments.door == "qgis" and not same_features(raster):
        print("the two doors differ", file=sys.stderr)
        return 1
    best_other = max(m["classes"][1]["iou"] or 0.0 for m in (raw, *guesses))
    margin = (trained["classes"][1]["iou"] or 0.0) - best_other
    if margin < arguments.margin:
        print(f"the trained network is only {margin:.3f} better", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DemoError as error:
        sys.exit(f"demo-train: {error}")
