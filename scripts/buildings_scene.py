"""The Banepa scene of the buildings model: reading, split on the ground, measuring."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from engine.data import split  # noqa: E402
from engine.data.labels import rasterize_polygons  # noqa: E402
from engine.geo.raster import RasterReader  # noqa: E402
from engine.geo.vector import read_polygons  # noqa: E402
from engine.train.validate import (  # noqa: E402
    class_scores,
    confusion_matrix,
    predict_scores,
)
from engine.zoo.card import BandSpec, ClassInfo  # noqa: E402

RASTER_NAME, LABELS_NAME = "banepa_orthophoto_rgb.tif", "banepa_buildings.gpkg"
BLOCK_PX, BUFFER_PX = 512, 48
TEST_BLOCK_ROWS = 2
VALIDATION_BLOCKS = ((1, 4), (3, 1), (5, 3))
TILE_PX, OVERLAP_PX = 512, 128
THRESHOLDS = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
CLASSES = (
    ClassInfo(0, "background", "#000000", background=True),
    ClassInfo(1, "building", "#e6550d"),
)
BANDS = tuple(
    BandSpec(name, 1 / 255, 0.0, 0.5, 0.5, names)
    for name, names in (("red", ("red", "r")), ("green", ("green", "g")), ("blue", ("blue", "b")))
)
Pairs = list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]


@dataclass(frozen=True)
class Scene:
    """Pixels ``[3, H, W]``, class ids and roles ``[H, W]``, all uint8, and the GSD in metres."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    roles: NDArray[np.uint8]
    gsd_m: float


def read_scene(data: Path) -> Scene:
    """Read the orthophoto, burn the polygons and split the ground."""
    with RasterReader(str(data / RASTER_NAME)) as reader:
        grid = reader.grid
        pixels = reader.read_rows(0, grid.height)[0].astype(np.uint8)
    polygons = read_polygons(str(data / LABELS_NAME), crs_wkt=grid.crs_wkt)
    shape_px = (grid.height, grid.width)
    labels = rasterize_polygons(polygons, grid.transform, shape_px)
    blocks = np.full([-(-side // BLOCK_PX) for side in shape_px], split.TRAIN, np.uint8)
    blocks[-TEST_BLOCK_ROWS:] = split.TEST
    for block in VALIDATION_BLOCKS:
        blocks[block] = split.VALIDATION
    roles = split.paint_roles(shape_px, blocks, block_px=BLOCK_PX, buffer_px=BUFFER_PX)
    return Scene(pixels, labels, roles, grid.gsd_m)


def count_pixels(network: nn.Module, pairs: Pairs) -> dict[float, NDArray[np.int64]]:
    """Return the confusion matrix of all pixels of the pairs for every candidate threshold."""
    counts = {threshold: np.zeros((2, 2), np.int64) for threshold in THRESHOLDS}
    for pixels, labels in pairs:
        scores = predict_scores(network, pixels, BANDS, tile_px=TILE_PX, overlap_px=OVERLAP_PX)
        for threshold in THRESHOLDS:
            found = (scores[1] >= threshold).astype(np.uint8)
            counts[threshold] += confusion_matrix(labels, found, len(CLASSES))
    return counts


def measure(network: nn.Module, pairs: Pairs, threshold: float = 0.5) -> dict[str, float]:
    """Return IoU, precision and recall over all pixels of the pairs."""
    return class_scores(count_pixels(network, pairs)[threshold], [c.name for c in CLASSES])


def best_threshold(network: nn.Module, pairs: Pairs) -> float:
    """Return the candidate threshold with the highest building IoU."""
    counts = count_pixels(network, pairs)
    names = [c.name for c in CLASSES]
    return max(THRESHOLDS, key=lambda t: class_scores(counts[t], names)["iou_building"])


def validation_pairs(scene: Scene) -> Pairs:
    """Return the validation blocks, each read alone."""
    parts = [
        (slice(row * BLOCK_PX, (row + 1) * BLOCK_PX), slice(col * BLOCK_PX, (col + 1) * BLOCK_PX))
        for row, col in VALIDATION_BLOCKS
    ]
    return [(scene.pixels[(slice(None), *part)], scene.labels[part]) for part in parts]


def test_pairs(scene: Scene) -> Pairs:
    """Return the test block, read alone."""
    row = int(np.flatnonzero(scene.roles[:, 0] == split.TEST)[0])
    return [(scene.pixels[:, row:], scene.labels[row:])]


def resampled(pairs: Pairs, scale: float) -> Pairs:
    """Return the pairs with pixels ``scale`` times as large."""
    return [_resampled(pixels, labels, scale) for pixels, labels in pairs]


def _resampled(
    pixels: NDArray[np.uint8], labels: NDArray[np.uint8], scale: float
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    if scale == 1.0:
        return pixels, labels
    shape_px = [round(side / scale) for side in labels.shape]
    image = torch.from_numpy(np.ascontiguousarray(pixels)).float().unsqueeze(0)
    image = nn.functional.interpolate(image, shape_px, mode="bilinear", antialias=True)
    rows = ((np.arange(shape_px[0]) + 0.5) * labels.shape[0] / shape_px[0]).astype(int)
    cols = ((np.arange(shape_px[1]) + 0.5) * labels.shape[1] / shape_px[1]).astype(int)
    return image[0].round().clamp(0, 255).byte().numpy(), labels[np.ix_(rows, cols)]
