"""A whole run with a real network: what is spent beside the network's calls, and in them.

A raster of smooth classes goes through U-Net on ResNet-18 with random weights, to a class raster
and a GeoPackage, and the same number of tiles goes through the network alone. Both take turns;
the least time of the rounds counts. ``wall_model`` is the time of the whole run by that inside
the network's calls, ``model_pure`` the time inside the calls by that of the network alone: how
much reading, merging and writing cost beside it, and how much they slow it down.

    python benchmarks/end_to_end.py [--size N] [--rounds N] [--precision bf16|mixed|fp32]
                                    [--device cpu|cuda] [--batch N]

Random weights draw more polygons than trained ones (``polygons``), which is the hard case. A batch
of 0 is the choice of the engine for the run, and 1 for the network alone.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from pipeline import NetworkClock, write_raster

from engine.jobs import SegmentJob
from engine.models import create_model
from engine.pipelines.segment import run_segment
from engine.predict.backend import Backend, set_cpu_threads
from engine.predict.plan import plan_tiles
from engine.predict.semantic import SemanticPredictor, warm_network
from engine.zoo.registry import find_model
from tests.factories_models import write_network_model

TILE_PX, OVERLAP_PX, CLASSES = 512, 64, 5
OPTIONS: dict[str, Any] = {"encoder": "resnet18"}


def write_model(folder: Path) -> None:
    """Write U-Net on ResNet-18 with random weights as a model for three bands."""
    torch.manual_seed(5)
    network = create_model("unet", num_classes=CLASSES, **OPTIONS).eval()
    write_network_model(folder, network, "unet", OPTIONS, classes=CLASSES, bands=3, tile_px=TILE_PX)


def run_engine(folder: Path, backend: Backend) -> int:
    """Run the engine's job; returns the number of polygons."""
    job = SegmentJob(
        raster=str(folder / "scene.tif"),
        model=str(folder / "unet"),
        output=str(folder / "out.gpkg"),
        class_raster=str(folder / "out.tif"),
        device=backend.device,
        precision=backend.precision,
        batch=backend.batch,
        backend="torch",
        tile_px=TILE_PX,
        overlap_px=OVERLAP_PX,
        overwrite=True,
    )
    return run_segment(job, lambda event: None, lambda: False).counts["features"]


def pure_s(predictor: SemanticPredictor, backend: Backend, tiles: int) -> float:
    """Return the seconds of the network alone for some tiles."""
    shape = (backend.batch or 1, TILE_PX, TILE_PX, 3)
    tile = torch.zeros(shape, device=backend.device).permute(0, 3, 1, 2)
    with torch.inference_mode():
        forward = predictor._forward(tile)
        forward(tile)
        start = time.perf_counter()
        for _ in range(0, tiles, len(tile)):
            found = forward(tile)
        found[:1, :1, :1, :1].cpu()  # a GPU answers when all of it is done
        return time.perf_counter() - start


def measure(folder: Path, size_px: int, rounds: int, backend: Backend) -> dict[str, Any]:
    """Return the record that is printed."""
    write_raster(folder / "scene.tif", size_px)
    write_model(folder / "unet")
    plan = plan_tiles(
        (size_px, size_px), tile_px=TILE_PX, overlap_px=OVERLAP_PX, stride=32, column_bytes=1
    )
    cores = set_cpu_threads()
    predictor = SemanticPredictor(warm_network(find_model(str(folder / "unet")), backend), backend)
    pure_s(predictor, backend, 2)
    best = {"wall": math.inf, "model": math.inf, "pure": math.inf, "beside": math.inf}
    polygons = 0
    for _ in range(rounds):
        with NetworkClock() as clock:
            start = time.perf_counter()
            polygons = run_engine(folder, backend)
            wall = time.perf_counter() - start
        best["wall"], best["model"] = min(best["wall"], wall), min(best["model"], clock.seconds)
        best["beside"] = min(best["beside"], wall / clock.seconds)
        best["pure"] = min(best["pure"], pure_s(predictor, backend, plan.tiles))
    return {
        "cores": cores,
        "device": backend.device,
        "precision": backend.precision,
        "tiles": plan.tiles,
        "polygons": polygons,
        "ms_tile": round(best["pure"] / plan.tiles * 1e3, 1),
        "wall_model": round(best["beside"], 3),
        "model_pure": round(best["model"] / best["pure"], 3),
        "wall_pure": round(best["wall"] / best["pure"], 3),
        "beside_ns_px": round((best["wall"] - best["model"]) / size_px**2 * 1e9, 1),
    }


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=3072)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=("bf16", "mixed", "fp32"), default="bf16")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, default=0)
    options = parser.parse_args()
    backend = Backend(options.device, options.precision, options.batch)
    with tempfile.TemporaryDirectory() as name:
        record = measure(Path(name), options.size, options.rounds, backend)
    print(json.dumps(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
