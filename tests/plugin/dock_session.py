"""Runs inside the real QGIS program (``qgis --code``) and drives the dock like an analyst.

See ``session_parts.py`` for its settings and its report.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from qgis.core import QgsApplication, QgsProject, QgsRasterLayer, QgsRectangle
from qgis.gui import QgsDockWidget, QgsScrollArea
from qgis.PyQt.QtCore import QCoreApplication, QEvent
from qgis.PyQt.QtGui import QGuiApplication
from qgis.PyQt.QtWidgets import QPushButton
from qgis.utils import iface, unloadPlugin

sys.path.insert(0, os.environ["RS_SEGMENT_SESSION_FOLDER"])
from session_parts import (
    SETTINGS,
    WORK,
    bar_text,
    begin,
    layer_facts,
    set_width,
    shot,
    spin,
    wait_for,
)

RUN_LIMIT_S = 240.0
NARROW_PX, WIDE_PX = 320, 360


def engine_page(dock: Any) -> dict[str, Any]:
    """No engine: the page explains, refuses a Python without packages, takes a sound one."""
    page = dock.engine
    seen: dict[str, Any] = {"front": dock.tabs.currentWidget() is page, "state": page.state.text()}
    seen["run_enabled"] = dock.segment.panel.run_button.isEnabled()
    page.consent.setChecked(True)
    shot("engine", dock)
    page.consent.setChecked(False)
    page.python.setFilePath("/usr/bin/python3")
    page.check_button.click()
    wait_for(page.check_button.isEnabled, 30, "the check of a Python without packages")
    seen["refused"] = page.check_text.text()
    page.python.setFilePath(SETTINGS["python"])
    page.check_button.click()
    wait_for(lambda: dock.tabs.currentWidget() is dock.segment, 60, "the check of the engine")
    seen["ready"] = page.state.text()
    return seen


def ready_page(dock: Any) -> dict[str, Any]:
    """A raster is loaded and clicked: the dock follows, and the preflight is fine."""
    raster = QgsRasterLayer(SETTINGS["raster"], Path(SETTINGS["raster"]).stem)
    QgsProject.instance().addMapLayer(raster)
    iface.setActiveLayer(raster)
    iface.mapCanvas().setExtent(raster.extent())
    spin(1500)
    page, panel = dock.segment.page, dock.segment.panel
    seen = {
        "followed": page.raster.layer() is not None and page.raster.layer().id() == raster.id(),
        "models": [page.model.combo.itemText(i) for i in range(page.model.combo.count())],
        "card": page.model.card_view.text(),
        "notes": panel.notes_label.text(),
        "run_enabled": panel.run_button.isEnabled(),
    }
    widths = {}
    for width_px in (NARROW_PX, WIDE_PX):
        set_width(dock, width_px)
        area = page.findChild(QgsScrollArea)
        widths[str(width_px)] = {
            "dock": dock.width(),
            "needed": area.widget().minimumSizeHint().width(),
            "viewport": area.viewport().width(),
        }
        if width_px == NARROW_PX:
            shot("dock", dock)
    page.options.setCollapsed(False)
    page.bands.setCollapsed(False)
    spin(300)
    area = page.findChild(QgsScrollArea)
    area.verticalScrollBar().setValue(area.verticalScrollBar().maximum())
    shot("options", dock)
    widths["open"] = {
        "needed": area.widget().minimumSizeHint().width(),
        "viewport": area.viewport().width(),
    }
    page.options.setCollapsed(True)
    page.bands.setCollapsed(True)
    return {**seen, "widths": widths}


def run(dock: Any) -> dict[str, Any]:
    """Run is pressed; the result is a styled layer in its group."""
    output = WORK / "houses.gpkg"
    dock.segment.page.output.setFilePath(str(output))
    dock.segment.page.options.min_area.setValue(4.0)
    spin(300)
    dock.segment.panel.command_button.click()
    command = QGuiApplication.clipboard().text()
    seen: dict[str, Any] = {"command": command}
    stages: list[tuple[str, int]] = []
    dock.segment.run.stage.connect(lambda stage, done, *_: stages.append((stage, done)))
    outcomes: list[Any] = []
    dock.segment.run_finished.connect(outcomes.append)
    started_s = time.monotonic()
    wait_for(dock.segment.panel.run_button.isEnabled, 20, "the check before the run")
    dock.segment.panel.run_button.click()
    seen["button"] = dock.segment.panel.run_button.text()
    seen["page_enabled"] = dock.segment.page.isEnabled()
    wait_for(lambda: any(n > 1 for _, n in stages) or outcomes, RUN_LIMIT_S, "the first tiles")
    shot("running", dock)
    seen["status"] = dock.segment.panel.status_label.text()
    wait_for(lambda: outcomes, RUN_LIMIT_S, "the run")
    outcome = outcomes[0]
    seen.update(
        kind=outcome.kind,
        message=outcome.message,
        hint=outcome.hint,
        details=outcome.details[-2000:],
        seconds=time.monotonic() - started_s,
        stages=sorted({stage for stage, _ in stages}),
        bar=bar_text(),
        resting=dock.segment.panel.status_label.text(),
        layers=[layer_facts(layer) for layer in QgsProject.instance().mapLayers().values()],
        files=sorted(p.name for p in WORK.iterdir()),
    )
    closer = QgsRectangle(iface.mapCanvas().extent())
    closer.scale(0.7)
    iface.mapCanvas().setExtent(closer)
    iface.mapCanvas().refresh()
    spin(2500)
    shot("result", iface.mainWindow())
    return seen


def cancel(dock: Any) -> dict[str, Any]:
    """A long run is cancelled: the panel answers at once, the run ends within a second."""
    page, panel = dock.segment.page, dock.segment.panel
    layers = len(QgsProject.instance().mapLayers())
    long_run(dock, WORK / "cancelled.gpkg")
    outcomes: list[Any] = []
    stages: list[tuple[str, int]] = []
    dock.segment.run_finished.connect(outcomes.append)
    dock.segment.run.stage.connect(lambda stage, done, *_: stages.append((stage, done)))
    wait_for(panel.run_button.isEnabled, 20, "the check before the run")
    panel.run_button.click()
    wait_for(lambda: any(done > 0 for _, done in stages) or outcomes, 120, "the first tiles")
    pressed_s = time.monotonic()
    panel.run_button.click()
    answer = {"button": panel.run_button.text(), "status": panel.status_label.text()}
    answer["answered_s"] = time.monotonic() - pressed_s
    wait_for(lambda: outcomes, 20, "cancelling")
    seen = {
        **answer,
        "ended_s": time.monotonic() - pressed_s,
        "kind": outcomes[0].kind,
        "resting": panel.status_label.text(),
        "layers_added": len(QgsProject.instance().mapLayers()) - layers,
        "output_exists": (WORK / "cancelled.gpkg").exists(),
        "resume_offered": page.resume.isVisibleTo(page) and page.resume.isChecked(),
        "button_after": panel.run_button.text(),
    }
    page.options.tta.setChecked(False)
    page.options.tile.setValue(0)
    page.options.overlap.setValue(-1)
    page.options.batch.setValue(0)
    return seen


def long_run(dock: Any, output: Path) -> None:
    """Set up a run that takes minutes: small tiles that overlap much, four looks at each."""
    page = dock.segment.page
    page.output.setFilePath(str(output))
    page.options.tta.setChecked(True)
    page.options.tile.setValue(128)
    page.options.overlap.setValue(96)
    page.options.batch.setValue(1)
    spin(300)


def bad_input(dock: Any) -> dict[str, Any]:
    """The raster's file is broken after it was loaded: message and hint, no traceback."""
    page = dock.segment.page
    broken = WORK / "broken.tif"
    broken.write_bytes(Path(SETTINGS["raster"]).read_bytes())
    layer = QgsRasterLayer(str(broken), "broken")
    QgsProject.instance().addMapLayer(layer)
    iface.setActiveLayer(layer)
    page.output.setFilePath(str(WORK / "broken.gpkg"))
    spin(400)
    broken.write_bytes(broken.read_bytes()[:2000])
    iface.messageBar().clearWidgets()
    outcomes: list[Any] = []
    dock.segment.run_finished.connect(outcomes.append)
    dock.segment.panel.run_button.click()
    wait_for(lambda: outcomes or bar_text(), 120, "the failure")
    spin(300)
    item = iface.messageBar().currentItem()
    seen = {
        "kind": outcomes[0].kind if outcomes else "refused",
        "message": outcomes[0].message if outcomes else "",
        "hint": outcomes[0].hint if outcomes else "",
        "bar": bar_text(),
        "details_button": item is not None and item.findChild(QPushButton) is not None,
        "output_exists": (WORK / "broken.gpkg").exists(),
    }
    shot("failure", iface.mainWindow())
    QgsProject.instance().removeMapLayer(layer.id())
    return seen


def elsewhere(dock: Any) -> dict[str, Any]:
    """The map shows another place: Run is off, and the note says why."""
    page, panel = dock.segment.page, dock.segment.panel
    page.area.set_mode("view")
    extent = iface.mapCanvas().extent()
    shifted = QgsRectangle(
        extent.xMinimum() + 9 * extent.width(),
        extent.yMinimum(),
        extent.xMaximum() + 9 * extent.width(),
        extent.yMaximum(),
    )
    iface.mapCanvas().setExtent(shifted)
    wait_for(lambda: not panel.run_button.isEnabled(), 5, "noticing the view")
    seen = {"notes": panel.notes_label.text()}
    iface.mapCanvas().setExtent(extent)
    wait_for(panel.run_button.isEnabled, 5, "noticing the view again")
    page.area.set_mode("layer")
    return seen


def unload(dock: Any) -> dict[str, Any]:
    """The plugin is switched off in the middle of a run: the run ends, QGIS lives."""
    iface.setActiveLayer(dock.segment.page.raster.layer())
    long_run(dock, WORK / "unloaded.gpkg")
    stages: list[int] = []
    dock.segment.run.stage.connect(lambda _stage, done, *_: stages.append(done))
    wait_for(dock.segment.panel.run_button.isEnabled, 20, "the check before the run")
    dock.segment.panel.run_button.click()
    wait_for(lambda: any(done > 0 for done in stages), 120, "the first tiles")
    before = len(child_processes())
    started_s = time.monotonic()
    unloadPlugin("rs_segment_plugin")
    seen = {"seconds": time.monotonic() - started_s, "children_before": before}
    spin(1500)
    # What was to be deleted later waits for the outermost event loop, which main() is in.
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    return {
        **seen,
        "children_after": child_processes(),
        "docks": [d.objectName() for d in iface.mainWindow().findChildren(QgsDockWidget)],
        "provider": QgsApplication.processingRegistry().providerById("rssegment") is not None,
        "output_exists": (WORK / "unloaded.gpkg").exists(),
    }


def child_processes() -> list[str]:
    """Return the command lines of QGIS's own child processes (Linux)."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
            command = status.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z":
            found.append(command.strip())
    return found


STEPS = (engine_page, ready_page, run, elsewhere, cancel, bad_input, unload)


begin(STEPS, NARROW_PX)
