"""Objects from drawn polygons to found ones on the command line: a network that learns discs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine

from tests.factories import make_raster

ROOT = Path(__file__).resolve().parents[2]
PLACE = Affine(0.5, 0.0, 330_000.0, 0.0, -0.5, 3_060_000.0)
HEIGHT, WIDTH, STEP = 331, 287, 47
RECIPE = (
    "options.backbone=resnet18",
    "options.width=64",
    "options.hidden=128",
    "options.rois_per_image=32",
    "options.proposals=[64, 32]",
    "optimizer.lr=0.002",
    "crop_px=0",
    "repeat=4",
    "ema_decay=0",
    "augment.scale_min=1",
    "augment.scale_max=1",
    "score_threshold=0.5",
)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def discs() -> list[tuple[float, float, float]]:
    """Return row, column and radius of discs on a loose grid, in pixels."""
    rng = np.random.default_rng(11)
    places = [(r, c) for r in range(25, HEIGHT - 20, STEP) for c in range(25, WIDTH - 20, STEP)]
    return [
        (r + rng.uniform(-3, 3), c + rng.uniform(-3, 3), rng.uniform(10, 17)) for r, c in places
    ]


def write_scene(folder: Path) -> tuple[Path, Path]:
    """Write discs on noisy ground, and their outlines as labels."""
    rng = np.random.default_rng(12)
    pixels = rng.normal(70, 15, (3, HEIGHT, WIDTH))
    rows, cols = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    outlines = []
    for row, col, radius in discs():
        inside = (rows - row) ** 2 + (cols - col) ** 2 < radius**2
        pixels[:, inside] += rng.uniform(70, 130, (3, 1))
        outlines.append(shapely.Point(PLACE @ (col, row)).buffer(radius * 0.5))
    image = np.clip(pixels, 0, 255).astype(np.uint8)
    raster = make_raster(folder / "scene.tif", image, transform=PLACE)
    labels = folder / "discs.gpkg"
    pyogrio.raw.write(
        labels, shapely.to_wkb(np.array(outlines)), [], [], geometry_type="Polygon",
        crs="EPSG:32645", driver="GPKG", layer="discs",
    )  # fmt: skip
    return raster, labels


def command(name: str, *arguments: object) -> dict[str, Any]:
    """Run a command of the command line; returns its result event."""
    done = subprocess.run(
        [sys.executable, "-m", "engine", name, *map(str, arguments), "--json"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def test_discs_are_drawn_learnt_and_found(tmp_path: Path) -> None:
    raster, labels = write_scene(tmp_path)
    chips, model, found = tmp_path / "chips", tmp_path / "discs", tmp_path / "found.gpkg"
    cut = command(
        "chips", "--raster", raster, "--labels", labels, "--class-name", "disc",
        "--tile", 96, "--split", "70,10,20", "--output", chips,
    )  # fmt: skip
    assert cut["counts"]["instances"] >= len(discs())
    options = [word for option in RECIPE for word in ("--set", option)]
    trained = command(
        "train", "--chips", chips, "--network", "mask_rcnn", "--preset", "quick", "--epochs", 8,
        "--batch", 2, "--device", "cpu", *options, "--output", model,
    )  # fmt: skip
    assert trained["details"]["card"]["task"] == "instance"
    run = command("segment", raster, "--model", model, "--device", "cpu", "--output", found)
    made = pyogrio.read_info(found, layer="instances")["features"]
    assert run["counts"]["features"] == made > 0
    same = command("compare", "--predicted", found, "--truth", labels)["details"]
    assert same["objects"]["f1"] > 0.85, same["objects"]
    assert same["ground"]["iou"] > 0.75, same["ground"]["iou"]
    columns = ["area_m2"]
    areas = pyogrio.raw.read(found, layer="instances", columns=columns, read_geometry=False)[3][0]
    assert 78 < float(np.median(areas)) < 227  # radii of 10 to 17 pixels of 0.25 m²
