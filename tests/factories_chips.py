"""Labelled rasters and chip jobs for tests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from affine import Affine

from engine.data.chip_folder import ChipFolder
from engine.jobs import ChipsJob
from engine.pipelines.chips import run_chips
from engine.protocol import Log, Result
from tests.factories import SQUARE_1_M, UTM_45N, make_raster


def make_labels(
    path: Path,
    polygons: Sequence[shapely.Geometry],
    values: Sequence[Any] | None = None,
    *,
    field: str = "kind",
    crs: str | None = UTM_45N,
    layer: str = "labels",
) -> Path:
    """Write polygons with one field into a vector file and return its path."""
    columns, names = ([], []) if values is None else ([np.array(values)], [field])
    pyogrio.raw.write(
        path,
        shapely.to_wkb(np.asarray(polygons, dtype=object)),
        columns,
        names,
        geometry_type="Unknown",
        crs=crs,
        layer=layer,
    )
    return path


def on_map(transform: Affine, *corners: float) -> shapely.Polygon:
    """Return the rectangle of columns and rows ``(col0, row0, col1, row1)`` on the map."""
    col0, row0, col1, row1 = corners
    pixels = [(col0, row0), (col1, row0), (col1, row1), (col0, row1)]
    return shapely.Polygon([transform @ pixel for pixel in pixels])


def squares(
    transform: Affine, height: int, width: int, *, side: int = 7, step: int = 20
) -> list[shapely.Polygon]:
    """Return squares of pixels on a regular grid."""
    return [
        on_map(transform, col, row, col + side, row + side)
        for row in range(4, height - side, step)
        for col in range(5, width - side, step)
    ]


def simple_job(
    folder: Path, shape: tuple[int, int, int] = (3, 120, 160), **fields: Any
) -> ChipsJob:
    """Write a raster with squares of one class and return a job of small chips."""
    transform = fields.pop("transform", SQUARE_1_M)
    options = {k: fields.pop(k) for k in ("dtype", "nodata", "crs") if k in fields}
    folder.mkdir(parents=True, exist_ok=True)
    make_raster(folder / "scene.tif", shape, transform=transform, **options)
    labels = make_labels(
        folder / "labels.gpkg",
        squares(transform, shape[1], shape[2]),
        crs=options.get("crs", UTM_45N),
    )
    given = {
        "output": str(folder / "chips"),
        "rasters": [str(folder / "scene.tif")],
        "labels": str(labels),
        "tile_px": 32,
    }
    return ChipsJob.from_dict({**given, **fields})


def make_chips(
    job: ChipsJob, cancelled: Callable[[], bool] = lambda: False
) -> tuple[ChipFolder, Result, list[str]]:
    """Run a job and return the folder, the result and the warnings."""
    warnings: list[str] = []

    def report(event: object) -> None:
        if isinstance(event, Log) and event.level == "warning":
            warnings.append(event.message)

    result = run_chips(job, report, cancelled)
    return ChipFolder.open(job.output), result, warnings


def mosaic(folder: ChipFolder, shape: tuple[int, int], source: int = 0) -> np.ndarray:
    """Return the masks of all chips in their places; 254 where there is no chip."""
    whole = np.full(shape, 254, np.uint8)
    for chip in folder.chips():
        if chip.source == source:
            rows = slice(chip.row_off, chip.row_off + chip.height_px)
            whole[rows, chip.col_off : chip.col_off + chip.width_px] = folder.read_mask(chip)
    return whole


def digest(folder: Path) -> dict[str, str]:
    """Return a hash of each file of a folder, the job's paths left out."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        if path.name == "chips.json":
            record = json.loads(data)
            record.pop("job")
            data = json.dumps(record, sort_keys=True).encode()
        found[path.relative_to(folder).as_posix()] = hashlib.sha256(data).hexdigest()
    return found
