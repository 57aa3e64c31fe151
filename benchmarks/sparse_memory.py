"""Peak memory of a whole run on a 30 000 x 30 000 raster, beyond the model.

The raster is a sparse GeoTIFF without nodata, so every tile goes through the network; blocks
with rectangles, and stripes that cross many tiles, give the polygoniser real work. The network
is ``pixel_linear``, whose cost is close to nothing: seconds and memory are those of reading,
merging and writing. The run takes place in a child process. "Beyond the model" is the peak of
its resident memory less what it holds once the libraries and the network are loaded and one
tile has been predicted.

    python benchmarks/sparse_memory.py [--size N] [--bound-mib N]

Ends with 1 if the peak is over the bound.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

MIB = 1 << 20
BLOCK_PX = 512
TILE_PX = 512
BOUND_MIB = 1536.0


def write_raster(path: Path, size_px: int) -> int:
    """Write the sparse raster; returns its size on disk in bytes."""
    import rasterio
    from rasterio.transform import from_origin
    from rasterio.windows import Window

    random = np.random.default_rng(7)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=size_px,
        height=size_px,
        count=3,
        dtype="uint8",
        crs="EPSG:32645",
        transform=from_origin(500_000, 3_000_000, 0.5, 0.5),
        tiled=True,
        blockxsize=BLOCK_PX,
        blockysize=BLOCK_PX,
        interleave="pixel",
        compress="deflate",
        sparse_ok=True,
        bigtiff="if_safer",
    ) as raster:
        for row in range(0, size_px - BLOCK_PX, 4 * BLOCK_PX):
            for col in range(0, size_px - BLOCK_PX, 4 * BLOCK_PX):
                raster.write(_block(random), window=Window(col, row, BLOCK_PX, BLOCK_PX))
        stripe = np.full((3, 3, size_px), 200, np.uint8)
        raster.write(stripe, window=Window(0, size_px // 2, size_px, 3))
    return path.stat().st_size


def _block(random: np.random.Generator) -> np.ndarray:
    """Return one block [3, 512, 512] with 40 bright rectangles."""
    block = np.zeros((3, BLOCK_PX, BLOCK_PX), np.uint8)
    for row, col in random.integers(0, BLOCK_PX - 60, size=(40, 2)):
        height, width = random.integers(8, 60, size=2)
        block[:, row : row + height, col : col + width] = random.integers(150, 255)
    return block


def write_model(folder: Path) -> None:
    """Write a model folder whose network calls bright pixels class 1."""
    import torch

    from engine.train.publish import publish_model
    from engine.zoo.card import BandSpec, ClassInfo, ModelCard, Resolution

    names = ("red", "green", "blue")
    card = ModelCard(
        id=folder.name,
        title="Brightness threshold",
        task="semantic",
        builder="pixel_linear",
        builder_args={},
        classes=(
            ClassInfo(0, "dark", "#000000", background=True),
            ClassInfo(1, "bright", "#ffcc00"),
        ),
        bands=tuple(BandSpec(name, 1 / 255, 0.0, 0.4, 1.0, (name,)) for name in names),
        resolution_m=Resolution(0.01, 0.5, 100.0),
        tile_px=TILE_PX,
        overlap_px=64,
        stride=1,
        score_threshold=0.5,
        weights=None,
        licenses={"code": "GPL-2.0-or-later", "weights": "CC0-1.0", "data": "none"},
        description="Class 1 where the mean of the three bands is above 102.",
    )
    weight = torch.stack([torch.full((3, 1, 1), -8.0), torch.full((3, 1, 1), 8.0)])
    folder.mkdir()
    publish_model(folder, {"classifier.weight": weight, "classifier.bias": torch.zeros(2)}, card)


def measure(folder: Path) -> dict[str, float]:
    """Run the segmentation in this process; returns memory in MiB and seconds."""
    import psutil
    import torch

    from engine.jobs import SegmentJob
    from engine.models.load import load_network
    from engine.pipelines.segment import run_segment
    from engine.zoo.registry import find_model

    network = load_network(find_model(str(folder / "brightness")))
    with torch.inference_mode():
        network(torch.zeros(1, 3, TILE_PX, TILE_PX))
    loaded_bytes = psutil.Process().memory_info().rss
    job = SegmentJob(
        raster=str(folder / "sparse.tif"),
        model=str(folder / "brightness"),
        output=str(folder / "out.gpkg"),
        class_raster=str(folder / "classes.tif"),
        score_raster=str(folder / "scores.tif"),
        device="cpu",
    )
    start = time.monotonic()
    result = run_segment(job, lambda event: None, lambda: False)
    seconds = time.monotonic() - start
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "peak_mib": peak_bytes / MIB,
        "loaded_mib": loaded_bytes / MIB,
        "seconds": seconds,
        "features": result.counts["features"],
        "tiles": result.counts["tiles"],
    }


def _in_child(folder: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--measure", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"the run failed:\n{done.stderr[-3000:]}")
    measured: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return measured


def main() -> int:
    """Make the raster, run, print and compare with the bound; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=30_000, help="side of the raster in pixels")
    parser.add_argument("--bound-mib", type=float, default=BOUND_MIB)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        disk_bytes = write_raster(folder / "sparse.tif", arguments.size)
        write_model(folder / "brightness")
        found = _in_child(folder)
    beyond_mib = found["peak_mib"] - found["loaded_mib"]
    pixels = arguments.size**2
    print(f"raster        {arguments.size} x {arguments.size} x 3, {disk_bytes / MIB:.0f} MiB")
    print(f"features      {found['features']:.0f} from {found['tiles']:.0f} tiles")
    print(f"seconds       {found['seconds']:.1f} ({found['seconds'] / pixels * 1e9:.0f} ns/px)")
    print(f"peak          {found['peak_mib']:.0f} MiB, with {found['loaded_mib']:.0f} MiB loaded")
    verdict = "within" if beyond_mib <= arguments.bound_mib else "OVER"
    print(f"beyond model  {beyond_mib:.0f} MiB, {verdict} the bound of {arguments.bound_mib:.0f}")
    return 0 if beyond_mib <= arguments.bound_mib else 1


if __name__ == "__main__":
    sys.exit(main())
