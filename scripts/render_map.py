#!/usr/bin/env python3
"""Render a raster with a vector layer as a map with legend and scale bar, by QGIS's own layout.

Runs in QGIS's Python (``/usr/bin/python3`` on Debian), no screen needed::

    python3 scripts/render_map.py RASTER LAYER OUTPUT.png [--title T] [--credits C] [--dpi N]

The layer is drawn in the style that is saved in its GeoPackage.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("GDAL_PAM_ENABLED", "NO")  # no statistics file beside the raster

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsLayoutExporter,
    QgsLayoutItem,
    QgsLayoutItemLabel,
    QgsLayoutItemLegend,
    QgsLayoutItemMap,
    QgsLayoutItemScaleBar,
    QgsLayoutPoint,
    QgsLayoutSize,
    QgsPrintLayout,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsTextFormat,
    QgsUnitTypes,
    QgsVectorLayer,
)
from qgis.PyQt.QtGui import QFont

MAP_WIDTH_MM = 300.0
MARGIN_MM = 8.0
TITLE_MM = 14.0
LEGEND_MM = 26.0


def metric_crs(layer: QgsRasterLayer) -> QgsCoordinateReferenceSystem:
    """Return the raster's CRS, or one in metres about its centre where its units are degrees."""
    if not layer.crs().isGeographic():
        return layer.crs()
    center = layer.extent().center()
    place = f"+lat_0={center.y():.9f} +lon_0={center.x():.9f}"
    return QgsCoordinateReferenceSystem.fromProj(f"+proj=tmerc {place} +datum=WGS84 +units=m")


def covered_extent(layer: QgsRasterLayer, crs: QgsCoordinateReferenceSystem) -> QgsRectangle:
    """Return the raster's extent in another CRS."""
    transform = QgsCoordinateTransform(layer.crs(), crs, QgsProject.instance())
    return transform.transformBoundingBox(layer.extent())


def text_format(size_pt: float, *, bold: bool = False) -> QgsTextFormat:
    """Return a plain text format."""
    font = QFont("DejaVu Sans")
    font.setBold(bold)
    result = QgsTextFormat()
    result.setFont(font)
    result.setSize(size_pt)
    return result


def place(item: QgsLayoutItem, x_mm: float, y_mm: float, size_mm: tuple[float, float]) -> None:
    """Put an item on the page."""
    millimetres = QgsUnitTypes.LayoutMillimeters
    item.layout().addLayoutItem(item)
    item.attemptMove(QgsLayoutPoint(x_mm, y_mm, millimetres))
    item.attemptResize(QgsLayoutSize(*size_mm, millimetres))


def add_label(
    layout: QgsPrintLayout, text: str, x_mm: float, y_mm: float, *, size_pt: float, width_mm: float
) -> None:
    """Add a text."""
    label = QgsLayoutItemLabel(layout)
    label.setText(text)
    label.setTextFormat(text_format(size_pt, bold=size_pt > 12))
    place(label, x_mm, y_mm, (width_mm, size_pt))


def add_legend(layout: QgsPrintLayout, map_item: QgsLayoutItemMap, y_mm: float) -> None:
    """Add the legend of the vector layers, without the raster's bands."""
    legend = QgsLayoutItemLegend(layout)
    legend.setLinkedMap(map_item)
    legend.setAutoUpdateModel(False)
    for layer in QgsProject.instance().mapLayers().values():
        if isinstance(layer, QgsRasterLayer):
            legend.model().rootGroup().removeLayer(layer)
    place(legend, MARGIN_MM, y_mm, (120.0, LEGEND_MM - 4))
    legend.adjustBoxSize()


def add_scale_bar(layout: QgsPrintLayout, map_item: QgsLayoutItemMap, y_mm: float) -> None:
    """Add a scale bar in metres."""
    bar = QgsLayoutItemScaleBar(layout)
    bar.setStyle("Single Box")
    bar.setLinkedMap(map_item)
    bar.applyDefaultSize(QgsUnitTypes.DistanceMeters)
    bar.setTextFormat(text_format(9))
    place(bar, MARGIN_MM + 130, y_mm, (120.0, 16.0))


def make_layout(
    layers: list, extent: QgsRectangle, arguments: argparse.Namespace
) -> QgsPrintLayout:
    """Return a page with title, map, legend, scale bar and credits."""
    height_mm = MAP_WIDTH_MM * extent.height() / extent.width()
    layout = QgsPrintLayout(QgsProject.instance())
    layout.initializeDefaults()
    page = layout.pageCollection().page(0)
    page_size = (MAP_WIDTH_MM + 2 * MARGIN_MM, height_mm + TITLE_MM + LEGEND_MM + MARGIN_MM)
    page.setPageSize(QgsLayoutSize(*page_size, QgsUnitTypes.LayoutMillimeters))
    add_label(layout, arguments.title, MARGIN_MM, 5.0, size_pt=16, width_mm=MAP_WIDTH_MM)
    map_item = QgsLayoutItemMap(layout)
    map_item.setCrs(QgsProject.instance().crs())
    map_item.setLayers(layers)
    map_item.setFrameEnabled(True)
    place(map_item, MARGIN_MM, TITLE_MM, (MAP_WIDTH_MM, height_mm))
    map_item.zoomToExtent(extent)
    below_mm = TITLE_MM + height_mm + 3
    add_legend(layout, map_item, below_mm)
    add_scale_bar(layout, map_item, below_mm)
    add_label(
        layout,
        arguments.credits,
        MARGIN_MM + 130,
        below_mm + 16,
        size_pt=8,
        width_mm=MAP_WIDTH_MM - 130,
    )
    return layout


def render(arguments: argparse.Namespace) -> None:
    """Load the layers, make the page and write the picture; ValueError if one is unreadable."""
    raster = QgsRasterLayer(arguments.raster, Path(arguments.raster).stem)
    vector = QgsVectorLayer(arguments.layer, arguments.name or Path(arguments.layer).stem, "ogr")
    for layer in (raster, vector):
        if not layer.isValid():
            raise ValueError(f"QGIS cannot open {layer.source()}")
    project = QgsProject.instance()
    project.setCrs(metric_crs(raster))
    project.addMapLayers([raster, vector])
    layout = make_layout([vector, raster], covered_extent(raster, project.crs()), arguments)
    Path(arguments.output).parent.mkdir(parents=True, exist_ok=True)
    picture = QgsLayoutExporter(layout).renderPageToImage(0, dpi=arguments.dpi)
    if not picture.save(arguments.output):
        raise ValueError(f"{arguments.output} cannot be written")


def main() -> int:
    """Run the script; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("raster")
    parser.add_argument("layer", help="file, or file|layername=NAME")
    parser.add_argument("output")
    parser.add_argument("--title", default="RS Segment")
    parser.add_argument("--name", default="", help="name of the layer in the legend")
    parser.add_argument("--credits", default="")
    parser.add_argument("--dpi", type=int, default=130)
    arguments = parser.parse_args()
    application = QgsApplication([], False)
    application.initQgis()
    try:
        render(arguments)
    except ValueError as error:
        print(f"render_map: {error}", file=sys.stderr)
        return 2
    finally:
        QgsProject.instance().clear()
        application.exitQgis()
    return 0


if __name__ == "__main__":
    sys.exit(main())
