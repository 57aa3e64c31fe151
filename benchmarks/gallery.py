"""A picture of every semantic network's answer on held-out land cover, by the product's commands.

The six Dubai tiles, at a quarter of their resolution, become chips (``rs-segment chips``; whole
tiles go to training, validation or test); each network trains on them from random weights for
some hundred steps (``rs-segment train``), and segments an image of the test tile
(``rs-segment segment``). Image, truth and answer become one picture; a table names mean IoU and
pixel accuracy on all test chips, as the training itself measured them, and so does the line below
the picture on the network's page. Models that are there are not trained again, interrupted ones
continue.

    python benchmarks/gallery.py --data FOLDER [--networks a,b|ready] [--steps N]
        [--work build/gallery] [--pictures docs/images/networks] [--pages docs/networks]
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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from _dubai import _read_part, picture
from _network_costs import put_between
from PIL import Image

from engine.zoo.networks import network_info

ROOT = Path(__file__).resolve().parent.parent
TABLE_PAGE = "comparison.md"
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
    "pan": ("encoder=resnet18",),
    "deeplabv3": ("encoder=resnet18",),
    "fcn": ("encoder=resnet18",),
    "dpt": (
        "encoder=tu-vit_tiny_patch16_224",
        "decoder_intermediate_channels=[48,96,192,192]",
        "decoder_fusion_channels=64",
    ),
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


@dataclass(frozen=True)
class Score:
    """What a network of the gallery reached on the test tile, in percent."""

    name: str
    steps: int
    miou: float
    accuracy: float

    @property
    def options(self) -> str:
        """The options of the network, as code."""
        return ", ".join(f"`{option}`" for option in NETWORKS[self.name])


def score(name: str, model: Path) -> Score:
    """Return what a model reached, as its training wrote it."""
    test = json.loads((model / "metrics.json").read_text(encoding="utf-8"))["test"]
    with (model / "curves.csv").open(encoding="utf-8", newline="") as file:
        steps = max(int(line["step"]) for line in csv.DictReader(file))
    return Score(name, steps, 100 * test["iou_mean"], 100 * test["pixel_accuracy"])


def table(scores: Sequence[Score]) -> list[str]:
    """Return the lines of the table."""
    head = [
        "| network | options | steps | mIoU | pixel accuracy |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    return head + [
        f"| `{s.name}` | {s.options} | {s.steps} | {s.miou:.1f} | {s.accuracy:.1f} |"
        for s in scores
    ]


def caption(found: Score) -> list[str]:
    """Return the picture of a network and the line below it."""
    info = network_info(found.name)
    title = info.family if info else found.name
    options = f" with {found.options}" if found.options else ""
    return [
        f"![Image, truth, {title}](../images/networks/{found.name}.jpg)",
        "",
        f"*Image, truth, answer on ground that training has not seen: `{found.name}`{options},",
        f"{found.steps} steps from random weights, mIoU {found.miou:.1f}, "
        f"pixel accuracy {found.accuracy:.1f} on the test tile",
        f"([how, data, colours]({TABLE_PAGE}#pictures)).*",
    ]


def write_pages(folder: Path, scores: Sequence[Score]) -> None:
    """Put the table into its page, and each picture into the page of its network."""
    put_between(folder / TABLE_PAGE, "gallery", table(scores))
    for found in scores:
        info = network_info(found.name)
        page = folder / f"{info.page if info else found.name}.md"
        if "<!-- picture: start -->" in page.read_text(encoding="utf-8"):
            put_between(page, "picture", caption(found))


def main() -> int:
    """Train, draw and write what is asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    given = os.environ.get("RS_SEGMENT_DATA", "")
    data = Path(given) / "dubai_landcover" if given else None
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--networks", default=",".join(NETWORKS), help="ready: those with a model")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "gallery")
    parser.add_argument("--pictures", type=Path, help="draw into this folder")
    parser.add_argument("--pages", type=Path, help="put figures into the pages of this folder")
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
    scores = []
    models = work / "models"
    ready = ",".join(name for name in NETWORKS if (models / name / "card.json").is_file())
    for name in (ready if options.networks == "ready" else options.networks).split(","):
        model = models / name
        train(name, chips, model, options.steps)
        if options.pictures:
            draw(name, test_image(chips, small), model, work, options.pictures)
        scores.append(score(name, model))
        print(table(scores)[-1], flush=True)
    if options.pages:
        write_pages(options.pages, scores)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
