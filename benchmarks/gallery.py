"""A picture of every semantic network's answer on held-out land cover, by the product's commands.

The six Dubai tiles, at a quarter of their resolution, become chips (``rs-segment chips``; whole
tiles go to training, validation or test); each network trains on them from random weights for
some hundred steps (``rs-segment train``), and segments an image of the test tile
(``rs-segment segment``). Image, truth and answer become one picture; a table names mean IoU and
pixel accuracy on all test chips, as the training itself measured them. Models that are there are
not trained again, interrupted ones continue.

    python benchmarks/gallery.py --data FOLDER [--networks a,b] [--steps N] [--work build/gallery]
        [--pictures docs/images/networks] [--page docs/networks/comparison.md]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from _dubai import _read_part, picture
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
START, END = "<!-- gallery: start -->", "<!-- gallery: end -->"
REDUCE = 4
ENLARGE = 2
SETTINGS = ("crop_px=128", "validate_epochs=20", "augment.scale_min=0.8", "augment.scale_max=1.25")
NETWORKS: dict[str, tuple[str, ...]] = {
    "unet": ("encoder=resnet18",),
    "fcn_hrnet": (),
    "unetformer_r18": (),
    "segformer": ("encoder=mit_b0",),
    "ocrnet": (),
    "semantic_fpn": (),
    "deeplabv3plus": ("encoder=resnet18",),
    "upernet": ("encoder=resnet18",),
    "pspnet": ("encoder=resnet18",),
    "fpn": ("encoder=resnet18",),
    "linknet": ("encoder=resnet18",),
    "manet": ("encoder=resnet18",),
    "unetplusplus": ("encoder=resnet18",),
    "factseg_r50": (),
    "hi_resnet_small": (),
    "farseg": (),
}
# Class ids of the chips to those of the pictures: land, water, building, vegetation, road.
PICTURE_IDS = {"building": 2, "land (unpaved)": 0, "road": 4, "vegetation": 3, "water": 1}


def command(*words: str) -> None:
    """Run a command of the product; end the program if it fails."""
    text = [sys.executable, "-m", "engine", *words]
    done = subprocess.run(text, cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}")


def reduce_data(data: Path, folder: Path) -> None:
    """Write the data set at ``1 / REDUCE`` of its size, masks by their nearest pixels."""
    for path in sorted(data.glob("Tile_*/*/*.*")):
        target = folder / path.relative_to(data)
        if target.is_file() or path.suffix not in (".jpg", ".png"):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            size = (image.width // REDUCE, image.height // REDUCE)
            if path.suffix == ".png":
                image.convert("RGB").resize(size, Image.Resampling.NEAREST).save(target)
            else:
                image.convert("RGB").resize(size, Image.Resampling.BOX).save(target, quality=95)


def train(name: str, chips: Path, model: Path, steps: int) -> None:
    """Train a network from random weights, or go on with it."""
    if (model / "card.json").is_file():
        return
    settings = [*SETTINGS, f"steps={steps}", *(f"options.{o}" for o in NETWORKS[name])]
    resumes = ("--resume",) if model.with_name(f"{name}.training").is_dir() else ()
    command(
        *("train", "--chips", str(chips), "--network", name, "--output", str(model)),
        *("--preset", "quick", "--batch", "4", "--workers", "0", "--device", "cpu"),
        *("--precision", "fp32", *resumes),
        *(word for setting in settings for word in ("--set", setting)),
    )


def test_image(chips: Path, data: Path) -> Path:
    """Return the image of the test tile in which the rarest class has most pixels."""
    record = json.loads((chips / "chips.json").read_text(encoding="utf-8"))
    found = [c for c in record["chips"] if c["split"] == "test"]
    totals = Counter[str]()
    for chip in found:
        totals.update(chip["class_pixels"])
    rarest = min((key for key in totals if totals[key] and key != "0"), key=lambda k: totals[k])
    best = max(found, key=lambda chip: chip["class_pixels"].get(rarest, 0))
    return data / record["sources"][best["source"]]["raster"]


def draw(name: str, image: Path, model: Path, work: Path, pictures: Path) -> None:
    """Segment the image through the product and write image, truth and answer side by side."""
    labels = work / "answers" / f"{name}.tif"
    labels.parent.mkdir(parents=True, exist_ok=True)
    # The data set has no places on the map, and a result needs one: pixels of a metre in Dubai.
    image.with_suffix(".jgw").write_text("1\n0\n0\n-1\n0.5\n-0.5\n", encoding="utf-8")
    command(
        *("segment", str(image), "--model", str(model), "--class-raster", str(labels)),
        *("--output", str(labels.with_suffix(".gpkg")), "--device", "cpu", "--overwrite"),
        *("--crs", "EPSG:32640"),
    )
    card = json.loads((model / "card.json").read_text(encoding="utf-8"))
    table = np.full(256, 255, np.uint8)
    for entry in card["classes"]:
        table[entry["id"]] = PICTURE_IDS.get(entry["name"], 255)
    with rasterio.open(labels) as file:
        found = table[file.read(1)]
    part = _read_part(image, image.parents[1] / "masks" / f"{image.stem}.png", 1)
    pictures.mkdir(parents=True, exist_ok=True)
    joined = picture(part, [part.labels, found], 300, 300)
    larger = (joined.width * ENLARGE, joined.height * ENLARGE)
    joined.resize(larger, Image.Resampling.NEAREST).save(
        pictures / f"{name}.jpg", "JPEG", quality=85, optimize=True
    )


def row(name: str, model: Path) -> str:
    """Return the line of the table of one model: scores of the test tile, steps."""
    test = json.loads((model / "metrics.json").read_text(encoding="utf-8"))["test"]
    with (model / "curves.csv").open(encoding="utf-8", newline="") as file:
        steps = max(int(line["step"]) for line in csv.DictReader(file))
    options = ", ".join(f"`{o}`" for o in NETWORKS[name])
    scores = f"{100 * test['iou_mean']:.1f} | {100 * test['pixel_accuracy']:.1f}"
    return f"| `{name}` | {options} | {steps} | {scores} |"


def write_table(page: Path, rows: Sequence[str]) -> None:
    """Put the table between the two marks of the page."""
    head = [
        "| network | options | steps | mIoU | pixel accuracy |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    before, rest = page.read_text(encoding="utf-8").split(START, 1)
    body = "\n".join([*head, *rows])
    page.write_text(f"{before}{START}\n{body}\n{END}{rest.split(END, 1)[1]}", encoding="utf-8")


def main() -> int:
    """Train, draw and write what is asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    given = os.environ.get("RS_SEGMENT_DATA", "")
    data = Path(given) / "dubai_landcover" if given else None
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "gallery")
    parser.add_argument("--pictures", type=Path, help="draw into this folder")
    parser.add_argument("--page", type=Path, help="put the table into this page")
    options = parser.parse_args()
    if options.data is None:
        parser.error("give --data, or set RS_SEGMENT_DATA")
    work = options.work.absolute()
    small, chips = work / "data", work / "chips"
    reduce_data(options.data, small)
    if not (chips / "chips.json").is_file():
        command(
            *("chips", "--dataset", "dubai", "--root", str(small), "--output", str(chips)),
            *("--tile", "192", "--overlap", "0", "--split", "66,17,17"),
        )
    rows = []
    for name in options.networks.split(","):
        model = work / "models" / name
        train(name, chips, model, options.steps)
        if options.pictures:
            draw(name, test_image(chips, small), model, work, options.pictures)
        rows.append(row(name, model))
        print(rows[-1], flush=True)
    if options.page:
        write_table(options.page, rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
