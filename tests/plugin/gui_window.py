"""A main window with a real canvas, message bar and project, for tests of single widgets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from osgeo import gdal, osr
from qgis.core import QgsCoordinateReferenceSystem, QgsMapLayer, QgsProject, QgsRasterLayer
from qgis.gui import QgsMapCanvas, QgsMessageBar
from qgis.PyQt.QtCore import QEventLoop, QObject, Qt, QTimer, pyqtSignal
from qgis.PyQt.QtWidgets import QDockWidget, QMainWindow, QVBoxLayout, QWidget

gdal.UseExceptions()

CARD = {
    "id": "roofs",
    "title": "Roofs in photos",
    "task": "semantic",
    "builder": "unet",
    "builder_args": {"encoder": "mobilenet_v2"},
    "classes": [
        {"id": 0, "name": "ground", "color": "#000000", "background": True},
        {"id": 1, "name": "roof <flat>", "color": "#e6550d"},
    ],
    "bands": [
        {"name": name, "scale": 1 / 255, "offset": 0.0, "mean": 0.5, "std": 0.25, "names": [name]}
        for name in ("red", "green", "blue")
    ],
    "resolution_m": {"min": 0.5, "nominal": 1.0, "max": 2.0},
    "tile_px": 512,
    "overlap_px": 64,
    "stride": 32,
    "score_threshold": 0.35,
    "weights": None,
    "dtypes": ["uint8"],
    "metrics": [
        {"data": "Town, test blocks", "name": "roof iou", "value": 0.814},
        {"data": "Town, test blocks", "name": "roof recall", "value": 0.9},
        {"data": "Village", "name": "roof iou", "value": 0.7},
    ],
    "training": {"data": "Photos of a town"},
    "licenses": {"code": "GPL-2.0-or-later", "weights": "CC-BY-4.0"},
}


class Window(QObject):
    """The part of the QGIS interface that the dock uses, with real widgets behind it."""

    currentLayerChanged = pyqtSignal(object)

    def __init__(self) -> None:
        super().__init__()
        self._window = QMainWindow()
        self._canvas = QgsMapCanvas(self._window)
        self._bar = QgsMessageBar(self._window)
        center = QWidget(self._window)
        layout = QVBoxLayout(center)
        layout.addWidget(self._bar)
        layout.addWidget(self._canvas, 1)
        self._window.setCentralWidget(center)
        self._window.resize(900, 700)
        self._active: QgsMapLayer | None = None

    def mainWindow(self) -> QMainWindow:
        return self._window

    def mapCanvas(self) -> QgsMapCanvas:
        return self._canvas

    def messageBar(self) -> QgsMessageBar:
        return self._bar

    def activeLayer(self) -> QgsMapLayer | None:
        return self._active

    def activate(self, layer: QgsMapLayer) -> None:
        """Make a layer the active one, as a click in the layer tree does."""
        self._active = layer
        self.currentLayerChanged.emit(layer)

    def show(self, dock: QDockWidget, width_px: int) -> None:
        """Show the window with a dock of this width at the right."""
        self._window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
        self._window.show()
        self._window.resizeDocks([dock], [width_px], Qt.Orientation.Horizontal)
        spin(200)


def spin(milliseconds: int) -> None:
    """Let events happen for some time."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def wait_for(condition: Callable[[], Any], limit_s: float) -> bool:
    """Let events happen until the condition holds; False after the limit."""
    for _ in range(int(limit_s / 0.02)):
        if condition():
            return True
        spin(20)
    return bool(condition())


def write_raster(
    path: Path,
    *,
    size: tuple[int, int] = (37, 61),
    bands: int = 3,
    dtype: int = gdal.GDT_Byte,
    transform: tuple[float, ...] = (500_000.0, 1.0, 0.0, 5_500_000.0, 0.0, -1.0),
    epsg: int = 32633,
    names: tuple[str, ...] = (),
) -> Path:
    """Write a small raster; ``size`` is rows, columns; ``epsg`` 0 means no CRS."""
    rows, cols = size
    data = gdal.GetDriverByName("GTiff").Create(str(path), cols, rows, bands, dtype)
    data.SetGeoTransform(transform)
    if epsg:
        crs = osr.SpatialReference()
        crs.ImportFromEPSG(epsg)
        data.SetProjection(crs.ExportToWkt())
    for number in range(1, bands + 1):
        data.GetRasterBand(number).Fill(10 * number)
        if names:
            data.GetRasterBand(number).SetDescription(names[number - 1])
    data.FlushCache()
    del data
    return path


def add_raster(path: Path) -> QgsRasterLayer:
    """Add a raster file to the project."""
    layer = QgsRasterLayer(str(path), path.stem)
    QgsProject.instance().addMapLayer(layer)
    return layer


def write_card(folder: Path, **changes: Any) -> Path:
    """Write a model folder with a card (no weights)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "card.json").write_text(json.dumps({**CARD, **changes}), encoding="utf-8")
    return folder


def crs(epsg: int) -> QgsCoordinateReferenceSystem:
    """Return a CRS by its EPSG number."""
    return QgsCoordinateReferenceSystem.fromEpsgId(epsg)
