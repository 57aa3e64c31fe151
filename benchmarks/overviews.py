"""Overviews of class and score rasters: made with the rows, against GDAL's from the finished file.

A raster of smooth classes and one of smooth scores, both with places without data. The engine's
halving runs over the rows as they are written and packs all levels; GDAL reads the finished raster
again (``mode`` for classes, ``average`` for scores, the same blocks and compression). Both sides
take turns; the least processor time of the rounds counts, per pixel of the raster.

    python benchmarks/overviews.py [--size N] [--rounds N]

Prints JSON; ends with 1 if a pixel of a class overview differs from GDAL's, or one of a score
overview by more than 1.
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

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.geo.pyramid import RULES, warm_up_halving
from engine.geo.tiff_overviews import Overviews

NODATA = 255
BLOCK_PX = 512
LIMITS = {"mode": 0, "average": 1}
OPTIONS = {"GDAL_TIFF_OVR_BLOCKSIZE": 512, "ZLEVEL_OVERVIEW": 1, "SPARSE_OK_OVERVIEW": True}


def rasters(size_px: int) -> dict[str, np.ndarray]:
    """Return classes for ``mode`` and scores for ``average``, a tenth without data."""
    field = np.random.default_rng(3).standard_normal((size_px // 96 + 2,) * 2)
    field = ndimage.zoom(field, 96, order=1)[:size_px, :size_px]
    classes = np.digitize(field, np.quantile(field[::8, ::8], np.arange(1, 8) / 8))
    scores = np.clip(field * 40 + 120, 0, 254)
    found = {"mode": classes.astype(np.uint8), "average": scores.astype(np.uint8)}
    for pixels in found.values():
        pixels[: size_px // 10] = NODATA
    return found


def write(path: Path, pixels: np.ndarray) -> None:
    """Write a raster without overviews."""
    profile = {
        "driver": "GTiff", "dtype": "uint8", "count": 1, "nodata": NODATA, "tiled": True,
        "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "compress": "deflate", "zlevel": 1,
        "transform": from_origin(500_000, 3_000_000, 0.5, 0.5), "crs": "EPSG:32645",
    }  # fmt: skip
    height, width = pixels.shape
    with rasterio.open(path, "w", height=height, width=width, **profile) as dataset:
        dataset.write(pixels, 1)


def ours(path: Path, pixels: np.ndarray, rule: Any) -> None:
    """Make the overviews of the rows and put them into the raster."""
    overviews = Overviews(path, *pixels.shape, rule, NODATA)
    for row in range(0, len(pixels), BLOCK_PX):
        overviews.write_rows(pixels[row : row + BLOCK_PX])
    overviews.append_to(path)
    overviews.close()


def of_gdal(path: Path, pixels: np.ndarray, rule: str) -> None:
    """Let GDAL make them."""
    factors = [2**n for n in range(1, 12) if max(pixels.shape) * 2 > 256 * 2**n]
    with rasterio.Env(**OPTIONS), rasterio.open(path, "r+") as dataset:
        dataset.build_overviews(factors, Resampling[rule])


def largest_difference(paths: list[Path]) -> int:
    """Return the largest difference of a pixel at any level."""
    with rasterio.open(paths[0]) as dataset:
        count = len(dataset.overviews(1))
    largest = 0
    for level in range(count):
        levels = []
        for path in paths:
            with rasterio.open(path, overview_level=level) as overview:
                levels.append(overview.read(1).astype(int))
        largest = max(largest, int(np.abs(levels[0] - levels[1]).max()))
    return largest


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    record: dict[str, Any] = {"size_px": options.size}
    sides = {"engine": ours, "gdal": of_gdal}
    warm_up_halving()
    with tempfile.TemporaryDirectory() as name:
        for rule, pixels in ((rule, rasters(options.size)[rule]) for rule in RULES):
            best = dict.fromkeys(sides, math.inf)
            paths = [Path(name) / f"{side}.tif" for side in sides]
            for _ in range(options.rounds):
                for path, (side, make) in zip(paths, sides.items(), strict=True):
                    write(path, pixels)
                    start = time.process_time()
                    make(path, pixels, rule)
                    best[side] = min(best[side], time.process_time() - start)
            per_px = {f"{side}_ns_px": best[side] * 1e9 / pixels.size for side in sides}
            record[rule] = {
                **{key: round(value, 2) for key, value in per_px.items()},
                "ratio": round(best["gdal"] / best["engine"], 2),
                "difference": largest_difference(paths),
            }
    print(json.dumps(record))
    return int(any(record[rule]["difference"] > LIMITS[rule] for rule in RULES))


if __name__ == "__main__":
    sys.exit(main())
