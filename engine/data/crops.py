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
MOST_DRAWS = 10


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
        zoom_max: Largest one.
        zoom_spread: Standard deviation of the zoom's logarithm, which is drawn from a normal
            distribution about 0 and cut at the two limits.
        aspect_max: Largest ratio of the two zooms of one crop.
        right_angle_ratio: Share of crops turned by a multiple of 90 degrees only.
        known_ratio: Wanted share of known pixels in a crop, estimated on 25 points.
    """

    size_px: int
    zoom_min: float = 0.5
    zoom_max: float = 2.0
    zoom_spread: float = 0.35
    aspect_max: float = 1.15
    right_angle_ratio: float = 0.3
    known_ratio: float = 0.85


def draw_crop(scene: TrainingScene, ranges: CropRanges, rng: np.random.Generator) -> CropPlan:
    """Draw one crop whose centre is a training pixel.

    Up to ``MOST_DRAWS`` crops are drawn until one has enough known pixels; the last one counts.
    """
    for _ in range(MOST_DRAWS):
        plan = _draw(scene, ranges, rng)
        if _known_ratio(scene, plan, ranges.size_px) >= ranges.known_ratio:
            break
    return plan


def _draw(scene: TrainingScene, ranges: CropRanges, rng: np.random.Generator) -> CropPlan:
    row, col = divmod(int(scene.centers[rng.integers(len(scene.centers))]), scene.labels.shape[1])
    low, high = math.log(ranges.zoom_min), math.log(ranges.zoom_max)
    zoom = math.exp(min(max(rng.normal(0, ranges.zoom_spread), low), high))
    stretch = math.exp(rng.uniform(-1, 1) * math.log(ranges.aspect_max) / 2)
    if rng.random() < ranges.right_angle_ratio:
        angle = int(rng.integers(4)) * math.pi / 2
    else:
        angle = rng.uniform(0, 2 * math.pi)
    return CropPlan(row, col, angle, zoom * stretch, zoom / stretch, bool(rng.random() < 0.5))


def _known_ratio(scene: TrainingScene, plan: CropPlan, size_px: int) -> float:
    """Return the share of 5 x 5 points of a crop that lie on known pixels."""
    steps = np.linspace(-0.5, 0.5, 5) * (size_px - 1)
    offsets = plan.matrix() @ np.stack(np.meshgrid(steps, steps, indexing="ij")).reshape(2, -1)
    rows = np.rint(plan.row_px + offsets[0]).astype(np.int64)
    cols = np.rint(plan.col_px + offsets[1]).astype(np.int64)
    height, width = scene.labels.shape
    inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    known = scene.labels[rows[inside], cols[inside]] != IGNORE_ID
    return float(known.sum()) / len(rows)


def crop_rng(seed: int, step: int, index: int) -> np.random.Generator:
    """Return the generator of one crop: the same for the same three numbers."""
    return np.random.default_rng((seed, step, index))
