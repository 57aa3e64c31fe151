"""Compile all kernels ahead of the first run, for example when an environment is created."""

from __future__ import annotations

import numpy as np
from affine import Affine

from ..geo.grid import Grid
from ..geo.lattice import interpolate_points
from .stream import Strip, VectorOptions, vectorize


def warm_up() -> None:
    """Run every kernel once, so that its machine code lies in the cache folder."""
    labels = np.zeros((6, 6), np.uint8)
    labels[1:5, 1:4] = labels[5, 5] = 1
    labels[2, 2] = 2
    grid = Grid(6, 6, Affine(1, 0, 0, 0, -1, 0), "")
    for square in (False, True):
        options = VectorOptions(simplify_m=1.5, square=square)
        for _ in vectorize(lambda: iter([Strip(0, labels, labels)]), grid, [1, 2], options):
            pass
    low = np.zeros(2)
    interpolate_points(np.zeros((3, 3, 3)), np.zeros((1, 2)), (low, low + 1), np.empty((1, 3)))
