"""What speaks against a training, before it starts; no widgets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Iterator, List, Mapping, Optional

from qgis.core import (
    QgsCoordinateTransform,
    QgsCsException,
    QgsProject,
    QgsRectangle,
    QgsVectorLayer,
)

from ..layers.label_source import MAX_CLASSES, missing_class_text
from ..messages import tr
from .preflight import OK, PROBLEM, WARNING, Note
from .raster_facts import RasterFacts
from .train_names import training_paths

FEW_POLYGONS = 20
FEW_CHIPS = 10


@dataclass(frozen=True)
class TrainInputs:
    """The inputs of a training as far as they can be checked.

    Attributes:
        facts: Of the raster, None without one.
        labels: Label layer.
        field: Its class field, empty for one class.
        counts: Polygons of each class, the empty text for those without one.
        area: Layer of the labelled area.
        tile_px: Side of a chip in pixels.
        title: Name of the model.
        resuming: Whether an interrupted training is continued.
    """

    facts: Optional[RasterFacts]
    labels: Optional[QgsVectorLayer]
    field: str
    counts: Mapping[str, int]
    area: Optional[QgsVectorLayer]
    tile_px: int
    title: str
    resuming: bool


def train_notes(inputs: TrainInputs) -> List[Note]:
    """Return the first problem, or else warnings and what will be done."""
    problem = _problem(inputs)
    if problem:
        return [Note(PROBLEM, problem)]
    return list(_remarks(inputs))


def _problem(inputs: TrainInputs) -> str:
    if inputs.facts is None:
        return tr("Choose a raster layer.")
    if inputs.labels is None:
        return tr("Choose the layer with the label polygons.")
    if not inputs.labels.featureCount():
        return tr("The label layer has no polygons.")
    if not inputs.facts.extent.isEmpty() and box_of(inputs.labels, inputs.facts) is None:
        return tr("The labels lie outside the raster: check the CRS of both.")
    if inputs.field and not [name for name in inputs.counts if name]:
        return tr("No polygon has a class in the field {field}.").format(field=inputs.field)
    if len(inputs.counts) > MAX_CLASSES:
        text = tr("The field {field} has too many classes: is it the right one?")
        return text.format(field=inputs.field)
    if not inputs.title:
        return tr("Give the model a name.")
    if training_paths(inputs.title).taken():
        return tr("There is a model of this name: choose another one.")
    return ""


def _remarks(inputs: TrainInputs) -> Iterator[Note]:
    if inputs.labels is None or inputs.facts is None:
        return
    missing = missing_class_text(dict(inputs.counts))
    if missing:
        yield Note(WARNING, missing)
    if inputs.labels.featureCount() < FEW_POLYGONS:
        text = tr("Only {count} polygons: label more for a model that can be trusted.")
        yield Note(WARNING, text.format(count=inputs.labels.featureCount()))
    box = box_of(inputs.area or inputs.labels, inputs.facts) or QgsRectangle()
    rows, cols = inputs.facts.size_of(box)
    chips = math.ceil(rows / inputs.tile_px) * math.ceil(cols / inputs.tile_px)
    if 0 < chips < FEW_CHIPS:
        text = tr(
            "Only about {count} samples of {tile} px: label more ground, or make the "
            "sample size smaller (Options)."
        )
        yield Note(WARNING, text.format(count=chips, tile=inputs.tile_px))
    if inputs.area is None:
        yield Note(
            WARNING,
            tr(
                "Without a labelled area, all ground of the raster without a polygon counts as "
                "background."
            ),
        )
    classes = len([name for name in inputs.counts if name]) or 1
    text = (
        tr("{polygons} polygons of {classes} classes")
        if classes > 1
        else tr("{polygons} polygons of one class")
    )
    polygons = f"{inputs.labels.featureCount():,}"
    yield Note(OK, text.format(polygons=polygons, classes=classes))


def box_of(layer: QgsVectorLayer, facts: RasterFacts) -> Optional[QgsRectangle]:
    """Return the part of the raster's extent that a layer covers, None if it does not touch it."""
    transform = QgsCoordinateTransform(layer.crs(), facts.crs, QgsProject.instance())
    try:
        box = (
            transform.transformBoundingBox(layer.extent())
            if layer.crs().isValid()
            else (layer.extent())
        )
    except QgsCsException:
        return None
    return box.intersect(facts.extent) if box.intersects(facts.extent) else None
