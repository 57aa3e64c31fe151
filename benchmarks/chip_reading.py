"""Chips of one tiled raster: read by this engine's training and by torchgeo's random sampler.

The raster has three bands, blocks of 512 pixels and deflate with a predictor. The engine cuts it
into chips once (``rs-segment chips``) and then reads plain files; torchgeo reads windows of the
raster anew in each epoch. Both give float32 tensors, in one process and in turns; the fastest of
the rounds counts. ``epochs_until_paid`` says after how many epochs the cutting has paid.

    python benchmarks/chip_reading.py [--size N] [--side N] [--count N] [--rounds N]

Prints JSON; torchgeo lives in an environment of its own, ``build/peers`` (``make bench-peers``).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import rasterio
import shapely
import torch
from affine import Affine
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.data.chip_folder import ChipFolder
from engine.jobs import ChipsJob
from tests.factories_chips import make_chips, make_labels, on_map

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "build" / "peers" / "bin" / "python"
TRANSFORM = Affine(0.5, 0, 500_000, 0, -0.5, 3_000_000)
CRS = "EPSG:32645"


def write_raster(path: Path, size_px: int) -> None:
    """Write a raster of noise at several scales, which deflate shrinks about as an image."""
    random = np.random.default_rng(1)
    pixels = np.empty((3, size_px, size_px), np.uint8)
    for band in pixels:
        field = np.zeros((size_px, size_px), np.float32)
        for step, weight in ((64, 40), (8, 12), (1, 5)):
            noise = random.standard_normal((size_px // step + 2,) * 2).astype(np.float32)
            field += weight * ndimage.zoom(noise, step, order=1)[:size_px, :size_px]
        band[:] = np.clip(field + 128, 0, 255)
    profile = {
        "driver": "GTiff", "width": size_px, "height": size_px, "count": 3, "dtype": "uint8",
        "crs": CRS, "transform": TRANSFORM, "tiled": True, "blockxsize": 512, "blockysize": 512,
        "compress": "deflate", "predictor": 2, "interleave": "pixel",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as raster:
        raster.write(pixels)


def cut(folder: Path, size_px: int, side_px: int) -> tuple[ChipFolder, float]:
    """Cut the raster into chips; returns them and the seconds."""
    area: shapely.Polygon = on_map(TRANSFORM, 0, 0, size_px, size_px)
    labels = make_labels(folder / "labels.gpkg", [area], crs=CRS)
    job = ChipsJob(
        output=str(folder / "chips"),
        rasters=(str(folder / "scene.tif"),),
        labels=str(labels),
        tile_px=side_px,
    )
    begin = time.perf_counter()
    chips, _, _ = make_chips(job)
    return chips, time.perf_counter() - begin


def engine_chips_s(folder: ChipFolder, count: int, seed: int) -> float:
    """Return the chips per second of this engine, in random order."""
    chips = folder.chips()
    order = np.random.default_rng(seed).integers(0, len(chips), count)
    begin = time.perf_counter()
    for index in order:
        torch.from_numpy(folder.read_image(chips[index])).float()
    return count / (time.perf_counter() - begin)


def torchgeo_chips_s(raster: Path, side_px: int, count: int) -> float:
    """Return the chips per second of torchgeo's sampler; 0 where it is not installed."""
    if not PEERS.is_file():
        return 0.0
    script = ROOT / "benchmarks" / "peers" / "torchgeo_chips.py"
    done = subprocess.run(
        [str(PEERS), str(script), str(raster), str(side_px), str(count)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stderr.strip().splitlines()[-1], file=sys.stderr)
        return 0.0
    return float(json.loads(done.stdout.splitlines()[-1])["chips_s"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_raster(folder / "scene.tif", arguments.size)
        chips, cut_s = cut(folder, arguments.size, arguments.side)
        own, peer = 0.0, 0.0
        for number in range(arguments.rounds):
            own = max(own, engine_chips_s(chips, 4 * arguments.count, number))
            peer = max(
                peer, torchgeo_chips_s(folder / "scene.tif", arguments.side, arguments.count)
            )
        count = len(chips.chips())
    saved_s = count / peer - count / own if peer else 0.0
    found = {
        "chips": count,
        "engine_chips_s": round(own),
        "torchgeo_chips_s": round(peer) if peer else None,
        "cut_s": round(cut_s, 2),
        "epochs_until_paid": round(cut_s / saved_s, 1) if peer else None,
    }
    if peer:
        found["ratio_torchgeo"] = round(own / peer, 2)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
