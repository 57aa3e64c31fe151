"""Where to segment: the whole layer, the current view, a drawn box, or polygons."""

from __future__ import annotations

from typing import Any, Dict, Optional

from qgis.core import (
    QgsMapLayerProxyModel,
    QgsProcessingFeatureSourceDefinition,
    QgsRectangle,
    QgsReferencedRectangle,
    QgsVectorLayer,
)
from qgis.gui import QgsMapCanvas, QgsMapLayerComboBox
from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ..algorithms.segment import AOI, EXTENT
from ..messages import tr
from .extent_tool import BoxTool, transform_box
from .icons import own_icon, theme_icon
from .raster_facts import RasterFacts

LAYER, VIEW, BOX, POLYGONS = "layer", "view", "box", "polygons"


class ExtentPicker(QWidget):
    """Choose the area; ``changed`` says that the area is another one."""

    changed = pyqtSignal()

    def __init__(self, canvas: QgsMapCanvas, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._canvas = canvas
        self._facts: Optional[RasterFacts] = None
        self._watched: Optional[QgsVectorLayer] = None
        self.tool = BoxTool(canvas, self)
        self.mode_combo = QComboBox(self)
        self.mode_combo.setObjectName("rsArea")
        self.mode_combo.setToolTip(tr("The part of the raster that is segmented"))
        for mode, icon, label in (
            (LAYER, theme_icon("mIconRaster.svg"), tr("Whole layer")),
            (VIEW, theme_icon("mActionZoomToArea.svg"), tr("Current map view")),
            (BOX, own_icon("draw_box"), tr("Box drawn on the map")),
            (POLYGONS, theme_icon("mIconPolygonLayer.svg"), tr("Polygons of a layer")),
        ):
            self.mode_combo.addItem(icon, label, mode)
        self._box_row = self._make_box_row()
        self._polygon_row = self._make_polygon_row()
        self.setFocusProxy(self.mode_combo)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for widget in (self.mode_combo, self._box_row, self._polygon_row):
            layout.addWidget(widget)
        self._connect()
        self._show_rows()

    def _make_box_row(self) -> QWidget:
        row = QWidget(self)
        self.draw_button = QToolButton(row)
        self.draw_button.setObjectName("rsDrawBox")
        self.draw_button.setIcon(own_icon("draw_box"))
        self.draw_button.setCheckable(True)
        self.draw_button.setToolTip(tr("Press, then drag a box on the map"))
        self._box_text = QLabel(row)
        self._box_text.setWordWrap(True)
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.draw_button)
        layout.addWidget(self._box_text, 1)
        return row

    def _make_polygon_row(self) -> QWidget:
        row = QWidget(self)
        self.polygon_combo = QgsMapLayerComboBox(row)
        self.polygon_combo.setObjectName("rsAreaPolygons")
        self.polygon_combo.setFilters(QgsMapLayerProxyModel.Filter.PolygonLayer)
        self.polygon_combo.setAllowEmptyLayer(True, tr("choose a polygon layer…"))
        self.polygon_combo.setLayer(None)
        self.polygon_combo.setMinimumContentsLength(8)
        self.polygon_combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.polygon_combo.setToolTip(tr("Only ground inside these polygons is segmented"))
        self.selected_only = QCheckBox(tr("Selected features only"), row)
        self.selected_only.setObjectName("rsSelectedOnly")
        layout = QVBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.polygon_combo)
        layout.addWidget(self.selected_only)
        return row

    def _connect(self) -> None:
        self.mode_combo.currentIndexChanged.connect(self._mode_changed)
        self.draw_button.clicked.connect(self._draw_clicked)
        self.tool.active_changed.connect(self.draw_button.setChecked)
        self.tool.drawn.connect(self._area_changed)
        self.polygon_combo.layerChanged.connect(self._polygon_layer_changed)
        self.selected_only.toggled.connect(self._area_changed)
        self._canvas.extentsChanged.connect(self._view_changed)

    def mode(self) -> str:
        """Return ``layer``, ``view``, ``box`` or ``polygons``."""
        return str(self.mode_combo.currentData())

    def set_mode(self, mode: str) -> None:
        """Choose one of the four modes; an unknown one is ignored."""
        index = self.mode_combo.findData(mode)
        if index >= 0:
            self.mode_combo.setCurrentIndex(index)

    def set_facts(self, facts: Optional[RasterFacts]) -> None:
        """Set the raster that the area belongs to."""
        self._facts = facts
        self._refresh_texts()

    def area(self) -> Optional[QgsRectangle]:
        """Return the bounding box of the area in the raster's CRS, None if it is missing."""
        if self._facts is None:
            return None
        if self.mode() == LAYER:
            return QgsRectangle(self._facts.extent)
        box = self._referenced_area()
        if box is None or box.isEmpty():
            return None
        here = transform_box(box, self._facts.crs)
        return None if here is None else here.intersect(self._facts.extent)

    def _referenced_area(self) -> Optional[QgsReferencedRectangle]:
        if self.mode() == VIEW:
            crs = self._canvas.mapSettings().destinationCrs()
            return QgsReferencedRectangle(self._canvas.extent(), crs)
        if self.mode() == BOX:
            return self.tool.box()
        layer = self.polygon_combo.currentLayer()
        if layer is None:
            return None
        extent = layer.boundingBoxOfSelected() if self.selected_only.isChecked() else layer.extent()
        return QgsReferencedRectangle(extent, layer.crs())

    def parameters(self) -> Dict[str, Any]:
        """Return the area as parameters of the algorithm; nothing for the whole layer."""
        area = self.area()
        if self._facts is None or area is None or self.mode() == LAYER:
            return {}
        if self.mode() == POLYGONS:
            layer_id = self.polygon_combo.currentLayer().id()
            selected = self.selected_only.isChecked()
            return {AOI: QgsProcessingFeatureSourceDefinition(layer_id, selected)}
        return {EXTENT: QgsReferencedRectangle(area, self._facts.crs)}

    def polygon_layer(self) -> Optional[QgsVectorLayer]:
        """Return the layer whose polygons are the area, None for another kind of area."""
        return self.polygon_combo.currentLayer() if self.mode() == POLYGONS else None

    def problem(self) -> str:
        """Return what is missing, "" if the area is complete."""
        if self._facts is None or self.mode() == LAYER:
            return ""
        if self.mode() == BOX and self.tool.box() is None:
            return tr("Draw the box on the map first.")
        if self.mode() == POLYGONS:
            layer = self.polygon_combo.currentLayer()
            if layer is None:
                return tr("Choose the polygon layer of the area.")
            if self.selected_only.isChecked() and not layer.selectedFeatureCount():
                return tr("Select one or more polygons, or untick Selected features only.")
        area = self.area()
        if area is None or area.isEmpty():
            return tr("The area lies outside the raster.")
        return ""

    def dispose(self) -> None:
        """Leave the map: no tool, no rubber band."""
        self.tool.dispose()

    def _mode_changed(self) -> None:
        self._show_rows()
        if self.mode() == BOX and self.tool.box() is None:
            self.tool.start()
        elif self.mode() != BOX:
            self.tool.stop()
        self._area_changed()

    def _show_rows(self) -> None:
        self._box_row.setVisible(self.mode() == BOX)
        self._polygon_row.setVisible(self.mode() == POLYGONS)
        self.tool.set_visible(self.mode() == BOX)
        self._refresh_texts()

    def _draw_clicked(self, checked: bool) -> None:
        if checked:
            self.tool.start()
        else:
            self.tool.stop()

    def _view_changed(self) -> None:
        if self.mode() == VIEW:
            self._area_changed()

    def _polygon_layer_changed(self) -> None:
        if self._watched is not None:
            try:
                self._watched.selectionChanged.disconnect(self._area_changed)
            except (RuntimeError, TypeError):
                self._watched = None
        self._watched = self.polygon_combo.currentLayer()
        if self._watched is not None:
            self._watched.selectionChanged.connect(self._area_changed)
            self.selected_only.setChecked(self._watched.selectedFeatureCount() > 0)
        self._area_changed()

    def _area_changed(self, *_ignored: object) -> None:
        self._refresh_texts()
        self.changed.emit()

    def _refresh_texts(self) -> None:
        if self.tool.box() is None:
            self._box_text.setText(tr("Drag a box on the map."))
        else:
            self._box_text.setText(tr("Box is set. Press to draw another one."))
        layer = self.polygon_combo.currentLayer()
        count = layer.selectedFeatureCount() if layer is not None else 0
        self.selected_only.setText(tr("Selected features only ({count})").format(count=count))
