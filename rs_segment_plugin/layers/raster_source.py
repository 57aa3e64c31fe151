"""Raster layers to sources that GDAL opens in another process; web layers are exported first."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Callable, Optional, Tuple

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCoordinateTransformContext,
    QgsDistanceArea,
    QgsFeatureSource,
    QgsPointXY,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProviderRegistry,
    QgsRasterBlockFeedback,
    QgsRasterDataProvider,
    QgsRasterFileWriter,
    QgsRasterLayer,
    QgsRasterPipe,
    QgsRectangle,
)

from .. import engine_api
from ..messages import tr, with_hint
from .polygon_file import wkt

MAX_EXPORT_PX = 400_000_000
_NOT_FOR_OTHERS = ("/vsimem/", "MEM:")


@dataclass(frozen=True)
class RasterSource:
    """A raster for the engine.

    Attributes:
        name: Name of the layer.
        gdal: GDAL source; empty if the layer must be exported first.
        crs: CRS of the layer in QGIS.
        missing_crs_wkt: CRS as WKT2 if the file itself has none, else empty.
        extent: Extent of the layer in its CRS.
        provider: A copy of the layer's provider, for the export in another thread.
        warnings: Lines for people.
    """

    name: str
    gdal: str
    crs: QgsCoordinateReferenceSystem
    missing_crs_wkt: str
    extent: QgsRectangle
    provider: Optional[QgsRasterDataProvider]
    warnings: Tuple[str, ...] = ()

    def extent_of(
        self, source: QgsFeatureSource, transform_context: QgsCoordinateTransformContext
    ) -> QgsRectangle:
        """Return the box around the features of a source in the CRS of this raster."""
        transform = QgsCoordinateTransform(source.sourceCrs(), self.crs, transform_context)
        return transform.transformBoundingBox(source.sourceExtent())

    def export(
        self,
        path: str,
        extent: QgsRectangle,
        gsd_m: float,
        transform_context: QgsCoordinateTransformContext,
        feedback: QgsProcessingFeedback,
        report: Callable[[engine_api.Event], None],
    ) -> None:
        """Save the extent of a layer that GDAL cannot read to a GeoTIFF.

        Args:
            path: GeoTIFF to write.
            extent: Box in the CRS of the layer.
            gsd_m: Wanted ground sampling distance in metres.
            transform_context: Of the project.
            feedback: Asked for cancel.
            report: Gets the progress of the stage ``export``.

        Raises:
            QgsProcessingException: If there is no extent, it is too large, or writing fails.
        """
        columns, rows = self._export_size(extent, gsd_m, transform_context)
        progress = QgsRasterBlockFeedback()
        progress.progressChanged.connect(
            lambda percent: _on_progress(percent, feedback, progress, report)
        )
        pipe = QgsRasterPipe()
        if self.provider is None or not pipe.set(self.provider.clone()):
            raise QgsProcessingException(
                tr("The layer '{name}' cannot be read.").format(name=self.name)
            )
        writer = QgsRasterFileWriter(path)
        writer.setOutputFormat("GTiff")
        writer.setCreateOptions(["TILED=YES", "COMPRESS=DEFLATE", "BIGTIFF=IF_SAFER"])
        code = writer.writeRaster(
            pipe, columns, rows, extent, self.crs, transform_context, progress
        )
        if feedback.isCanceled():
            return
        failed = int(getattr(code, "value", code))
        if failed or not Path(path).is_file():
            raise QgsProcessingException(
                with_hint(
                    tr("The layer '{name}' cannot be saved (code {code}).").format(
                        name=self.name, code=failed
                    ),
                    tr("Check the network and the free space for temporary files."),
                )
            )

    def _export_size(
        self,
        extent: QgsRectangle,
        gsd_m: float,
        transform_context: QgsCoordinateTransformContext,
    ) -> Tuple[int, int]:
        """Return columns and rows of the export."""
        if extent.isNull() or extent.isEmpty():
            raise QgsProcessingException(
                with_hint(
                    tr("'{name}' is a web layer without a size of its own.").format(name=self.name),
                    tr("Choose an extent or an area of interest."),
                )
            )
        width_m, height_m = ground_size_m(extent, self.crs, transform_context)
        columns, rows = max(1, round(width_m / gsd_m)), max(1, round(height_m / gsd_m))
        if columns * rows > MAX_EXPORT_PX:
            raise QgsProcessingException(
                with_hint(
                    tr("The extent has {n} million pixels at {gsd} m; {limit} are allowed.").format(
                        n=columns * rows // 1_000_000, gsd=gsd_m, limit=MAX_EXPORT_PX // 1_000_000
                    ),
                    tr("Choose a smaller extent, or a file instead of a web layer."),
                )
            )
        return columns, rows


def _on_progress(
    percent: float,
    feedback: QgsProcessingFeedback,
    progress: QgsRasterBlockFeedback,
    report: Callable[[engine_api.Event], None],
) -> None:
    if feedback.isCanceled():
        progress.cancel()
    if isfinite(percent):
        report(engine_api.Progress("export", round(percent), 100, "%"))


def ground_size_m(
    extent: QgsRectangle,
    crs: QgsCoordinateReferenceSystem,
    transform_context: QgsCoordinateTransformContext,
) -> Tuple[float, float]:
    """Return width and height of a box on the ground, by the scale at its centre, in metres.

    A hundredth of the box is measured, since the shortest way between the sides of a box
    around half the globe may run along the other half.
    """
    measure = QgsDistanceArea()
    measure.setSourceCrs(crs, transform_context)
    measure.setEllipsoid(crs.ellipsoidAcronym() or "EPSG:7030")
    centre, part = extent.center(), 1 / 100
    dx, dy = extent.width() * part / 2, extent.height() * part / 2
    west = QgsPointXY(centre.x() - dx, centre.y())
    east = QgsPointXY(centre.x() + dx, centre.y())
    south = QgsPointXY(centre.x(), centre.y() - dy)
    north = QgsPointXY(centre.x(), centre.y() + dy)
    return measure.measureLine(west, east) / part, measure.measureLine(south, north) / part


def gdal_source(layer: QgsRasterLayer) -> str:
    """Return the GDAL name of a layer that another process can open, else an empty text."""
    source = layer.source()
    if layer.providerType() != "gdal" or source.startswith(_NOT_FOR_OTHERS):
        return ""
    parts = QgsProviderRegistry.instance().decodeUri("gdal", source)
    if parts.get("openOptions") or parts.get("credentialOptions") or parts.get("authcfg"):
        return ""
    name = source.split("|", 1)[0]
    return str(Path(name).absolute()) if Path(name).exists() else str(name)


def raster_source(layer: QgsRasterLayer) -> RasterSource:
    """Describe a valid raster layer for the engine; call it in the layer's thread."""
    gdal = gdal_source(layer)
    provider = layer.dataProvider()
    file_crs = provider.crs() if provider is not None else QgsCoordinateReferenceSystem()
    missing = wkt(layer.crs()) if gdal and not file_crs.isValid() else ""
    warnings = []
    if gdal and file_crs.isValid() and layer.crs().isValid() and file_crs != layer.crs():
        text = tr("The CRS of the layer ({layer}) differs from its file's ({file}), which is used.")
        warnings.append(
            text.format(
                layer=layer.crs().userFriendlyIdentifier(), file=file_crs.userFriendlyIdentifier()
            )
        )
    return RasterSource(
        name=layer.name(),
        gdal=gdal,
        crs=file_crs if gdal and file_crs.isValid() else layer.crs(),
        missing_crs_wkt=missing,
        extent=layer.extent(),
        provider=None if gdal or provider is None else provider.clone(),
        warnings=tuple(warnings),
    )
