"""What runs the model of a segment job; a continued run keeps what it began with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import EngineError
from ..geo.normalize import normalize
from ..geo.raster import RasterReader
from ..geo.vector import read_runs
from ..geo.windows import Window
from ..jobs import SegmentJob
from ..predict.backend import Backend
from ..predict.bands import pad_tile
from ..predict.choice import AUTO, Wish, choose_for_tiles
from ..predict.plan import TilePlan
from ..predict.runtimes.check import texture
from ..zoo.card import ModelCard
from ..zoo.registry import ModelEntry
from .run_folder import JOB_FILE, run_folder_for

PLACES = (0.5, 0.25, 0.75)
"""Where tiles for a trial are taken, as shares of the raster's height and width."""
TRIAL_TILES = 2


def job_backend(
    job: SegmentJob, entry: ModelEntry, plan: TilePlan, output: Path, tiles: Callable[[], Tensor]
) -> tuple[Backend, str]:
    """Return the backend of a job, and a note on why it was chosen, "" if there is none.

    Args:
        job: The job.
        entry: Its model.
        plan: Its tiles.
        output: Absolute path of the GeoPackage.
        tiles: Called for tiles of the raster if the backends must be tried.

    Raises:
        DeviceError: If device or backend is unknown or absent, or they do not go together.
        JobError: If the model cannot run on the backend that was asked for.
    """
    precision, runtime = job.precision, job.backend
    earlier = _earlier_run(output) if job.resume else {}
    if runtime == AUTO and precision == AUTO:
        runtime = str(earlier.get("backend", AUTO))
        precision = str(earlier.get("precision", AUTO)) if runtime != AUTO else AUTO
    wish = Wish(job.device, precision, job.batch, runtime)
    return choose_for_tiles(wish, entry, plan.input_px, tiles)


def _earlier_run(output: Path) -> dict[str, Any]:
    """Return what was noted of the interrupted or finished run that wrote to a path."""
    try:
        text = (run_folder_for(output) / JOB_FILE).read_text(encoding="utf-8")
        record = json.loads(text)
    except (OSError, ValueError):
        record = None
    if record is None and output.is_file():
        try:
            record = next(iter(read_runs(output)[-1:]), None)
        except EngineError:
            return {}
    return record if isinstance(record, dict) else {}


def trial_tiles(
    raster: str,
    card: ModelCard,
    bands: tuple[int, ...],
    window: Window,
    shape_px: tuple[int, int] | None,
    plan: TilePlan,
) -> Tensor:
    """Return some tiles of a raster as the network sees them, float32 ``[N, C, H, W]``.

    Those of a few places that hold the most data; texture where there is none at all.

    Args:
        raster: GDAL source.
        card: The model's card.
        bands: Raster band numbers, one per model band.
        window: Part of the raster that is segmented, in its pixels.
        shape_px: Size to which the window is resampled, None for its own.
        plan: The tiles.
    """
    scale = window.height / shape_px[0] if shape_px else 1.0
    size = [max(1, min(round(t * scale), n)) for t, n in zip(plan.tile_px, window[2:], strict=True)]
    found: list[tuple[int, Tensor]] = []
    for place in PLACES:
        row, col = (round(place * (n - s)) for n, s in zip(window[2:], size, strict=True))
        part = Window(window.row_off + row, window.col_off + col, size[0], size[1])
        resampled = plan.tile_px if shape_px else None
        with RasterReader(raster, bands=bands, window=part, shape_px=resampled) as reader:
            pixels, valid = reader.read_rows(0, resampled[0] if resampled else size[0])
        tile = pad_tile(normalize(pixels, card.bands, valid), plan.input_px)
        found.append((int(valid.sum()), torch.from_numpy(np.ascontiguousarray(tile))))
    found.sort(key=lambda item: -item[0])
    tiles = [tile for count, tile in found[:TRIAL_TILES] if count]
    if not tiles:
        return texture((*plan.input_px, len(card.bands)))
    return torch.stack(tiles).contiguous(memory_format=torch.channels_last)
