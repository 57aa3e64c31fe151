"""Layers among the parameters: taken in their own thread, turned into job fields in another."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProcessingUtils,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)

from ..layers.label_source import LabelSource, label_source
from ..layers.polygon_file import wkt
from ..layers.raster_source import RasterSource, raster_source
from ..messages import tr, with_hint
from .base import temporary_path
from .listener import FeedbackListener, Span, stage_texts

EXPORT_SPAN: Dict[str, Span] = {"export": (0.0, 30.0)}


def take_raster(
    algorithm: QgsProcessingAlgorithm,
    parameters: Dict[str, Any],
    name: str,
    context: QgsProcessingContext,
    feedback: QgsProcessingFeedback,
) -> RasterSource:
    """Describe the raster layer of a parameter; call it from ``prepareAlgorithm``.

    Raises:
        QgsProcessingException: If there is none that can be read.
    """
    layer = algorithm.parameterAsRasterLayer(parameters, name, context)
    if layer is None or not layer.isValid():
        raise QgsProcessingException(algorithm.invalidRasterError(parameters, name))
    return _described(layer, feedback)


def take_rasters(
    algorithm: QgsProcessingAlgorithm,
    parameters: Dict[str, Any],
    name: str,
    context: QgsProcessingContext,
    feedback: QgsProcessingFeedback,
) -> List[RasterSource]:
    """Describe the raster layers of a parameter for several; none if it is empty.

    Raises:
        QgsProcessingException: If one of them cannot be read.
    """
    if not parameters.get(name):
        return []
    layers = algorithm.parameterAsLayerList(parameters, name, context)
    if not layers or not all(isinstance(x, QgsRasterLayer) and x.isValid() for x in layers):
        raise QgsProcessingException(algorithm.invalidRasterError(parameters, name))
    return [_described(layer, feedback) for layer in layers]


def _described(layer: QgsRasterLayer, feedback: QgsProcessingFeedback) -> RasterSource:
    source = raster_source(layer)
    for warning in source.warnings:
        feedback.pushWarning(warning)
    return source


def take_labels(
    algorithm: QgsProcessingAlgorithm,
    parameters: Dict[str, Any],
    name: str,
    context: QgsProcessingContext,
    field: str = "",
) -> Optional[LabelSource]:
    """Describe the polygons of a parameter; call it from ``prepareAlgorithm``.

    Returns:
        None if the parameter is empty.

    Raises:
        QgsProcessingException: If the layer cannot be read.
    """
    value = parameters.get(name)
    if value in (None, ""):
        return None
    source = algorithm.parameterAsSource(parameters, name, context)
    if source is None:
        raise QgsProcessingException(algorithm.invalidSourceError(parameters, name))
    return label_source(source, layer_of(value, context), field, part=_is_part(value))


def field_problem(
    algorithm: QgsProcessingAlgorithm,
    parameters: Dict[str, Any],
    name: str,
    field_name: str,
    context: QgsProcessingContext,
) -> str:
    """Return that a layer has not the chosen field, an empty text if it has it."""
    field = algorithm.parameterAsString(parameters, field_name, context)
    source = algorithm.parameterAsSource(parameters, name, context) if field else None
    if source is None or source.fields().lookupField(field) >= 0:
        return ""
    known = ", ".join(f.name() for f in source.fields()) or tr("none")
    message = tr("The layer '{name}' has no field '{field}'.")
    return with_hint(
        message.format(name=source.sourceName(), field=field),
        tr("Fields of the layer: {names}").format(names=known),
    )


def layer_of(value: Any, context: QgsProcessingContext) -> Optional[QgsVectorLayer]:
    """Return the vector layer that a parameter's value means, None if it is no layer."""
    if isinstance(value, QgsProcessingFeatureSourceDefinition):
        value = value.source.valueAsString(context.expressionContext())[0]
    if isinstance(value, QgsVectorLayer):
        return value
    if not isinstance(value, str) or not value:
        return None
    layer = QgsProcessingUtils.mapLayerFromString(value, context)
    return layer if isinstance(layer, QgsVectorLayer) else None


def _is_part(value: Any) -> bool:
    """Return whether a value means some features of its layer only."""
    if not isinstance(value, QgsProcessingFeatureSourceDefinition):
        return False
    limited = getattr(value, "featureLimit", -1) >= 0 or getattr(value, "filterExpression", "")
    return bool(value.selectedFeaturesOnly or limited)


def label_fields(
    source: Optional[LabelSource],
    file_field: str,
    layer_field: str,
    context: QgsProcessingContext,
    feedback: QgsProcessingFeedback,
) -> Dict[str, str]:
    """Return the job fields for polygons, none where there are none; writes a copy if needed.

    Raises:
        QgsProcessingException: If the copy cannot be written, or there are no polygons.
    """
    if source is None:
        return {}
    copy = temporary_path(f"{file_field}.gpkg")
    path, layer = source.file(copy, context.transformContext(), feedback)
    return {file_field: path, layer_field: layer}


def raster_path(
    source: RasterSource,
    extent: QgsRectangle,
    gsd_m: float,
    context: QgsProcessingContext,
    feedback: QgsProcessingFeedback,
) -> str:
    """Return the GDAL source of a raster; a layer that GDAL cannot read is saved first.

    Args:
        source: The raster.
        extent: Part to save, in the CRS of the raster.
        gsd_m: Pixel size to save with, in metres.
        context: Of the run.
        feedback: Gets progress, is asked for cancel.

    Raises:
        QgsProcessingException: If the layer cannot be saved.
    """
    if source.gdal:
        return source.gdal
    path = temporary_path("raster.tif")
    listener = FeedbackListener(feedback, EXPORT_SPAN, stage_texts())
    source.export(path, extent, gsd_m, context.transformContext(), feedback, listener)
    return path


def raster_crs(sources: Sequence[RasterSource]) -> str:
    """Return the CRS for rasters whose file has none, as WKT2; empty if all have one.

    Raises:
        QgsProcessingException: If two of them need different ones.
    """
    texts = {source.missing_crs_wkt if source.gdal else "" for source in sources} - {""}
    if len(texts) > 1:
        raise QgsProcessingException(
            with_hint(
                tr("The rasters have no CRS of their own, and their layers have different ones."),
                tr("Save the rasters with their CRS, or use them one after another."),
            )
        )
    return texts.pop() if texts else ""


def export_extent(
    raster: RasterSource, areas: Sequence[Optional[LabelSource]], context: QgsProcessingContext
) -> QgsRectangle:
    """Return the box in the raster's CRS of the first polygons that are given."""
    for area in areas:
        if area is not None:
            return raster.extent_of(area.source, context.transformContext())
    return QgsRectangle()


def corners(extent: QgsRectangle) -> Tuple[float, float, float, float]:
    """Return a box as a job takes it."""
    return extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()


def exported_crs(source: RasterSource) -> str:
    """Return the CRS that a job needs for a raster, empty where its file has one."""
    return source.missing_crs_wkt if source.gdal else wkt(source.crs)
