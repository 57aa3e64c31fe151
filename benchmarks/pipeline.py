"""A whole run off the model: raster to class raster and polygons with a near-free network.

The engine's own job against what a plain script does with the same network and the same
libraries: whole-raster accumulators of scores and weights, one window read per tile, softmax and
argmax over the whole raster, ``rasterio.features.shapes``, one write of all polygons. Both sides
run in this process on one thread, in turns; the least processor time of the rounds counts.
``loop_ns_px`` is the engine's time from the first tile to the last finished strip, without that
of the network's calls, per pixel; ``engine_ns_px`` is all of its run.

    python benchmarks/pipeline.py [--size N] [--rounds N]

The network gives the first band back, which holds one of eight classes, so both sides must too.
Prints JSON; ends with 1 if a pixel differs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyogrio
import rasterio
import shapely
import torch
from rasterio import features
from rasterio.transform import from_origin
from rasterio.windows import Window
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.jobs import SegmentJob
from engine.models.load import load_network
from engine.pipelines.segment import run_segment
from engine.predict import semantic
from engine.protocol import Progress
from engine.zoo.registry import find_model
from tests.factories_models import write_identity_model

TILE_PX, OVERLAP_PX = 512, 64
CLASSES = 8
GRAIN_PX = 96
MEAN, STD = np.float32(0), np.float32(1)


def write_raster(path: Path, size_px: int) -> np.ndarray:
    """Write three bands, tiled as imagery is; the first holds smooth classes, which return."""
    random = np.random.default_rng(3)
    field = ndimage.zoom(random.standard_normal((size_px // GRAIN_PX + 2,) * 2), GRAIN_PX, order=1)
    field = field[:size_px, :size_px]
    levels = np.quantile(field[::8, ::8], np.arange(1, CLASSES) / CLASSES)
    classes = np.digitize(field, levels).astype(np.uint8)
    profile = {
        "driver": "GTiff", "width": size_px, "height": size_px, "count": 3, "dtype": "uint8",
        "crs": "EPSG:32645", "transform": from_origin(500_000, 3_000_000, 0.5, 0.5),
        "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as raster:
        raster.write(np.stack([classes, classes * 9, 255 - classes]))
    return classes


class StageClock:
    """Notes the processor time at the first progress event of each stage."""

    def __init__(self) -> None:
        self.begins: dict[str, float] = {}

    def __call__(self, event: Any) -> None:
        """Look at one event of the run."""
        if isinstance(event, Progress):
            self.begins.setdefault(event.stage, time.process_time())

    def loop_s(self) -> float:
        """Return the time from the first tile to the first event of the next stage."""
        later = [begin for stage, begin in self.begins.items() if stage != "predict"]
        return min(later) - self.begins["predict"]


def engine_run(folder: Path, report: StageClock) -> np.ndarray:
    """Run the engine's job and return the class raster."""
    job = SegmentJob(
        raster=str(folder / "scene.tif"),
        model=str(folder / "identity"),
        output=str(folder / "engine.gpkg"),
        class_raster=str(folder / "engine.tif"),
        device="cpu",
        precision="fp32",
        tile_px=TILE_PX,
        overlap_px=OVERLAP_PX,
        score=0.0,
        overwrite=True,
    )
    run_segment(job, report, lambda: False)
    with rasterio.open(folder / "engine.tif") as raster:
        return raster.read(1)


def naive_run(folder: Path, network: torch.nn.Module) -> np.ndarray:
    """Do the same as a plain script does it, and return the class raster."""
    with rasterio.open(folder / "scene.tif") as raster:
        height, width = raster.shape
        sums = np.zeros((CLASSES, height, width), np.float32)
        weights = np.zeros((height, width), np.float32)
        ramp = np.minimum(np.arange(TILE_PX), np.arange(TILE_PX)[::-1]) + 1.0
        weight = np.minimum.outer(ramp, ramp).astype(np.float32)
        step = TILE_PX - OVERLAP_PX
        for row in range(0, height, step):
            for col in range(0, width, step):
                top, left = min(row, height - TILE_PX), min(col, width - TILE_PX)
                tile = raster.read(window=Window(left, top, TILE_PX, TILE_PX))
                image = torch.from_numpy((tile.astype(np.float32) - MEAN) / STD)
                with torch.inference_mode():
                    scores = torch.softmax(network(image[None]), dim=1)[0].numpy()
                sums[:, top : top + TILE_PX, left : left + TILE_PX] += scores * weight
                weights[top : top + TILE_PX, left : left + TILE_PX] += weight
        labels = (sums / weights).argmax(axis=0).astype(np.uint8)
        profile = {**raster.profile, "count": 1}
        transform, crs = raster.transform, raster.crs.to_wkt()
    with rasterio.open(folder / "naive.tif", "w", **profile) as out:
        out.write(labels, 1)
    found = features.shapes(labels, mask=labels > 0, transform=transform)
    shapes = [(shapely.geometry.shape(shape), int(value)) for shape, value in found]
    polygons = np.array([shape for shape, _ in shapes])
    fields = [np.array([value for _, value in shapes], np.int32), shapely.area(polygons)]
    pyogrio.raw.write(
        str(folder / "naive.gpkg"), shapely.to_wkb(polygons), fields, ["class_id", "area"],
        geometry_type="Polygon", crs=crs, driver="GPKG", layer="classes",
    )  # fmt: skip
    return labels


class NetworkClock:
    """Adds up the processor time of the calls of the engine's network."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._call = semantic.SemanticPredictor.__call__

    def __enter__(self) -> NetworkClock:
        clock, call = self, self._call

        def timed(predictor: Any, tiles: Any) -> Any:
            start = time.thread_time()
            found = call(predictor, tiles)
            clock.seconds += time.thread_time() - start
            return found

        semantic.SemanticPredictor.__call__ = timed
        return self

    def __exit__(self, *error: object) -> None:
        semantic.SemanticPredictor.__call__ = self._call


def measure(folder: Path, size_px: int, rounds: int) -> dict[str, Any]:
    classes = write_raster(folder / "scene.tif", size_px)
    write_identity_model(folder / "identity", CLASSES, bands=3)
    torch.set_num_threads(1)
    network = load_network(find_model(str(folder / "identity")))
    engine_run(folder, StageClock())  # compiles the kernels
    best = {"engine": np.inf, "loop": np.inf, "naive": np.inf}
    for _ in range(rounds):
        start = time.process_time()
        stages = StageClock()
        with NetworkClock() as clock:
            ours = engine_run(folder, stages)
        spent = time.process_time() - start
        best["engine"] = min(best["engine"], spent)
        best["loop"] = min(best["loop"], stages.loop_s() - clock.seconds)
        start = time.process_time()
        theirs = naive_run(folder, network)
        best["naive"] = min(best["naive"], time.process_time() - start)
    return {
        "pixels": size_px**2,
        "loop_ns_px": round(best["loop"] / size_px**2 * 1e9, 1),
        "engine_ns_px": round(best["engine"] / size_px**2 * 1e9, 1),
        "ratio_naive": round(best["naive"] / best["engine"], 2),
        "classes": CLASSES,
        "equal": bool((ours == classes).all() and (theirs == classes).all()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        record = measure(Path(name), options.size, options.rounds)
    print(json.dumps(record))
    return 0 if record["equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
