"""The backends of this machine for the doctor, and the choice among them for the zoo's models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import EngineError
from ..geo.raster import RasterReader
from ..geo.windows import Window
from ..predict.choice import Wish, choose_for_tiles
from ..predict.plan import TilePlan, plan_tiles
from ..predict.runtimes.table import RUNTIMES, missing_packages, runtime_version
from ..zoo.bands import choose_bands
from ..zoo.card import ModelCard
from ..zoo.registry import ModelEntry, list_models, shipped_zoo
from .segment_backend import trial_tiles

SAMPLE = "banepa.tif"


def look_at_backends() -> list[dict[str, Any]]:
    """Return name, version, missing packages, devices and precisions of each backend."""
    return [
        {
            "name": runtime.name,
            "version": runtime_version(runtime),
            "missing": missing_packages(runtime),
            "devices": list(runtime.devices),
            "precisions": list(runtime.precisions),
        }
        for runtime in RUNTIMES.values()
    ]


def choose_beforehand() -> dict[str, str]:
    """Choose the backend of each semantic model on the shipped sample, for its first run.

    Models that the sample does not suit, by its bands, are left to their first raster.

    Returns:
        What runs each model, by its id.
    """
    sample = shipped_zoo().parent / "samples" / SAMPLE
    chosen = {}
    for entry in list_models() if sample.is_file() else ():
        text = _choice(entry, sample)
        if text:
            chosen[entry.id] = text
    return chosen


def _choice(entry: ModelEntry, sample: Path) -> str:
    """Return backend and precision of a model, "" if the sample does not suit it."""
    card = entry.card
    if card is None or card.weights is None or card.task != "semantic":
        return ""
    try:
        with RasterReader(str(sample)) as reader:
            bands, _ = choose_bands(reader.band_names, reader.count, card.bands, ())
            window = Window(0, 0, reader.source_grid.height, reader.source_grid.width)
        plan = _plan(card, window)

        def tiles() -> Tensor:
            return trial_tiles(str(sample), card, bands, window, None, plan)

        backend, _ = choose_for_tiles(Wish(), entry, plan.input_px, tiles)
    except EngineError:
        return ""
    return f"{backend.runtime} {backend.precision} on {backend.device}"


def _plan(card: ModelCard, window: Window) -> TilePlan:
    """Return the tiles that a raster of at least a tile's size would be cut into."""
    return plan_tiles(
        (max(window.height, card.tile_px), max(window.width, card.tile_px)),
        tile_px=card.tile_px,
        overlap_px=card.overlap_px,
        stride=card.stride,
        column_bytes=1,
    )
