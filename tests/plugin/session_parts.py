"""What the sessions inside the real QGIS program share: waiting, pictures, facts of layers.

A session reads its settings from the variable ``RS_SEGMENT_SESSION`` (JSON: ``report``,
``shots``, ``raster``, ``python``, ``work``, ``patience``), writes what it saw as JSON to
``report`` and ends QGIS.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from osgeo import gdal
from qgis.core import QgsMapLayer, QgsProject
from qgis.PyQt.QtCore import QEventLoop, Qt, QTimer
from qgis.PyQt.QtWidgets import QApplication, QDialog
from qgis.utils import iface, plugins, unloadPlugin

SETTINGS = json.loads(os.environ["RS_SEGMENT_SESSION"])
WORK = Path(SETTINGS["work"])
# A slow or busy machine gets more time; what is measured in seconds stays as it is.
PATIENCE = float(SETTINGS.get("patience", 1.0))
REPORT: dict[str, Any] = {"steps": {}, "errors": []}


def spin(milliseconds: int) -> None:
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def wait_for(condition: Callable[[], Any], limit_s: float, what: str) -> None:
    end_s = time.monotonic() + limit_s * PATIENCE
    while not condition():
        if time.monotonic() > end_s:
            raise TimeoutError(f"{what} took longer than {limit_s:g} s")
        spin(20)


def set_width(dock: Any, width_px: int) -> None:
    iface.mainWindow().resizeDocks([dock], [width_px], Qt.Orientation.Horizontal)
    spin(400)


def shot(name: str, widget: Any) -> None:
    spin(300)
    path = Path(SETTINGS["shots"]) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    full = WORK.parent / f"{name}.full.png"
    widget.grab().save(str(full))
    write_palette_png(full, path)


def write_palette_png(source: Path, target: Path) -> None:
    """Write a picture with 256 colours: a third of the size, for the guide."""
    picture = gdal.Open(str(source))
    bands = [picture.GetRasterBand(n) for n in (1, 2, 3)]
    table = gdal.ColorTable()
    gdal.ComputeMedianCutPCT(*bands, 256, table)
    memory = gdal.GetDriverByName("MEM").Create("", picture.RasterXSize, picture.RasterYSize, 1)
    memory.GetRasterBand(1).SetColorTable(table)
    gdal.DitherRGB2PCT(*bands, memory.GetRasterBand(1), table)
    options = ["ZLEVEL=9"]
    gdal.GetDriverByName("PNG").CreateCopy(str(target), memory, options=options)
    target.with_name(target.name + ".aux.xml").unlink(missing_ok=True)


def bar_text() -> str:
    item = iface.messageBar().currentItem()
    return "" if item is None else f"{item.title()}: {item.text()}"


def layer_facts(layer: QgsMapLayer) -> dict[str, Any]:
    root = QgsProject.instance().layerTreeRoot()
    node = root.findLayer(layer.id())
    groups: list[str] = []
    parent = node.parent() if node is not None else None
    while parent is not None and parent is not root:
        groups.insert(0, parent.name())
        parent = parent.parent()
    facts: dict[str, Any] = {
        "name": layer.name(),
        "valid": layer.isValid(),
        "groups": groups,
        "renderer": layer.renderer().type() if layer.renderer() is not None else "",
        "crs": layer.crs().authid(),
    }
    if hasattr(layer, "featureCount"):
        facts["count"] = layer.featureCount()
        facts["fields"] = [field.name() for field in layer.fields()]
        symbols = layer.renderer().legendSymbolItems()
        facts["legend"] = [item.label() for item in symbols]
    return facts


def write_report() -> None:
    """Keep what was seen so far, so that a hanging step does not hide the others."""
    Path(SETTINGS["report"]).write_text(json.dumps(REPORT, indent=1), encoding="utf-8")


def drive(steps: Sequence[Callable[[Any], dict[str, Any]]], width_px: int) -> None:
    """Open the dock, do the steps one after another, write the report and end QGIS."""
    for dialog in QApplication.topLevelWidgets():
        if isinstance(dialog, QDialog) and dialog.isVisible():
            dialog.reject()
    iface.mainWindow().resize(1200, 800)
    try:
        plugin = plugins["rs_segment_plugin"]
        if plugin.dock is None or not plugin.dock.isUserVisible():
            plugin.toggle.trigger()
        dock = plugin.dock
        spin(500)
        set_width(dock, width_px)
        for step in steps:
            REPORT["steps"][step.__name__] = step(dock)
            write_report()
    except Exception:
        REPORT["errors"].append(traceback.format_exc())
        shot("error", iface.mainWindow())
    write_report()
    # A run that still works would make QGIS ask before it ends.
    if "rs_segment_plugin" in plugins:
        unloadPlugin("rs_segment_plugin")
    QgsProject.instance().setDirty(False)
    iface.newProject(False)
    QgsProject.instance().setDirty(False)
    iface.actionExit().trigger()


def begin(steps: Sequence[Callable[[Any], dict[str, Any]]], width_px: int) -> None:
    """Start the session when QGIS has settled."""
    gdal.UseExceptions()
    QTimer.singleShot(1500, lambda: drive(steps, width_px))
