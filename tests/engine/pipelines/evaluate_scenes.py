"""A raster whose first band is its class map, its labels, and chips made of both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from affine import Affine

from engine.jobs import ChipsJob, EvaluateJob
from engine.pipelines.chips import run_chips
from engine.pipelines.evaluate import run_evaluate
from engine.protocol import Log, Result
from tests.factories import make_raster

SHAPE = (150, 170)
GRID = Affine(2.0, 0.0, 330_000.0, 0.0, -1.0, 3_060_000.0)
BLOCKS = ((10, 12, 40, 30, 1), (20, 60, 45, 100, 2), (70, 20, 90, 90, 1), (100, 30, 140, 60, 2),
          (60, 110, 130, 160, 1))  # fmt: skip
"""First row, first column, end row, end column and class."""


def class_map(blocks: Sequence[tuple[int, ...]] = BLOCKS) -> np.ndarray:
    """Return the map that the labels describe, uint8 ``[H, W]``."""
    labels = np.zeros(SHAPE, np.uint8)
    for top, left, bottom, right, kind in blocks:
        labels[top:bottom, left:right] = kind
    return labels


def write_scene(folder: Path, pixels: np.ndarray, **options: Any) -> str:
    """Write a raster of one band and return its path."""
    return str(make_raster(folder / "scene.tif", pixels[None], transform=GRID, **options))


def write_labels(
    path: Path, blocks: Sequence[tuple[int, ...]] = BLOCKS, names: Sequence[str] = ()
) -> str:
    """Write the blocks as polygons with fields ``kind`` (name) and ``code`` (id)."""
    shapes = []
    for top, left, bottom, right, _ in blocks:
        (x0, y0), (x1, y1) = GRID @ (left, top), GRID @ (right, bottom)
        shapes.append(shapely.box(x0, y1, x1, y0))
    codes = [block[4] for block in blocks]
    texts = list(names) or [f"Class_{code}" for code in codes]
    pyogrio.raw.write(
        str(path), shapely.to_wkb(np.array(shapes)),
        [np.array(texts, object), np.array(codes, np.int64)], ["kind", "code"],
        geometry_type="Polygon", crs="EPSG:32645", driver="GPKG", layer="truth",
    )  # fmt: skip
    return str(path)


def make_chips(folder: Path, raster: str, labels: str, **fields: Any) -> str:
    """Cut the scene into chips with the chips job."""
    record = {
        "output": str(folder / "chips"), "rasters": [raster], "labels": labels,
        "class_field": "kind", "tile_px": 48, "block_m": 60.0, "seed": 3, **fields,
    }  # fmt: skip
    run_chips(ChipsJob.from_dict(record), lambda event: None, lambda: False)
    return record["output"]


def evaluate(folder: Path, **fields: Any) -> tuple[Result, list[str]]:
    """Run an evaluation on the CPU; returns its result and the log lines."""
    events: list[Any] = []
    record = {"output": str(folder / "metrics.json"), "device": "cpu", "overwrite": True, **fields}
    result = run_evaluate(EvaluateJob.from_dict(record), events.append, lambda: False)
    return result, [event.message for event in events if isinstance(event, Log)]
