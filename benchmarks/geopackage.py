"""Writing of polygons into a GeoPackage with its spatial index: how fast, with how much memory.

Polygons of 21 vertices with all fields of a result are made in batches and written as a run writes
them, in a child process. The time of making them, taken beforehand, is not counted. ``peak_mib``
is the peak of resident memory beyond that before the first batch.

    python benchmarks/geopackage.py [--polygons N] [--rounds N]

Ends with 1 if a polygon is missing.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import shapely

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.geo.features import FeatureBatch, LayerSpec
from engine.geo.vector import write_features

BATCH, CORNERS, STEP_M = 20_000, 20, 30.0
NAMES = {1: "building", 2: "road", 3: "water"}


def batches(polygons: int) -> Iterator[FeatureBatch]:
    """Yield rows of round polygons, each with 20 corners."""
    angle = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    ring = np.column_stack([np.cos(angle), np.sin(angle)]) * 10
    side = math.isqrt(polygons) + 1
    for start in range(0, polygons, BATCH):
        number = np.arange(start, min(start + BATCH, polygons))
        centre = np.column_stack([number % side, number // side]) * STEP_M + [500_000, 3_000_000]
        corners = np.concatenate([ring, ring[:1]])[None] + centre[:, None]
        area = np.full(len(number), 309.017)
        yield FeatureBatch(
            wkb=shapely.to_wkb(shapely.polygons(corners)),
            class_id=(number % 3 + 1).astype(np.int32),
            score=(number % 100 / 100).astype(np.float32),
            area_m2=area,
            perimeter_m=area / 5,
        )


def measure(polygons: int, rounds: int) -> dict[str, float]:
    """Write in this process; returns the record that is printed."""
    import psutil

    spec = LayerSpec("classes", "EPSG:32645", NAMES, "model", "run")
    best = {"make": math.inf, "all": math.inf}
    for _ in batches(BATCH):
        pass
    before = psutil.Process().memory_info().rss
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "out.gpkg"
        for _ in range(rounds):
            start = time.perf_counter()
            made = sum(len(batch) for batch in batches(polygons))
            best["make"] = min(best["make"], time.perf_counter() - start)
            start = time.perf_counter()
            written = write_features(path, batches(polygons), spec)
            best["all"] = min(best["all"], time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "polygons": written,
        "missing": made - written,
        "polygons_per_s": round(polygons / (best["all"] - best["make"])),
        "peak_mib": round((peak - before) / (1 << 20)),
    }


def main() -> int:
    """Measure in a child process and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--polygons", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measure(options.polygons, options.rounds)))
        return 0
    command = [sys.executable, __file__, "--here", "--polygons", str(options.polygons)]
    done = subprocess.run(
        [*command, "--rounds", str(options.rounds)], stdout=subprocess.PIPE, text=True, check=True
    )
    print(done.stdout.strip())
    return 1 if json.loads(done.stdout)["missing"] else 0


if __name__ == "__main__":
    sys.exit(main())
