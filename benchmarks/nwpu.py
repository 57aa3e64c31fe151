"""Instance networks on NWPU VHR-10, all trained the same way.

    python benchmarks/nwpu.py prepare --data NWPU_FOLDER --output FOLDER [--scale 0.5]
    python benchmarks/nwpu.py train --output FOLDER --network hq_isnet_w18 [--init HRNET]
    python benchmarks/nwpu.py train --output FOLDER --network hq_isnet --init MOBILENETV2
    python benchmarks/nwpu.py table --output FOLDER [--picture CURVES.png]

``prepare`` writes the data set at a part of its resolution and cuts it into chips with a fixed
split (images with five consecutive numbers stay together; seed 0). ``train`` runs ``rs-segment
train`` with ``FOLDER/recipe.json``; called again it goes on where it was stopped, also after
``--minutes``, and once it is done it says so. ``--init`` takes weights of the backbone:
``scripts/distill_backbone.py`` makes them for ResNet-50 and HRNet. The names without a backbone
are narrow heads on MobileNetV2 (``scripts/make_mobilenetv2_backbone.py``), which learn most in
minutes on a CPU. ``table`` reads the published models and prints their figures on the test chips.

At full resolution and with the published recipes, on a GPU::

    rs-segment train --dataset nwpu_vhr10 --root NWPU_FOLDER --network hq_isnet_w18 --output MODEL

Nothing of the images is kept in the table or in the picture.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

matplotlib.use("Agg")

ROOT = Path(__file__).resolve().parent.parent
NETWORKS = ("hq_isnet_w18", "facenet_r50", "mask_rcnn_r50", "solov2_r50")
SMALL_NETWORKS = ("hq_isnet", "facenet", "mask_rcnn", "solov2")
SPLIT = "81,2,17"
SEED = 0
RECIPE: dict[str, Any] = {
    "epochs": 1,
    "steps": 0,
    "batch": 1,
    "crop_px": 256,
    "clip_norm": 35.0,
    "freeze_norm_from": 0.5,
    "log_steps": 10,
    "checkpoint_steps": 20,
    "score_threshold": 0.3,
    "optimizer": {"name": "adamw", "lr": 2e-4, "weight_decay": 0.01},
    "schedule": {
        "name": "cosine",
        "warmup_steps": 40,
        "warmup_epochs": 0,
        "warmup_ratio": 0.0,
        "floor": 0.02,
    },
    "augment": {"hflip": 0.5, "vflip": 0.5, "rotate90": 0.75},
}
# Cells and scales of objects for images of less than 500 pixels instead of 800 and more.
SOLO_OPTIONS = (
    "options.grids=[20,18,12,8,6]",
    "options.scale_ranges_px=[[1,48],[24,96],[48,192],[96,384],[192,2048]]",
)
RCNN_OPTIONS = (
    "options.resize_px=[]",
    "options.rois_per_image=64",
    "options.proposals=[1000,500]",
)
# On a backbone that has learnt, whose normalisations stay as they are.
INIT_OPTIONS = ("freeze_norm_from=0", "optimizer.lr=0.0003")
# The small networks: narrow, on weights from ImageNet.
SMALL_OPTIONS = ("options.backbone=mobilenetv2_100", "optimizer.backbone_ratio=0.3")
SMALL_SOLO_OPTIONS = (
    "options.neck_width=128",
    "options.tower_width=128",
    "options.feature_width=64",
    "options.kernel_width=128",
)
SMALL_RCNN_OPTIONS = ("options.width=128", "options.hidden=512")
FIGURES = ("AP", "AP50", "AP75", "APS", "APM", "APL")


def shrink(data: Path, target: Path, scale: float) -> None:
    """Write images and COCO annotations at ``scale`` of their size."""
    record = json.loads((data / "annotations.json").read_text(encoding="utf-8"))
    (target / "images").mkdir(parents=True, exist_ok=True)
    for info in record["images"]:
        side = tuple(max(1, round(info[key] * scale)) for key in ("width", "height"))
        with Image.open(data / "images" / info["file_name"]) as opened:
            smaller = opened.convert("RGB").resize(side, Image.Resampling.BOX)
        smaller.save(target / "images" / info["file_name"], quality=95, subsampling=0)
        info["width"], info["height"] = side
    for annotation in record["annotations"]:
        annotation["segmentation"] = [
            [value * scale for value in ring] for ring in annotation["segmentation"]
        ]
        annotation["bbox"] = [value * scale for value in annotation["bbox"]]
        annotation["area"] *= scale**2
    (target / "annotations.json").write_text(json.dumps(record), encoding="utf-8")


def engine(arguments: Sequence[str], minutes: float = 0.0) -> int:
    """Run a command of ``rs-segment``, interrupted after ``minutes``; return its exit code."""
    command = [sys.executable, "-m", "engine", *arguments]
    print("rs-segment", *arguments, flush=True)
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        return process.wait(timeout=minutes * 60 if minutes else None)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        return process.wait()


def prepare(arguments: argparse.Namespace) -> int:
    """Write the smaller data set, its chips and the recipe."""
    folder: Path = arguments.output
    data = arguments.data or Path(os.environ.get("RS_SEGMENT_DATA", "")) / "nwpu_vhr10"
    if not (data / "annotations.json").is_file():
        print("name the folder of NWPU VHR-10 with --data or RS_SEGMENT_DATA", file=sys.stderr)
        return 2
    shrink(data, folder / "data", arguments.scale)
    recipe = {**RECIPE, "epochs": arguments.epochs}
    (folder / "recipe.json").write_text(json.dumps(recipe, indent=2), encoding="utf-8")
    command = ["chips", "--dataset", "nwpu_vhr10", "--root", str(folder / "data"), "--overwrite"]
    command += ["--split", SPLIT, "--seed", str(SEED), "--output", str(folder / "chips")]
    return engine(command)


def train(arguments: argparse.Namespace) -> int:
    """Train one network, or go on with it; 0 once its model is there."""
    folder: Path = arguments.output
    model = folder / arguments.network
    if (model / "card.json").is_file():
        print(f"{model} is done")
        return 0
    one_stage = arguments.network.startswith(("solo", "facenet"))
    options = [*(SOLO_OPTIONS if one_stage else RCNN_OPTIONS)]
    if arguments.init:
        options += INIT_OPTIONS
    if arguments.network in SMALL_NETWORKS:
        options += [*SMALL_OPTIONS, *(SMALL_SOLO_OPTIONS if one_stage else SMALL_RCNN_OPTIONS)]
    options += arguments.set
    command = ["train", "--chips", str(folder / "chips"), "--network", arguments.network]
    command += ["--config", str(folder / "recipe.json"), "--seed", str(SEED)]
    command += ["--precision", arguments.precision, "--workers", "0", "--output", str(model)]
    command += [part for option in options for part in ("--set", option)]
    if arguments.init:
        command += ["--init", str(arguments.init)]
    if model.with_name(f"{model.name}.training").is_dir():
        command.append("--resume")
    code = engine(command, arguments.minutes)
    add_core_minutes(model.with_name(f"{model.name}.minutes.json"))
    return code


def add_core_minutes(path: Path) -> None:
    """Add the processor time of the finished training process to that of those before it."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else 0.0
    path.write_text(json.dumps(before + (usage.ru_utime + usage.ru_stime) / 60), encoding="utf-8")


def table(arguments: argparse.Namespace) -> int:
    """Print the figures of the finished models and draw their curves."""
    rows, curves = [], {}
    for network in (*NETWORKS, *SMALL_NETWORKS):
        folder = arguments.output / network
        if not (folder / "metrics.json").is_file():
            continue
        found = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["test"]
        spent = json.loads(folder.with_name(f"{network}.minutes.json").read_text(encoding="utf-8"))
        rows.append((network, found, float(spent)))
        curves[network] = read_curve(folder / "curves.csv")
    print("| network | steps | core-minutes | " + " | ".join(FIGURES) + " | box AP50 |")
    print("| --- | ---: | ---: |" + " ---: |" * (len(FIGURES) + 1))
    for network, found, minutes in rows:
        masks = [f"{100 * (found['mask'][key] or 0.0):.1f}" for key in FIGURES]
        boxes = f"{100 * (found['box']['AP50'] or 0.0):.1f}"
        steps = curves[network][-1][0] if curves[network] else 0
        print(f"| `{network}` | {steps} | {minutes:.1f} | " + " | ".join([*masks, boxes]) + " |")
    print_classes([(network, found) for network, found, _ in rows])
    if arguments.picture:
        draw_curves(arguments.picture, curves)
    return 0 if rows else 1


def print_classes(rows: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Print the mask AP50 of each class, a column per network."""
    print("\n| class | truth | " + " | ".join(network for network, _ in rows) + " |")
    print("| --- | ---: |" + " ---: |" * len(rows))
    for number, entry in enumerate(rows[0][1]["classes"] if rows else []):
        values = [100 * (found["classes"][number]["mask"]["AP50"] or 0.0) for _, found in rows]
        cells = " | ".join(f"{value:.1f}" for value in values)
        print(f"| {entry['name']} | {entry['truth']} | {cells} |")


def read_curve(path: Path) -> list[tuple[int, float]]:
    """Return steps and losses of a training."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line.get("series") == "train"]
    return [(int(line["step"]), float(line["loss"])) for line in lines if line.get("loss")]


def draw_curves(path: Path, curves: dict[str, list[tuple[int, float]]]) -> None:
    """Write the losses over the steps, each relative to its first point."""
    figure = Figure(figsize=(7.0, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for network, points in curves.items():
        axes.plot([p[0] for p in points], [p[1] / points[0][1] for p in points], label=network)
    axes.set(xlabel="steps", ylabel="loss / first loss", ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def parse_arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    for name, action in (("prepare", prepare), ("train", train), ("table", table)):
        command = commands.add_parser(name, help=action.__doc__)
        command.set_defaults(action=action)
        command.add_argument("--output", type=Path, required=True, help="folder of everything")
        if name == "prepare":
            command.add_argument("--data", type=Path, help="NWPU VHR-10; else RS_SEGMENT_DATA")
            command.add_argument("--scale", type=float, default=0.5, help="part of the resolution")
            command.add_argument("--epochs", type=int, default=RECIPE["epochs"])
        elif name == "train":
            command.add_argument("--network", required=True, help=f"e.g. {', '.join(NETWORKS)}")
            command.add_argument("--init", type=Path, help="weights of the backbone")
            command.add_argument("--minutes", type=float, default=0.0, help="stop after so long")
            command.add_argument("--precision", default="bf16", choices=("bf16", "fp32"))
            command.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
        else:
            command.add_argument("--picture", type=Path, help="PNG of the loss curves")
    return parser.parse_args()


def main() -> int:
    """Run one of the three commands."""
    arguments = parse_arguments()
    arguments.output = arguments.output.expanduser().absolute()
    return int(arguments.action(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
