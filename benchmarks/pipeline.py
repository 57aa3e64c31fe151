"""A whole run off the model: raster to class raster and polygons with a near-free network.

The engine's own job against what a plain script does with the same network and the same
libraries: whole-raster accumulators of scores and weights, one window read per tile, softmax and
argmax over the whole raster, ``rasterio.features.shapes``, one write of all polygons. Both sides
run in this process with as many threads as it has cores, in turns; the least time of the rounds
counts, by the clock and as processor time. ``loop_ns_px`` is the time from the first tile to the
last finished strip, without that inside the network's calls, per pixel of the raster, by the
clock, in a run of its own that writes rasters and polygons afterwards and not beside the loop;
``engine_ns_px`` is all of the run as it ships. ``decoded_ratio`` is what the tile loop decodes,
counted in whole blocks, by the bytes of all blocks of the raster.

    python benchmarks/pipeline.py [--size N] [--rounds N]

The network gives the first band back, which holds one of eight classes, so both sides must too.
Prints JSON; ends with 1 if a pixel differs.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

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

from engine.geo import blocks
from engine.jobs import SegmentJob
from engine.models.load import load_network
from engine.pipelines import segment
from engine.predict import semantic
from engine.predict.backend import set_cpu_threads
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
    """Notes when each stage of a run begins."""

    def __init__(self) -> None:
        self.begins: dict[str, float] = {}

    def __call__(self, event: Any) -> None:
        """Look at one event of the run."""
        if isinstance(event, Progress):
            self.begins.setdefault(event.stage, time.perf_counter())

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
        backend="torch",
        tile_px=TILE_PX,
        overlap_px=OVERLAP_PX,
        score=0.0,
        overwrite=True,
    )
    segment.run_segment(job, report, lambda: False)
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


class Patched:
    """Replaces a method of a class for a while."""

    def __init__(self, owner: type, name: str) -> None:
        self._owner, self._name, self._call = owner, name, getattr(owner, name)

    def __enter__(self) -> Patched:
        watcher, call = self, self._call

        def watched(this: Any, *args: Any) -> Any:
            return watcher.watch(call, this, *args)

        setattr(self._owner, self._name, watched)
        return self

    def __exit__(self, *error: object) -> None:
        setattr(self._owner, self._name, self._call)


class NetworkClock(Patched):
    """Adds up the time inside the calls of the engine's network."""

    def __init__(self) -> None:
        super().__init__(semantic.SemanticPredictor, "__call__")
        self.seconds = 0.0

    def watch(self, call: Any, *args: Any) -> Any:
        """Call and note the time."""
        start = time.perf_counter()
        found = call(*args)
        self.seconds += time.perf_counter() - start
        return found


class DecodeCounter(Patched):
    """Counts the bytes of the blocks that the tile loop's reads decode, each read for itself."""

    def __init__(self) -> None:
        super().__init__(blocks.BlockRows, "_decode")
        self.decoded = self.raster = 0

    def watch(self, call: Any, this: Any, row: int) -> Any:
        """Decode and count."""
        chunk = call(this, row)
        dataset, top = this._dataset, this._window.row_off
        left, right = this._window.col_off, this._window.col_off + this._window.width
        for band in this._indexes:
            rows, cols = dataset.block_shapes[band - 1]
            block = rows * cols * np.dtype(dataset.dtypes[band - 1]).itemsize
            down = -(-(chunk.row1 + top) // rows) - (chunk.row0 + top) // rows
            self.decoded += down * (-(-right // cols) - left // cols) * block
        self.raster = sum(
            -(-dataset.height // rows) * -(-dataset.width // cols) * rows * cols
            * np.dtype(dataset.dtypes[band - 1]).itemsize
            for band in this._indexes
            for rows, cols in [dataset.block_shapes[band - 1]]
        )  # fmt: skip
        return chunk


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return what a call returns, its seconds by the clock and its processor time."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = call()
    return found, time.perf_counter() - wall, time.process_time() - cpu


def measure(folder: Path, size_px: int, rounds: int) -> dict[str, Any]:
    classes = write_raster(folder / "scene.tif", size_px)
    write_identity_model(folder / "identity", CLASSES, bands=3)
    cores = set_cpu_threads()
    network = load_network(find_model(str(folder / "identity")))
    engine_run(folder, StageClock())  # compiles the kernels
    best: dict[str, float] = defaultdict(lambda: math.inf)
    decoded = DecodeCounter()
    for number in range(rounds):
        stages = StageClock()
        with NetworkClock() as clock, patch.object(segment, "writes_beside", lambda setup: False):
            engine_run(folder, stages)
        with decoded if number == 0 else nullcontext():
            ours, wall, cpu = timed(lambda: engine_run(folder, StageClock()))
        theirs, naive_wall, naive_cpu = timed(lambda: naive_run(folder, network))
        found = {
            "engine": wall, "engine_cpu": cpu, "loop": stages.loop_s() - clock.seconds,
            "naive": naive_wall, "naive_cpu": naive_cpu,
        }  # fmt: skip
        best.update({key: min(best[key], value) for key, value in found.items()})
    per_px = 1e9 / size_px**2
    return {
        "pixels": size_px**2,
        "cores": cores,
        "loop_ns_px": round(best["loop"] * per_px, 1),
        "engine_ns_px": round(best["engine"] * per_px, 1),
        "engine_cpu_ns_px": round(best["engine_cpu"] * per_px, 1),
        "naive_ns_px": round(best["naive"] * per_px, 1),
        "ratio_naive": round(best["naive"] / best["engine"], 2),
        "ratio_naive_cpu": round(best["naive_cpu"] / best["engine_cpu"], 2),
        "decoded_ratio": round(decoded.decoded / decoded.raster, 4),
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
