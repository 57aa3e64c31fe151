"""Raster layer combo that follows the active layer, with one line of facts below."""

from __future__ import annotations

from typing import Any, Optional

from qgis.core import QgsMapLayer, QgsMapLayerProxyModel, QgsProject, QgsRasterLayer
from qgis.gui import QgsMapLayerComboBox
from qgis.PyQt.QtCore import QFileInfo, pyqtSignal
from qgis.PyQt.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from .. import settings
from ..messages import tr
from .icons import theme_icon
from .raster_facts import RasterFacts, read_facts

FOLDER_KEY = "raster_folder"


class RasterInput(QWidget):
    """Choose the raster layer; ``changed`` says that another one (or none) is chosen."""

    changed = pyqtSignal()

    def __init__(self, iface: Any, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._iface = iface
        self._facts: Optional[RasterFacts] = None
        self.combo = QgsMapLayerComboBox(self)
        self.combo.setObjectName("rsRaster")
        self.combo.setFilters(QgsMapLayerProxyModel.Filter.RasterLayer)
        self.combo.setMinimumContentsLength(8)
        self.combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.combo.setToolTip(tr("The image to segment; follows the layer chosen in the map"))
        browse = QToolButton(self)
        browse.setAutoRaise(True)
        browse.setIcon(theme_icon("mActionAddRasterLayer.svg"))
        browse.setToolTip(tr("Add a raster file to the project"))
        self._summary = QLabel(self)
        self._summary.setObjectName("rsRasterFacts")
        self._summary.setWordWrap(True)
        self._summary.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        row = QHBoxLayout()
        row.setSpacing(2)
        row.addWidget(self.combo, 1)
        row.addWidget(browse)
        self.setFocusProxy(self.combo)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(row)
        layout.addWidget(self._summary)
        browse.clicked.connect(self._browse)
        self.combo.layerChanged.connect(self._layer_changed)
        iface.currentLayerChanged.connect(self.follow)
        self.follow(iface.activeLayer())
        self._layer_changed(self.combo.currentLayer())

    def layer(self) -> Optional[QgsRasterLayer]:
        """Return the chosen raster layer."""
        return self.combo.currentLayer()

    def facts(self) -> Optional[RasterFacts]:
        """Return the facts of the chosen layer, None for none or a broken one."""
        return self._facts

    def follow(self, layer: Optional[QgsMapLayer]) -> None:
        """Choose the layer if it is a raster."""
        if self.isEnabled() and isinstance(layer, QgsRasterLayer):
            self.combo.setLayer(layer)

    def dispose(self) -> None:
        """Stop following the active layer."""
        self._iface.currentLayerChanged.disconnect(self.follow)

    def _layer_changed(self, layer: Optional[QgsMapLayer]) -> None:
        sound = isinstance(layer, QgsRasterLayer) and layer.isValid()
        self._facts = read_facts(layer) if sound else None
        if self._facts is not None:
            text = self._facts.summary()
        elif layer is not None:
            text = tr("This layer cannot be read: its file is missing or broken.")
        else:
            text = tr("Add a raster layer to the map, or open a file.")
        self._summary.setText(f"<span style='color:gray'>{text}</span>")
        self.changed.emit()

    def _browse(self) -> None:
        title, folder = tr("Open a raster"), settings.gui_value(FOLDER_KEY, "")
        path, _ = QFileDialog.getOpenFileName(self, title, folder)
        if not path:
            return
        settings.set_gui_value(FOLDER_KEY, QFileInfo(path).absolutePath())
        layer = QgsRasterLayer(path, QFileInfo(path).completeBaseName())
        if layer.isValid():
            QgsProject.instance().addMapLayer(layer)
            self.combo.setLayer(layer)
            return
        text = tr("{path} is not a raster that QGIS can read.").format(path=path)
        self._iface.messageBar().pushWarning(tr("RS Segment"), text)
