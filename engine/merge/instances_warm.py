"""Compile the kernels of merging ahead of the first run."""

from __future__ import annotations

import numpy as np

from ..geo.mask_runs import masks_of_crops, paint
from .instances import Detections, InstanceMerger, TileLayout


def warm_up_instances() -> None:
    """Merge two pieces of one object, which takes every kernel, and paint it."""
    layout = TileLayout((0,), (0, 8), (10, 10), (10, 18))
    box = np.array([[2, 2, 7, 10], [2, 8, 7, 16]], np.int32)
    masks, _ = masks_of_crops(np.ones(80, np.uint8), box)
    tile = np.array([[0, 0], [0, 1]], np.int32)
    found = Detections(masks, np.zeros(2, np.int32), np.ones(2, np.float32), tile)
    whole = InstanceMerger(layout).push(found).masks
    paint(whole, np.zeros((1, 2), np.int64), np.zeros((5, 14), np.uint8))
