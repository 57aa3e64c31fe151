"""Vector layers to files that the engine reads: polygons as a GeoPackage, CRS as WKT2."""

from __future__ import annotations

from typing import Optional

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransformContext,
    QgsFeature,
    QgsFeatureRequest,
    QgsFeatureSink,
    QgsFeatureSource,
    QgsFeedback,
    QgsFields,
    QgsProcessingException,
    QgsVectorFileWriter,
    QgsWkbTypes,
)

from ..messages import tr, with_hint

LAYER_NAME = "polygons"


def wkt(crs: QgsCoordinateReferenceSystem) -> str:
    """Return a CRS as WKT2, an empty text if it is not valid."""
    if not crs.isValid():
        return ""
    return str(crs.toWkt(QgsCoordinateReferenceSystem.WktVariant.WKT_PREFERRED))


def write_polygons(
    source: QgsFeatureSource,
    path: str,
    transform_context: QgsCoordinateTransformContext,
    feedback: Optional[QgsFeedback] = None,
    *,
    with_fields: bool = False,
) -> int:
    """Write the features of a layer or Processing source to a GeoPackage; returns the count.

    A Processing source yields the selected features only, where the user asked for that.

    Raises:
        QgsProcessingException: If the file cannot be written, or there are no polygons.
    """
    writer = _writer(source, path, transform_context, with_fields)
    count = 0
    request = QgsFeatureRequest()
    for feature in source.getFeatures(request):
        if feedback is not None and feedback.isCanceled():
            break
        if not feature.hasGeometry():
            continue
        copy = QgsFeature(source.fields() if with_fields else QgsFields())
        if with_fields:
            copy.setAttributes(feature.attributes())
        copy.setGeometry(feature.geometry())
        if not writer.addFeature(copy, QgsFeatureSink.Flag.FastInsert):
            raise _write_error(path, writer.errorMessage())
        count += 1
    finished = writer.flushBuffer()
    reason = writer.errorMessage()
    del writer
    if not finished:
        raise _write_error(path, reason)
    if count == 0 and not (feedback is not None and feedback.isCanceled()):
        raise QgsProcessingException(
            with_hint(
                tr("The layer '{name}' has no polygons.").format(name=source.sourceName()),
                tr("Choose another layer, or select polygons in it."),
            )
        )
    return count


def _writer(
    source: QgsFeatureSource,
    path: str,
    transform_context: QgsCoordinateTransformContext,
    with_fields: bool,
) -> QgsVectorFileWriter:
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "GPKG"
    options.layerName = LAYER_NAME
    options.fileEncoding = "UTF-8"
    writer = QgsVectorFileWriter.create(
        path,
        source.fields() if with_fields else QgsFields(),
        QgsWkbTypes.multiType(source.wkbType()),
        source.sourceCrs(),
        transform_context,
        options,
    )
    if writer.hasError() != QgsVectorFileWriter.WriterError.NoError:
        raise _write_error(path, writer.errorMessage())
    return writer


def _write_error(path: str, reason: str) -> QgsProcessingException:
    message = tr("{path} cannot be written: {reason}").format(path=path, reason=reason)
    return QgsProcessingException(
        with_hint(message, tr("Check the free space of the folder for temporary files."))
    )
