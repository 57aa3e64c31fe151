"""Map tool that draws the box, and the rubber band that keeps showing it."""

from __future__ import annotations

from typing import Optional

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCsException,
    QgsGeometry,
    QgsProject,
    QgsRectangle,
    QgsReferencedRectangle,
    QgsWkbTypes,
)
from qgis.gui import QgsMapCanvas, QgsMapTool, QgsMapToolExtent, QgsRubberBand
from qgis.PyQt.QtCore import QObject, pyqtSignal
from qgis.PyQt.QtGui import QColor

_EDGE = QColor(230, 81, 0)
_FILL = QColor(230, 81, 0, 30)


class BoxTool(QObject):
    """Draws one box on a canvas and keeps it visible until it is cleared.

    Signals:
        drawn: A new box was drawn.
        active_changed: The tool was switched on or off (also by another map tool).
    """

    drawn = pyqtSignal()
    active_changed = pyqtSignal(bool)

    def __init__(self, canvas: QgsMapCanvas, parent: Optional[QObject] = None) -> None:
        super().__init__(parent)
        self._canvas = canvas
        self._previous: Optional[QgsMapTool] = None
        self._box: Optional[QgsReferencedRectangle] = None
        self._tool = QgsMapToolExtent(canvas)
        self._band = QgsRubberBand(canvas, QgsWkbTypes.GeometryType.PolygonGeometry)
        self._band.setStrokeColor(_EDGE)
        self._band.setFillColor(_FILL)
        self._band.setWidth(2)
        self._tool.extentChanged.connect(self._finish)
        self._tool.activated.connect(self._activated)
        self._tool.deactivated.connect(self._deactivated)
        canvas.destinationCrsChanged.connect(self._redraw)

    def start(self) -> None:
        """Let the user draw; the map tool in use now comes back afterwards."""
        current = self._canvas.mapTool()
        if current is not self._tool:
            self._previous = current
        self._canvas.setMapTool(self._tool)

    def stop(self) -> None:
        """Stop drawing and return to the map tool from before."""
        if self._canvas.mapTool() is not self._tool:
            return
        self._canvas.unsetMapTool(self._tool)
        if self._previous is not None:
            self._canvas.setMapTool(self._previous)
        self._previous = None

    def box(self) -> Optional[QgsReferencedRectangle]:
        """Return the drawn box with its CRS, None if there is none."""
        return self._box

    def set_box(self, box: Optional[QgsReferencedRectangle]) -> None:
        """Set or clear the box."""
        self._box = box
        self._redraw()

    def set_visible(self, visible: bool) -> None:
        """Show or hide the box on the map; it is kept."""
        self._band.setVisible(visible and self._box is not None)

    def dispose(self) -> None:
        """Remove everything from the canvas."""
        self.stop()
        self._canvas.scene().removeItem(self._band)
        # The canvas owns the tool, and the tool a rubber band of its own.
        self._tool.deleteLater()

    def _finish(self, extent: QgsRectangle) -> None:
        if not extent.isEmpty():
            crs = self._canvas.mapSettings().destinationCrs()
            self.set_box(QgsReferencedRectangle(extent, crs))
            self.stop()
            self.drawn.emit()

    def _redraw(self) -> None:
        self._band.reset(QgsWkbTypes.GeometryType.PolygonGeometry)
        if self._box is None:
            return
        crs = self._canvas.mapSettings().destinationCrs()
        geometry = box_outline(self._box, crs)
        if geometry is not None:
            self._band.setToGeometry(geometry, None)

    def _activated(self) -> None:
        self.active_changed.emit(True)

    def _deactivated(self) -> None:
        self.active_changed.emit(False)


def box_outline(
    box: QgsReferencedRectangle, crs: QgsCoordinateReferenceSystem
) -> Optional[QgsGeometry]:
    """Return a box as a polygon in another CRS, None if it has no image there."""
    geometry = QgsGeometry.fromRect(box)
    if crs == box.crs():
        return geometry
    try:
        geometry.transform(QgsCoordinateTransform(box.crs(), crs, QgsProject.instance()))
    except QgsCsException:
        return None
    return geometry


def transform_box(
    box: QgsReferencedRectangle, crs: QgsCoordinateReferenceSystem
) -> Optional[QgsRectangle]:
    """Return the bounding box in another CRS, None if the transformation fails."""
    if crs == box.crs() or not crs.isValid() or not box.crs().isValid():
        return QgsRectangle(box)
    transform = QgsCoordinateTransform(box.crs(), crs, QgsProject.instance())
    try:
        return transform.transformBoundingBox(QgsRectangle(box))
    except QgsCsException:
        return None
