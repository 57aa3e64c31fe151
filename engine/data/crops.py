"""Random training crops of a scene in memory: where, how turned, how large.

A crop is described by a :class:`CropPlan` that is a pure function of seed, step and place in
the batch, so an interrupted training continues with the same crops. ``transforms.py`` cuts it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .split import TRAIN

IGNORE_ID = 255


@dataclass(frozen=True)
class TrainingScene:
    """Pixels and labels that training may see; everything else is blanked.

    Attributes:
        pixels: ``[C, H, W]`` uint8, ``fill`` outside the training pixels.
        labels: ``[H, W]`` uint8, 255 outside the training pixels.
        centers: Flat indices of the pixels that may be the centre of a crop.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    centers: NDArray[np.int64]


def training_scene(
    pixels: NDArray[np.uint8], labels: NDArray[np.uint8], roles: NDArray[np.uint8], fill: int = 0
) -> TrainingScene:
    """Return the scene with every pixel blanked that has not the role ``TRAIN``.

    Args:
        pixels: ``[C, H, W]`` uint8.
        labels: ``[H, W]`` uint8, 255 = unknown.
        roles: ``[H, W]`` uint8 of ``split.paint_roles``.
        fill: Value of blanked pixels.

    Raises:
        ValueError: If no pixel is left.
    """
    usable = roles == TRAIN
    centers = np.flatnonzero(usable).astype(np.int64)
    if not len(centers):
        raise ValueError("the scene has no training pixel")
    return TrainingScene(
        np.where(usable, pixels, np.uint8(fill)),
        np.where(usable, labels, np.uint8(IGNORE_ID)),
        centers,
    )


@dataclass(frozen=True)
class CropPlan:
    """Place and shape of a crop.

    Attributes:
        row_px: Row of the crop's centre in the scene (pixel centres are whole numbers).
        col_px: Column of the crop's centre.
        angle_rad: Turn of the crop.
        zoom_row: Scene pixels per crop pixel along the crop's rows.
        zoom_col: Scene pixels per crop pixel along the crop's columns.
        flip: Whether the crop is mirrored left to right.
    """

    row_px: float
    col_px: float
    angle_rad: float
    zoom_row: float
    zoom_col: float
    flip: bool

    def matrix(self) -> NDArray[np.float64]:
        """Return the 2 x 2 matrix from crop (row, col) steps to scene (row, col) steps."""
        cos, sin = math.cos(self.angle_rad), math.sin(self.angle_rad)
        sign = -1.0 if self.flip else 1.0
        turn = np.array([[cos, -sin], [sin, cos]])
        return turn @ np.diag([self.zoom_row, sign * self.zoom_col])


@dataclass(frozen=True)
class CropRanges:
    """Ranges that crops are drawn from.

    Attributes:
        size_px: Side of a crop.
        zoom_min: Smallest number of scene pixels per crop pixel.
        zoom_max: Largest one; drawn evenly in the logarithm.
        aspect_max: Largest ratio of the two zooms of one crop.
        right_angle_ratio: Share of crops turned by a multiple of 90 degrees only.
    """

    size_px: int
    zoom_min: float = 0.5
    zoom_max: float = 2.0
    aspect_max: float = 1.15
    right_angle_ratio: float = 0.3


def draw_crop(scene: TrainingScene, ranges: CropRanges, rng: np.random.Generator) -> CropPlan:
    """Draw one crop whose centre is a training pixel."""
    row, col = divmod(int(scene.centers[rng.integers(len(scene.centers))]), scene.labels.shape[1])
    zoom = math.exp(rng.uniform(math.log(ranges.zoom_min), math.log(ranges.zoom_max)))
    stretch = math.exp(rng.uniform(-1, 1) * math.log(ranges.aspect_max) / 2)
    if rng.random() < ranges.right_angle_ratio:
        angle = int(rng.integers(4)) * math.pi / 2
    else:
        angle = rng.uniform(0, 2 * math.pi)
    return CropPlan(row, col, angle, zoom * stretch, zoom / stretch, bool(rng.random() < 0.5))


def crop_rng(seed: int, step: int, index: int) -> np.random.Generator:
    """Return the generator of one crop: the same for the same three numbers."""
    return np.random.default_rng((seed, step, index))
