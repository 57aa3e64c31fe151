"""Makes a model of single buildings from the Banepa mosaic and measures it on the shipped sample.

    python scripts/make_instances_model.py --data BANEPA_FOLDER --mobilenet NPZ --work FOLDER

The sample's ground is left out of the training. Every step is a command of ``rs-segment``: chips,
training of Mask R-CNN on MobileNetV2, segmentation of the sample, evaluation on raster and labels,
comparison of the layers. About ten minutes on one core. What is there already is not made again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pyogrio
import rasterio
import shapely

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "resources" / "samples" / "banepa.tif"
LABELS = SAMPLE.with_name("banepa_buildings.gpkg")
MODEL_ID = "buildings_instances"
RECIPE = {
    "epochs": 4,
    "steps": 0,
    "batch": 1,
    "crop_px": 256,
    "clip_norm": 35.0,
    "freeze_norm_from": 0.0,
    "checkpoint_steps": 25,
    "validate_epochs": 4,
    "score_threshold": 0.5,
    "optimizer": {"name": "adamw", "lr": 3e-4, "weight_decay": 0.01, "backbone_ratio": 0.3},
    "schedule": {
        "name": "cosine",
        "warmup_steps": 40,
        "warmup_epochs": 0,
        "warmup_ratio": 0.0,
        "floor": 0.02,
    },
    "augment": {
        "hflip": 0.5,
        "vflip": 0.5,
        "rotate90": 0.75,
        "scale_min": 0.8,
        "scale_max": 1.25,
        "brightness": 0.2,
        "contrast": 0.2,
        "saturation": 0.2,
    },
    "options": {
        "backbone": "mobilenetv2_100",
        "width": 128,
        "hidden": 512,
        "rois_per_image": 128,
        "proposals": [1000, 600],
        "resize_px": [],
    },
}


def engine(*arguments: str | Path) -> None:
    """Run a command of ``rs-segment``; ends this program if it fails."""
    print("rs-segment", *arguments, flush=True)
    run([sys.executable, "-m", "engine", *map(str, arguments)])


def run(command: Sequence[str]) -> None:
    """Run a program in the checkout."""
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def write_area(mosaic: Path, target: Path) -> None:
    """Write the ground of the mosaic without that of the sample."""
    boxes = []
    for path in (mosaic, SAMPLE):
        with rasterio.open(path) as raster:
            boxes.append(shapely.box(*raster.bounds))
            crs = raster.crs.to_wkt()
    area = shapely.to_wkb([shapely.difference(*boxes)])
    pyogrio.raw.write(target, area, [], [], geometry_type="Polygon", crs=crs, driver="GPKG")


def make_model(data: Path, mobilenet: Path, work: Path) -> Path:
    """Cut chips, make the backbone's weights and train; returns the model folder."""
    mosaic, chips = data / "banepa_orthophoto_rgb.tif", work / "chips"
    area, weights = work / "area.gpkg", work / "mobilenetv2.safetensors"
    if not (chips / "chips.json").is_file():
        area.unlink(missing_ok=True)
        write_area(mosaic, area)
        labels = data / "banepa_buildings.gpkg"
        parts = ("--class-name", "building", "--aoi", area, "--tile", "320", "--split", "88,12,0")
        engine("chips", "--raster", mosaic, "--labels", labels, *parts, "--output", chips)
    if not weights.is_file():
        script = str(ROOT / "scripts" / "make_mobilenetv2_backbone.py")
        files = ["--weights", str(mobilenet), "--chips", str(chips), "--output", str(weights)]
        run([sys.executable, script, *files])
    model = work / MODEL_ID
    if not (model / "card.json").is_file():
        (work / "recipe.json").write_text(json.dumps(RECIPE, indent=2), encoding="utf-8")
        parts = ("--network", "mask_rcnn", "--config", work / "recipe.json", "--init", weights)
        labels = ("--title", "Buildings one by one", "--workers", "0", "--resume")
        engine("train", "--chips", chips, *parts, *labels, "--output", model)
    return model


def measure(model: Path, work: Path) -> None:
    """Segment the sample, and measure on raster and labels and from layer to layer."""
    layer = work / "houses.gpkg"
    engine("segment", SAMPLE, "--model", model, "--output", layer, "--overwrite")
    files = ("--output", work / "raster.json", "--figures", work / "figures", "--overwrite")
    engine("evaluate", "--model", model, "--raster", SAMPLE, "--labels", LABELS, *files)
    files = ("--output", work / "layers.json", "--overwrite")
    engine("compare", "--predicted", layer, "--truth", LABELS, *files)


def main() -> int:
    """Make the model and measure it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the Banepa mosaic")
    parser.add_argument("--mobilenet", type=Path, required=True, help="NPZ of MobileNetV2")
    parser.add_argument("--work", type=Path, required=True, help="folder to work in")
    arguments = parser.parse_args()
    work: Path = arguments.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    model = make_model(arguments.data.absolute(), arguments.mobilenet.absolute(), work)
    measure(model, work)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
