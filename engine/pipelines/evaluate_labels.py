"""True polygons on a raster: with the class ids of a model, and burnt into rows of its grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from ..data.labels import rasterize_polygons
from ..errors import LabelError
from ..evaluate.class_names import are_numbers, class_texts, folded
from ..geo.grid import Grid
from ..geo.vector import read_labels, read_polygons
from ..jobs import EvaluateJob
from ..zoo.card import ModelCard
from .evaluate_model import missing_classes


@dataclass(frozen=True)
class Labels:
    """True polygons in the CRS of a raster, with the model's class id of each."""

    polygons: NDArray[Any]
    class_ids: NDArray[np.int64]


def read_truth(job: EvaluateJob, card: ModelCard, grid: Grid) -> Labels:
    """Return the labels on a raster with class ids of a model.

    Raises:
        LabelError: If they lie elsewhere, or their classes do not fit the model.
    """
    options = {"layer": job.label_layer, "crs_wkt": grid.crs_wkt}
    if job.class_field:
        polygons, values = read_labels(job.labels, field=job.class_field, **options)
        class_ids = _class_ids(class_texts(values, job.labels), card)
    else:
        polygons = read_polygons(job.labels, **options)
        class_ids = np.full(len(polygons), _only_class(job, card), np.int64)
    inside = shapely.intersects(footprint(grid), polygons)
    if not inside.any():
        raise LabelError(
            f"no polygon of {job.labels} lies on {job.raster}",
            "check the CRS of both, and that they show the same ground",
        )
    return Labels(polygons[inside], class_ids[inside])


def _class_ids(texts: list[str], card: ModelCard) -> NDArray[np.int64]:
    """Return the model's ids of classes given by name or, if all are numbers, by id."""
    ids = {folded(c.name): c.id for c in card.classes}
    if are_numbers(texts) and not set(map(folded, texts)) <= set(ids):
        ids = {str(c.id): c.id for c in card.classes}
    unknown = sorted({text for text in texts if folded(text) not in ids})
    if unknown:
        raise missing_classes(card, unknown)
    return np.array([ids[folded(text)] for text in texts], np.int64)


def _only_class(job: EvaluateJob, card: ModelCard) -> int:
    foreground = [c for c in card.classes if not c.background]
    if len(foreground) != 1:
        names = ", ".join(c.name for c in foreground)
        raise LabelError(
            f"the labels have no class field, model {card.id!r} has {len(foreground)} classes "
            f"({names})",
            f"name the field of {job.labels} that holds the class",
        )
    return foreground[0].id


def footprint(grid: Grid) -> shapely.Polygon:
    """Return the outline of a grid on the map."""
    rows, cols = [0, 0, grid.height, grid.height], [0, grid.width, grid.width, 0]
    return shapely.Polygon(np.column_stack(grid.pixel_to_map(rows, cols)))


class LabelRows:
    """Labels burnt into rows of a grid: a pixel has the class of the polygon at its centre.

    Args:
        labels: Polygons and class ids; later ones win.
        grid: The grid.
        background: Class of ground outside all polygons, 255 for none that counts.
    """

    def __init__(self, labels: Labels, grid: Grid, background: int) -> None:
        def to_pixels(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
            rows, cols = grid.map_to_pixel(x, y)
            return cols, rows

        self._polygons = shapely.transform(labels.polygons, to_pixels, interleaved=False)
        self._ids = labels.class_ids
        self._tree = shapely.STRtree(self._polygons)
        self._width, self._background = grid.width, background

    def rows(self, row0: int, row1: int) -> NDArray[np.uint8]:
        """Return the classes of rows ``row0`` to ``row1 - 1``, ``[h, W]``."""
        near = np.sort(self._tree.query(shapely.box(0, row0, self._width, row1)))
        return rasterize_polygons(
            self._polygons[near],
            Affine.translation(0, row0),
            (row1 - row0, self._width),
            class_ids=self._ids[near].tolist(),
            background_id=self._background,
        )
