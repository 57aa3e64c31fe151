"""Soft targets of the student: the teacher's opinion, mixed with the map's labels.

Labels drawn for a map are shifted in places, and houses are missing. A network that was trained
on them for a short time errs in other places than they do, so the mean of both is the better
target; on ground without labels the teacher's opinion is the whole target. The teacher sees
every place mirrored, turned and at several scales, and its probabilities are averaged, so that
the student can learn in one pass what the teacher knows in many.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from buildings_scene import BANDS, OVERLAP_PX, TILE_PX, Scene
from numpy.typing import NDArray
from torch import nn

from engine.data import split
from engine.data.crops import IGNORE_ID, TrainingScene
from engine.geo.raster import RasterReader
from engine.train.soft_targets import soft_bytes
from engine.train.validate import predict_scores

UNLABELLED_FOLDER = "chips_unlabelled"
TEACHER_SCALES = (0.75, 1.0, 1.5)
LABEL_SHARE = 0.5


def read_unlabelled(data: Path) -> NDArray[np.uint8]:
    """Return the neighbouring ground without labels as one picture ``[3, H, W]``.

    The chips form a rectangle east of the scene, one chip away from it and north of the test
    block's last row; their names end in column, row and zoom level of web tiles.
    """
    chips: dict[tuple[int, int], NDArray[np.uint8]] = {}
    for path in sorted((data / UNLABELLED_FOLDER).glob("*.tif")):
        col, row = (int(part) for part in path.stem.split("-")[1:3])
        with RasterReader(str(path)) as reader:
            chips[row, col] = reader.read_rows(0, reader.grid.height)[0].astype(np.uint8)
    rows, cols = (sorted({key[axis] for key in chips}) for axis in (0, 1))
    return np.concatenate(
        [np.concatenate([chips[row, col] for col in cols], axis=2) for row in rows], axis=1
    )


def student_scene(scene: Scene, unlabelled: NDArray[np.uint8], teacher: nn.Module) -> TrainingScene:
    """Return both grounds side by side with soft targets, blank where training must not look.

    Args:
        scene: The labelled scene; only its pixels with the role ``TRAIN`` are used.
        unlabelled: ``[3, h, w]``.
        teacher: Semantic network of background and building.
    """
    height, width = scene.labels.shape
    pixels = np.zeros((3, max(height, unlabelled.shape[1]), width + unlabelled.shape[2]), np.uint8)
    targets = np.full(pixels.shape[1:], IGNORE_ID, np.uint8)
    usable = scene.roles == split.TRAIN
    rows = slice(0, int(np.flatnonzero((scene.roles == split.TEST).any(1))[0]))
    opinion = np.zeros(usable.shape, np.float32)
    opinion[rows] = teacher_scores(teacher, scene.pixels[:, rows])
    mixed = soft_bytes(LABEL_SHARE * scene.labels + (1 - LABEL_SHARE) * opinion)
    pixels[:, :height, :width] = np.where(usable, scene.pixels, np.uint8(0))
    targets[:height, :width] = np.where(usable, mixed, np.uint8(IGNORE_ID))
    right = (slice(0, unlabelled.shape[1]), slice(width, None))
    pixels[(slice(None), *right)] = unlabelled
    targets[right] = soft_bytes(teacher_scores(teacher, unlabelled))
    return TrainingScene(pixels, targets, np.flatnonzero(targets != IGNORE_ID).astype(np.int64))


def teacher_scores(network: nn.Module, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the building probability ``[H, W]``, averaged over eight views at each scale."""
    shape_px = pixels.shape[1:]
    image = torch.from_numpy(np.ascontiguousarray(pixels)).float().unsqueeze(0)
    total = np.zeros(shape_px, np.float32)
    for scale in TEACHER_SCALES:
        size_px = [round(side / scale) for side in shape_px]
        scaled = functional.interpolate(image, size_px, mode="bilinear", antialias=True)
        views = scaled[0].round().clamp(0, 255).byte().numpy()
        scores = torch.from_numpy(_eight_views(network, views)).view(1, 1, *size_px)
        total += functional.interpolate(scores, shape_px, mode="bilinear")[0, 0].numpy()
    return total / len(TEACHER_SCALES)


def _eight_views(network: nn.Module, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the mean probability of the four turns of an image and of its mirror image."""
    total = np.zeros(pixels.shape[1:], np.float32)
    for mirrored in (False, True):
        for turns in range(4):
            view = pixels[:, :, ::-1] if mirrored else pixels
            view = np.ascontiguousarray(np.rot90(view, turns, axes=(1, 2)))
            scores = predict_scores(network, view, BANDS, tile_px=TILE_PX, overlap_px=OVERLAP_PX)
            back = np.rot90(scores[1], -turns)
            total += back[:, ::-1] if mirrored else back
    return total / 8
