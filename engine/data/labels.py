"""Polygons to class rasters on a grid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio import features

BACKGROUND_ID = 0


def rasterize_polygons(
    polygons: Iterable[Any],
    transform: Affine,
    shape_px: tuple[int, int],
    *,
    class_ids: Sequence[int] | int = 1,
    background_id: int = BACKGROUND_ID,
) -> NDArray[np.uint8]:
    """Return the class of every pixel, by the place of its centre.

    Args:
        polygons: Shapely polygons in the coordinates of ``transform``; later ones win.
        transform: Pixel (column, row) to map (x, y).
        shape_px: Height and width.
        class_ids: One id in 0..254 for all polygons, or one per polygon.
        background_id: Id of pixels outside all polygons.

    Returns:
        Class ids ``[H, W]`` uint8.

    Raises:
        ValueError: If the number of ids differs from the number of polygons.
    """
    shapes = [polygon for polygon in polygons]
    ids = [class_ids] * len(shapes) if isinstance(class_ids, int) else list(class_ids)
    if len(ids) != len(shapes):
        raise ValueError(f"{len(shapes)} polygons, but {len(ids)} class ids")
    pairs = [(shape, i) for shape, i in zip(shapes, ids, strict=True) if not shape.is_empty]
    labels = np.full(shape_px, background_id, np.uint8)
    if pairs:
        features.rasterize(pairs, out=labels, transform=transform)
    return labels
