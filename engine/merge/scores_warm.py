"""Compile the kernels of the semantic tile loop ahead of the first run."""

from __future__ import annotations

import numpy as np

from ..geo.normalize import normalize_tile
from ..geo.windows import Window
from .scores import ScoreAccumulator

DTYPES = (np.uint8, np.uint16)
"""Data types of imagery whose normalisation is compiled; others are at their first use."""


def warm_up_scores() -> None:
    """Normalise and merge one small tile, which takes every kernel."""
    window = Window(0, 0, 8, 9)
    tile, valid = np.empty((8, 9, 3), np.float32), np.ones((8, 9), np.bool_)
    gains = (np.ones(3, np.float32), np.zeros(3, np.float32))
    for dtype in DTYPES:
        normalize_tile(tile, (np.zeros((3, 8, 9), dtype), valid), window, gains)
    merged = ScoreAccumulator(3, 9, (8, 9), 2)
    merged.add(window, tile, logits=True)
    merged.flush(8)
