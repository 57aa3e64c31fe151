"""Polygons of any QGIS layer or Processing source to a GeoPackage that the engine reads."""

from __future__ import annotations

from typing import Optional, Sequence

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransformContext,
    QgsFeature,
    QgsFeatureIterator,
    QgsFeatureRequest,
    QgsFeatureSink,
    QgsFeatureSource,
    QgsFeedback,
    QgsFields,
    QgsGeometry,
    QgsProcessingException,
    QgsProcessingFeatureSource,
    QgsVectorFileWriter,
    QgsWkbTypes,
)

from ..messages import tr, with_hint

LAYER_NAME = "polygons"
# A name that no field of the user has, so that a field called "fid" is kept as it is.
_ID_COLUMN = "rs_fid"


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
    fields: Sequence[str] = (),
) -> int:
    """Write the features of a layer or Processing source to a GeoPackage; returns the count.

    A Processing source yields the selected features only, where the user asked for that. Edits
    that are not saved yet are written as they are shown. Geometries that are not valid are
    written as well, because the engine mends them.

    Args:
        source: Layer or Processing source of polygons.
        path: GeoPackage to write.
        transform_context: Of the project.
        feedback: Asked for cancel.
        fields: Names of the fields to keep; none by default.

    Raises:
        QgsProcessingException: If the file cannot be written, or there are no polygons.
    """
    kept = _kept_fields(source.fields(), fields)
    indexes = [source.fields().lookupField(field.name()) for field in kept]
    writer = _writer(source, path, transform_context, kept)
    count = 0
    for feature in _features(source):
        if feedback is not None and feedback.isCanceled():
            break
        if not feature.hasGeometry():
            continue
        copy = QgsFeature(kept)
        copy.setAttributes([feature.attribute(index) for index in indexes])
        copy.setGeometry(_straight(feature.geometry()))
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


def _kept_fields(fields: QgsFields, names: Sequence[str]) -> QgsFields:
    kept = QgsFields()
    for name in names:
        index = fields.lookupField(name)
        if index >= 0:
            kept.append(fields.at(index))
    return kept


def _features(source: QgsFeatureSource) -> QgsFeatureIterator:
    if isinstance(source, QgsProcessingFeatureSource):
        flag = QgsProcessingFeatureSource.Flag.FlagSkipGeometryValidityChecks
        return source.getFeatures(QgsFeatureRequest(), flag)
    return source.getFeatures(QgsFeatureRequest())


def _straight(geometry: QgsGeometry) -> QgsGeometry:
    """Return the geometry with its curves drawn by straight lines."""
    if not QgsWkbTypes.isCurvedType(geometry.wkbType()):
        return geometry
    return QgsGeometry(geometry.constGet().segmentize())


def _writer(
    source: QgsFeatureSource,
    path: str,
    transform_context: QgsCoordinateTransformContext,
    fields: QgsFields,
) -> QgsVectorFileWriter:
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "GPKG"
    options.layerName = LAYER_NAME
    options.fileEncoding = "UTF-8"
    options.layerOptions = [f"FID={_ID_COLUMN}"]
    writer = QgsVectorFileWriter.create(
        path,
        fields,
        QgsWkbTypes.multiType(QgsWkbTypes.linearType(source.wkbType())),
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
