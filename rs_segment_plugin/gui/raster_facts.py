"""What the dock needs to know about a raster layer, read once from the layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Tuple

from qgis.core import (
    Qgis,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransformContext,
    QgsDistanceArea,
    QgsPointXY,
    QgsRasterLayer,
    QgsRectangle,
    QgsUnitTypes,
)

from ..messages import tr

GDAL_PROVIDER = "gdal"
# A number stays on the line of its unit.
_NBSP = "\u00a0"


@dataclass(frozen=True)
class RasterFacts:
    """Size, bands and ground resolution of a raster layer.

    Attributes:
        name: Name of the layer.
        width_px: Columns; 0 for a service without a fixed size (XYZ, WMS).
        height_px: Rows; 0 for a service.
        bands: Label of each band for people, from band 1.
        band_names: Lower-case name of each band, by which a model's bands are found.
        dtypes: GDAL data type of each band, for example ``Byte``.
        pixel_m: Height and width of a pixel in metres at the centre, zeros when unknown.
        crs: CRS of the layer.
        extent: Extent of the layer in its CRS.
        is_file: Whether GDAL reads it directly (no export needed).
    """

    name: str
    width_px: int
    height_px: int
    bands: Tuple[str, ...]
    band_names: Tuple[str, ...]
    dtypes: Tuple[str, ...]
    pixel_m: Tuple[float, float]
    crs: QgsCoordinateReferenceSystem
    extent: QgsRectangle
    is_file: bool

    @property
    def gsd_m(self) -> float:
        """Ground sampling distance: the geometric mean of the two sides, 0 when unknown."""
        return math.sqrt(self.pixel_m[0] * self.pixel_m[1])

    def summary(self) -> str:
        """Return one line for people."""
        parts = []
        if self.width_px:
            parts.append(f"{self.width_px} × {self.height_px} px".replace(" ", _NBSP))
        if self.gsd_m:
            parts.append(length_text(self.gsd_m) + "/px")
        if self.dtypes:
            one, many = tr("1 band"), tr("{count} bands")
            bands = one if len(self.bands) == 1 else many.format(count=len(self.bands))
            parts.append(f"{bands} {self.dtypes[0]}".replace(" ", _NBSP))
        parts.append(self.crs.authid() or self.crs.description() or "–")
        return " · ".join(parts)

    def size_of(self, box: QgsRectangle) -> Tuple[int, int]:
        """Return rows and columns of a box in the raster's CRS, inside the raster."""
        part = box.intersect(self.extent)
        if not self.width_px or part.isEmpty():
            return (0, 0)
        rows = part.height() / self.extent.height() * self.height_px
        cols = part.width() / self.extent.width() * self.width_px
        return (max(1, math.ceil(rows)), max(1, math.ceil(cols)))


def length_text(metres: float) -> str:
    """Return a length such as ``12 cm``, ``1.5 m`` or ``30 m``."""
    if metres < 0.995:
        return f"{metres * 100:.3g}{_NBSP}cm"
    return f"{metres:.3g}{_NBSP}m" if metres < 1000 else f"{metres / 1000:.3g}{_NBSP}km"


def read_facts(layer: QgsRasterLayer) -> RasterFacts:
    """Read the facts of a valid raster layer."""
    provider = layer.dataProvider()
    numbers = range(1, layer.bandCount() + 1)
    return RasterFacts(
        name=layer.name(),
        width_px=max(0, layer.width()),
        height_px=max(0, layer.height()),
        bands=tuple(_band_label(layer, n) for n in numbers),
        band_names=tuple(_band_name(layer, n) for n in numbers),
        dtypes=tuple(_dtype_name(provider.sourceDataType(n)) for n in numbers),
        pixel_m=_pixel_m(layer),
        crs=layer.crs(),
        extent=layer.extent(),
        is_file=layer.providerType() == GDAL_PROVIDER,
    )


def _dtype_name(data_type: Qgis.DataType) -> str:
    name = getattr(data_type, "name", None)
    if name is None:
        name = {1: "Byte", 2: "UInt16", 3: "Int16", 4: "UInt32", 5: "Int32"}.get(int(data_type), "")
    return name or "Float32"


def _band_label(layer: QgsRasterLayer, number: int) -> str:
    label = layer.bandName(number) or str(number)
    name = _band_name(layer, number)
    return label if not name or name in label.lower() else f"{label} ({name})"


def _band_name(layer: QgsRasterLayer, number: int) -> str:
    """Return the band's description, else its colour interpretation, in lower case."""
    name = str(layer.bandName(number))
    for mark in (": ", " - "):
        if mark in name:
            return name.split(mark, 1)[1].strip().lower()
    interpretation = str(layer.dataProvider().colorInterpretationName(number))
    return interpretation.strip().lower().replace("band", "").strip(" _")


def _pixel_m(layer: QgsRasterLayer) -> Tuple[float, float]:
    """Return height and width of a pixel in metres at the layer's centre."""
    step_x, step_y = layer.rasterUnitsPerPixelX(), layer.rasterUnitsPerPixelY()
    crs = layer.crs()
    if not crs.isValid() or not layer.width() or not (step_x > 0 and step_y > 0):
        return (0.0, 0.0)
    measure = QgsDistanceArea()
    measure.setSourceCrs(crs, QgsCoordinateTransformContext())
    measure.setEllipsoid(crs.ellipsoidAcronym() or "EPSG:7030")
    center = layer.extent().center()
    # A hundred pixels keep the numbers of the ellipsoid formula well conditioned.
    span = 100.0
    across = measure.measureLine(center, QgsPointXY(center.x() + span * step_x, center.y()))
    down = measure.measureLine(center, QgsPointXY(center.x(), center.y() - span * step_y))
    to_m = QgsUnitTypes.fromUnitToUnitFactor(measure.lengthUnits(), _METRES)
    sides = (down * to_m / span, across * to_m / span)
    return sides if all(map(math.isfinite, sides)) else (0.0, 0.0)


_METRES = (
    Qgis.DistanceUnit.Meters
    if hasattr(Qgis, "DistanceUnit")
    else QgsUnitTypes.DistanceUnit.DistanceMeters
)
