"""Merging of instances: time per detection, growth, memory, and SAHI's postprocess beside it.

Objects of 12 to 90 px are scattered over a raster of 8192 columns; tiles of 1024 px with an overlap
of 192 px see them, cut at their edges; masks and scores differ a little from tile to tile.
Measured is the merging alone: rows of tiles in, finished objects out, in one thread; times are CPU
times, so other programs on the machine do not matter. ``boxes`` is the same with masks that fill
their boxes. If ``sahi`` can be imported, its greedy merging runs over a part of the
same detections in the same process.

    python benchmarks/instances.py [--detections N] [--repeat N] [--goals FACTOR]

Ends with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from affine import Affine

from engine.geo.grid import Grid
from engine.geo.mask_runs import join_masks, masks_of_boxes, masks_of_crops
from engine.geo.windows import window_starts
from engine.merge.instances import Detections, InstanceMerger, TileLayout
from engine.vectorize.instances import instance_features
from engine.vectorize.stream import VectorOptions

WIDTH_PX, TILE_PX, OVERLAP_PX = 8192, 1024, 192
OBJECT_AREA_PX = 4800
"""Ground per object: about a third of the raster is covered."""
GOALS = {"masks": 40.0, "boxes": 5.0}
"""Microseconds per detection."""
MAX_SECONDS = 20.0
MAX_GROWTH = 1.5
"""Time per detection, and memory, of ten times as many detections."""
SAHI_DETECTIONS = 4000


def scattered(detections: int, seed: int = 5) -> tuple[TileLayout, list[Detections]]:
    """Return about so many detections, one collection per row of tiles."""
    random = np.random.default_rng(seed)
    columns = window_starts(WIDTH_PX, tile_px=TILE_PX, overlap_px=OVERLAP_PX)
    seen = (len(columns) * TILE_PX / WIDTH_PX) * TILE_PX / (TILE_PX - OVERLAP_PX) * 1.08
    objects = round(detections / seen)
    height = max(2 * TILE_PX, objects * OBJECT_AREA_PX // WIDTH_PX)
    rows = window_starts(height, tile_px=TILE_PX, overlap_px=OVERLAP_PX)
    layout = TileLayout(tuple(rows), tuple(columns), (TILE_PX, TILE_PX), (height, WIDTH_PX))
    side = np.exp(random.uniform(np.log(12), np.log(90), objects)).astype(int)
    corner = np.column_stack(
        [random.integers(0, height - 90, objects), random.integers(0, WIDTH_PX - 90, objects)]
    )
    by_row = np.argsort(corner[:, 0])
    shapes = {s: _shapes(s) for s in np.unique(side).tolist()}
    return layout, [
        _row(layout, index, corner[by_row], side[by_row], shapes, random)
        for index in range(len(rows))
    ]


def _shapes(side: int) -> list[np.ndarray]:
    """Return a disc, a ring and a rounded box of a side."""
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    radius = np.hypot(rows, columns)
    box = np.maximum(abs(rows), abs(columns)) + radius / 4
    return [radius <= side / 2, (radius <= side / 2) & (radius > side / 5), box <= side * 0.6]


def _row(
    layout: TileLayout,
    row: int,
    corner: np.ndarray,
    side: np.ndarray,
    shapes: dict[int, list[np.ndarray]],
    random: np.random.Generator,
) -> Detections:
    """Return what the tiles of one row see."""
    top = layout.row_starts[row]
    near = slice(*np.searchsorted(corner[:, 0], [top - 90, top + TILE_PX]))
    crops, boxes, tiles, kinds = [], [], [], []
    for number in range(*near.indices(len(corner))):
        (r, c), s = corner[number].tolist(), int(side[number])
        shape = shapes[s][number % 3]
        for column, left in enumerate(layout.column_starts):
            box = [max(r, top), max(c, left), min(r + s, top + TILE_PX), min(c + s, left + TILE_PX)]
            if box[0] >= box[2] or box[1] >= box[3]:
                continue
            crop = shape[box[0] - r : box[2] - r, box[1] - c : box[3] - c].copy()
            crop[random.integers(crop.shape[0])] = False  # tiles do not agree to the pixel
            crops.append(crop.ravel())
            boxes.append(box)
            tiles.append((row, column))
            kinds.append(number % 2)
    masks, kept = masks_of_crops(np.concatenate(crops).astype(np.uint8), np.array(boxes, np.int32))
    return Detections(
        masks,
        np.array(kinds, np.int32)[kept],
        random.uniform(0.5, 1, len(kept)).astype(np.float32),
        np.array(tiles, np.int32)[kept],
    )


def merged(layout: TileLayout, rows: list[Detections]) -> Iterator[tuple[int, int]]:
    """Merge; yield the objects that each row of tiles finishes and the bytes held after it."""
    merger = InstanceMerger(layout)
    for found in rows:
        yield len(merger.push(found)), merger.open_bytes


def seconds_of(action: Callable[[], object], repeat: int) -> float:
    """Return the shortest CPU time of some runs."""
    times = []
    for _ in range(repeat):
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return min(times)


def measure(detections: int, repeat: int, *, boxes: bool = False) -> dict[str, float]:
    """Return counts, seconds, microseconds per detection and the most bytes held."""
    layout, rows = scattered(detections)
    if boxes:
        rows = [replace(found, masks=masks_of_boxes(found.masks.box)) for found in rows]
    count = sum(map(len, rows))
    seconds = seconds_of(lambda: list(merged(layout, rows)), repeat)
    steps = list(merged(layout, rows))
    return {
        "detections": count,
        "objects": sum(objects for objects, _ in steps),
        "seconds": seconds,
        "us": seconds / count * 1e6,
        "held_mib": max(held for _, held in steps) / 2**20,
    }


def polygon_us(detections: int) -> float:
    """Return microseconds per object for polygons with area and perimeter."""
    layout, rows = scattered(detections)
    merger = InstanceMerger(layout)
    done = [merger.push(found) for found in rows]
    masks = join_masks([part.masks for part in done])
    ids, scores = (
        np.concatenate([getattr(part, name) for part in done]) for name in ("class_id", "score")
    )
    grid = Grid(*layout.shape_px, Affine(0.5, 0, 5e5, 0, -0.5, 3e6), "EPSG:32645")
    options = VectorOptions()
    list(instance_features(masks.take(np.arange(9)), ids[:9], scores[:9], grid, options))
    seconds = seconds_of(lambda: list(instance_features(masks, ids, scores, grid, options)), 1)
    return seconds / len(ids) * 1e6


def sahi_us(detections: int) -> float | None:
    """Return microseconds per detection of SAHI's greedy merging with masks, None without it."""
    if importlib.util.find_spec("sahi") is None:
        return None
    combine = importlib.import_module("sahi.postprocess.combine")
    prediction = importlib.import_module("sahi.prediction")
    layout, rows = scattered(detections)
    shape = list(layout.shape_px)
    predictions = []
    for found in rows:
        for box, kind, score in zip(
            found.masks.box.tolist(), found.class_id.tolist(), found.score.tolist(), strict=True
        ):
            row0, col0, row1, col1 = box
            outline = [col0, row0, col1, row0, col1, row1, col0, row1]
            predictions.append(
                prediction.ObjectPrediction(
                    segmentation=[outline], category_id=kind, score=score, full_shape=shape
                )
            )
    merge = combine.GreedyNMMPostprocess(
        match_threshold=0.5, match_metric="IOS", class_agnostic=False
    )
    merge(predictions[:50])  # imports what it needs
    return seconds_of(lambda: merge(list(predictions)), 1) / len(predictions) * 1e6


def main() -> int:
    """Measure, print and compare with the goals; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detections", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--goals", type=float, default=1.0, help="goals are multiplied with it")
    arguments = parser.parse_args()
    list(merged(*scattered(2000)))  # compiles the kernels
    missed = []

    def check(name: str, value: float, goal: float) -> None:
        goal *= arguments.goals
        print(f"{name:<44}{value:10.2f}  goal {goal:g}{'' if value <= goal else '  MISSED'}")
        if value > goal:
            missed.append(name)

    results = {}
    for name, goal in GOALS.items():
        few = measure(arguments.detections // 10, arguments.repeat, boxes=name == "boxes")
        many = measure(arguments.detections, arguments.repeat, boxes=name == "boxes")
        results[name] = many
        print(f"{name}: {many['detections']:.0f} detections, {many['objects']:.0f} objects")
        check(f"{name}, seconds", many["seconds"], MAX_SECONDS)
        check(f"{name}, microseconds per detection", many["us"], goal)
        check(f"{name}, time per detection, tenfold count", many["us"] / few["us"], MAX_GROWTH)
        check(
            f"{name}, memory held, tenfold height", many["held_mib"] / few["held_mib"], MAX_GROWTH
        )
        print(f"{name}, MiB held at most: {many['held_mib']:.1f}")
    print(f"polygons, microseconds per object: {polygon_us(arguments.detections // 10):.1f}")
    theirs = sahi_us(min(SAHI_DETECTIONS, arguments.detections))
    if theirs is None:
        print("sahi is not installed: no comparison")
    else:
        ratio = theirs / results["masks"]["us"]
        print(f"sahi, microseconds per detection: {theirs:.1f}, {ratio:.1f} x as long")
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process, with all detections: {peak_mib:.0f} MiB")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
