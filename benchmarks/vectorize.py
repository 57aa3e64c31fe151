"""Speed, equality and memory of the polygoniser against ``rasterio.features.shapes``.

Three synthetic land-cover rasters (four classes, one of them background): mostly flat, medium
and fine. Both sides turn the same labels into rings, in turns, and the fastest of the rounds
counts; the engine also sums scores, which GDAL does not. ``features`` is the engine with
polygons in map coordinates, their area on the ellipsoid and WKB, ``simplified`` the same with
a tolerance of 1.5 pixels and the checks that need it. Then a strip 100 352 pixels wide is
vectorised, each side in a child process, for its peak memory.

    python benchmarks/vectorize.py [--size N] [--rounds N] [--wide-rows N] [--json]

Ends with 1 if the polygons differ, or the ratio on the mostly flat raster is below 3.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import shapely
from affine import Affine
from pyproj import CRS
from rasterio import features
from rasterio.transform import IDENTITY
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.geo.grid import Grid
from engine.vectorize.polygonize import Polygonizer
from engine.vectorize.stream import Strip, VectorOptions, vectorize
from engine.vectorize.warm import warm_up

STRIP_ROWS = 256
WIDE_PX = 100_352
CLASSES = (1, 2, 3)
SIGMAS = {"flat": 48.0, "medium": 12.0, "fine": 3.0}
BOUND_RATIO = 3.0


def land_cover(size_px: int, sigma: float) -> np.ndarray:
    """Return smooth random classes 0 to 3; larger ``sigma`` gives larger regions."""
    random = np.random.default_rng(11)
    factor = max(1, int(sigma // 3))
    side = -(-size_px // factor)
    field = ndimage.gaussian_filter(
        random.standard_normal((side, side), dtype=np.float32), sigma / factor
    )
    field = ndimage.zoom(field, factor, order=1)[:size_px, :size_px]
    levels = np.quantile(field[::8, ::8], [0.55, 0.7, 0.85])
    return np.digitize(field, levels).astype(np.uint8)


def strips(labels: np.ndarray) -> Iterator[Strip]:
    for row in range(0, len(labels), STRIP_ROWS):
        part = labels[row : row + STRIP_ROWS]
        yield Strip(row, part, np.full_like(part, 200))


def engine_rings(labels: np.ndarray) -> list:
    tracer = Polygonizer(*labels.shape, CLASSES)
    return [tracer.push(strip.labels, strip.scores) for strip in strips(labels)]


def gdal_rings(labels: np.ndarray) -> list:
    mask = labels > 0
    return list(features.shapes(labels, mask=mask, connectivity=4, transform=IDENTITY))


def engine_features(labels: np.ndarray, simplify_m: float = 0.0) -> int:
    grid = Grid(*labels.shape, Affine(1, 0, 4e5, 0, -1, 3e6), CRS.from_epsg(32645).to_wkt())
    batches = vectorize(lambda: strips(labels), grid, CLASSES, VectorOptions(0, simplify_m))
    return sum(len(batch) for batch in batches)


def equal(found: list, expected: list) -> bool:
    """Return whether both sides have the same (class, area, bounds), each as often."""
    ours: Counter = Counter()
    for part in found:
        polygons = shapely.from_ragged_array(
            shapely.GeometryType.POLYGON,
            part.xy.astype(float),
            (part.ring_offsets, part.region_offsets),
        )
        if not shapely.is_valid(polygons).all():
            return False
        rows = zip(part.label.tolist(), shapely.area(polygons).tolist(),
                   map(tuple, shapely.bounds(polygons).tolist()), strict=True)  # fmt: skip
        ours.update(rows)
    shapes = [(int(value), shapely.geometry.shape(shape)) for shape, value in expected]
    return ours == Counter((value, p.area, p.bounds) for value, p in shapes)


def seconds(work: Callable[[], object]) -> float:
    """Return the processor time of a call: other processes do not count."""
    start = time.process_time()
    work()
    return time.process_time() - start


def compare(name: str, size_px: int, rounds: int) -> dict:
    labels = land_cover(size_px, SIGMAS[name])
    times: dict[str, float] = {}
    sides = {
        "engine": lambda: engine_rings(labels),
        "gdal": lambda: gdal_rings(labels),
        "features": lambda: engine_features(labels),
        "simplified": lambda: engine_features(labels, 1.5),
    }
    for _ in range(rounds):
        for side, work in sides.items():
            times[side] = min(times.get(side, np.inf), seconds(work))
    found, expected = engine_rings(labels), gdal_rings(labels)
    return {
        "raster": name,
        "polygons": sum(len(part) for part in found),
        "vertices": sum(len(part.xy) for part in found),
        "equal": equal(found, expected),
        "ratio": round(times["gdal"] / times["engine"], 2),
        **{f"{side}_mpx_s": round(labels.size / s / 1e6, 1) for side, s in times.items()},
    }


def peak_kib() -> float:
    """Return the peak of the resident memory of this process alone."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would start at the memory of the parent
        line = next(li for li in status.read_text().splitlines() if li.startswith("VmHWM"))
        return float(line.split()[1])
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def wide_child(rows: int, traced: bool, block: str) -> None:
    """Vectorise a wide strip (or only make it) and print the peak of the resident memory."""
    wide = np.tile(np.load(block), (1, WIDE_PX // 2048))
    warm_up()
    count = 0
    if traced:
        grid = Grid(rows, WIDE_PX, Affine(1, 0, 4e5, 0, -1, 3e6), CRS.from_epsg(32645).to_wkt())

        def many() -> Iterator[Strip]:
            for row in range(0, rows, STRIP_ROWS):
                yield Strip(row, wide, wide)

        start = time.process_time()
        for batch in vectorize(many, grid, CLASSES, VectorOptions()):
            count += len(batch)
        spent = time.process_time() - start
    else:
        spent = 0.0
    peak_mib = peak_kib() / 1024
    speed = round(rows * WIDE_PX / spent / 1e6, 1) if spent else 0.0
    print(json.dumps({"peak_mib": round(peak_mib), "polygons": count, "mpx_s": speed}))


def wide(rows: int) -> dict:
    """Return peak memory beyond the libraries and the strip, for a height and twice of it."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        block = str(Path(folder) / "block.npy")
        np.save(block, land_cover(2048, SIGMAS["medium"])[:STRIP_ROWS])
        for name, height, traced in (("base", rows, 0), ("once", rows, 1), ("twice", 2 * rows, 1)):
            command = [sys.executable, __file__, "--child", str(height), block, str(traced)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[name] = json.loads(done.stdout)
    return {
        "width_px": WIDE_PX,
        "rows": [rows, 2 * rows],
        "polygons": found["twice"]["polygons"],
        "mpx_s": found["twice"]["mpx_s"],
        "peak_mib": [found["once"]["peak_mib"], found["twice"]["peak_mib"]],
        "beyond_libraries_mib": found["twice"]["peak_mib"] - found["base"]["peak_mib"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--wide-rows", type=int, default=1024, help="0 leaves the strip out")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        rows, block, traced = options.child
        wide_child(int(rows), traced == "1", block)
        return 0
    start = time.process_time()
    warm_up()
    record = {"warm_up_s": round(time.process_time() - start, 2)}
    record["rasters"] = [compare(name, options.size, options.rounds) for name in SIGMAS]
    if options.wide_rows:
        record["wide"] = wide(options.wide_rows)
    if options.json:
        print(json.dumps(record))
    else:
        print(f"kernels ready after {record['warm_up_s']} s; million pixels per second:")
        for row in record["rasters"]:
            print("  " + ", ".join(f"{key} {value}" for key, value in row.items()))
        print(f"  wide strip: {record.get('wide', 'left out')}")
    flat = record["rasters"][0]
    fine = all(row["equal"] for row in record["rasters"]) and flat["ratio"] >= BOUND_RATIO
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
