"""Runs inside the real QGIS program and trains a model in the dock, from labels to the result.

See ``session_parts.py`` for its settings and its report.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from qgis.core import QgsProject, QgsRasterLayer, QgsRectangle, QgsVectorLayer
from qgis.gui import QgsScrollArea
from qgis.PyQt.QtGui import QColor
from qgis.utils import iface

sys.path.insert(0, os.environ["RS_SEGMENT_SESSION_FOLDER"])
from session_parts import SETTINGS, WORK, bar_text, begin, set_width, shot, spin, wait_for

RUN_LIMIT_S = 240.0
WIDTH_PX, NARROW_PX = 420, 320
VALIDATIONS = int(os.environ.get("RS_SEGMENT_VALIDATIONS", "4"))
# A small network on small crops: every machine makes a step in a moment.
RECIPE = (
    "options.encoder=timm-mobilenetv3_small_minimal_100; "
    "options.decoder_channels=[64,32,32,16,16]; epochs=40; batch=4; crop_px=64; log_steps=1; "
    "validate_epochs=1; checkpoint_steps=50; augment.scale_min=1; augment.scale_max=1"
)


def inputs(dock: Any) -> dict[str, Any]:
    """Raster and labels are loaded, the page is filled in, and it says what it found."""
    raster = QgsRasterLayer(SETTINGS["raster"], Path(SETTINGS["raster"]).stem)
    path = Path(SETTINGS["raster"]).with_name("banepa_buildings.gpkg")
    labels = QgsVectorLayer(str(path), "houses of Banepa", "ogr")
    labels.renderer().symbol().setColor(QColor("#e6550d"))
    labels.setOpacity(0.5)
    for layer in (raster, labels):
        QgsProject.instance().addMapLayer(layer)
    iface.mapCanvas().setExtent(raster.extent())
    iface.setActiveLayer(raster)
    dock.tabs.setCurrentWidget(dock.train)
    page, panel = dock.train.page, dock.train.panel
    spin(800)
    seen: dict[str, Any] = {"without_labels": panel.notes_label.text()}
    page.labels.set_layer(labels)
    page.labels.field.setField("")
    page.labels.class_name.setText("house")
    spin(500)
    seen["without_name"] = panel.notes_label.text()
    page.title.setText("Houses of Banepa")
    page.tile.setValue(128)
    page.minutes.setValue(0)
    spin(800)
    seen["notes"] = panel.notes_label.text()
    seen["enabled"] = panel.run_button.isEnabled()
    widths = {}
    for width_px in (NARROW_PX, WIDTH_PX):
        set_width(dock, width_px)
        area = page.findChild(QgsScrollArea)
        widths[str(width_px)] = {
            "needed": area.widget().minimumSizeHint().width(),
            "viewport": area.viewport().width(),
        }
    shot("train_inputs", dock)
    page.recipe.setText(RECIPE)
    panel.command_button.click()
    seen["command"] = panel.status_label.text()
    return {**seen, "widths": widths}


class Watch:
    """What a training says while it runs."""

    def __init__(self, tab: Any) -> None:
        self.tab = tab
        self.metrics: list[Any] = []
        self.stages: set[str] = set()
        self.states: list[str] = []
        self.statuses: list[str] = []
        self.outcomes: list[Any] = []
        tab.run.metrics.connect(self.metrics.append)
        tab.run.stage.connect(self._note_stage)
        tab.run.state_changed.connect(self.states.append)
        tab.training_finished.connect(self.outcomes.append)

    def _note_stage(self, stage: str, *_ignored: object) -> None:
        self.stages.add(stage)
        text = self.tab.panel.status_label.text()
        if stage == "train" and " left" in text:
            self.statuses = [*self.statuses[-2:], text]

    def of(self, series: str) -> list[int]:
        return [event.step for event in self.metrics if event.series == series]


def train(dock: Any) -> dict[str, Any]:
    """Train is pressed: chips, first steps, a pause, more steps, and an early end that is kept."""
    tab, watch = dock.train, Watch(dock.train)
    tab.panel.run_button.click()
    seen: dict[str, Any] = {"button": tab.panel.run_button.text()}
    seen["front"] = tab.stack.currentWidget() is tab.monitor
    wait_for(lambda: len(watch.metrics) > 8 or watch.outcomes, RUN_LIMIT_S, "the first steps")
    seen["early"] = describe(watch.outcomes)
    if watch.outcomes:
        return seen
    seen.update(pause(tab, watch))
    wait_for(
        lambda: len(watch.of("val")) >= VALIDATIONS or watch.outcomes,
        60.0 * VALIDATIONS,
        "the validations",
    )
    wait_for(lambda: len(watch.of("train")) % 16 > 3 or watch.outcomes, 60, "further steps")
    shot("train", dock)
    plots = (tab.monitor.loss_plot, tab.monitor.metric_plot)
    seen["curves"] = {c.name: len(c.points) for plot in plots for c in plot.curves()}
    tab.panel.keep_button.click()
    seen["keep_status"] = tab.panel.status_label.text()
    wait_for(lambda: watch.outcomes, RUN_LIMIT_S, "the model")
    spin(500)
    shot("train_end", dock)
    return {**seen, **ending(dock, watch)}


def pause(tab: Any, watch: Watch) -> dict[str, Any]:
    """Pause the training, look whether it rests, and go on."""
    pressed_s = time.monotonic()
    tab.panel.pause_button.click()
    wait_for(lambda: tab.run.state() == "paused" or watch.outcomes, 20, "the pause")
    seen: dict[str, Any] = {
        "paused_s": time.monotonic() - pressed_s,
        "pause_status": tab.panel.status_label.text(),
        "pause_button": tab.panel.pause_button.text(),
    }
    spin(1000)
    paused_at, last_step = len(watch.metrics), max(watch.of("train"))
    spin(1500)
    seen["steps_while_paused"] = len(watch.metrics) - paused_at
    tab.panel.pause_button.click()
    wait_for(
        lambda: len(watch.metrics) > paused_at or watch.outcomes,
        RUN_LIMIT_S,
        "steps after the pause",
    )
    after = [event.step for event in watch.metrics[paused_at:]]
    return {**seen, "resumed_at": min(after, default=-1), "last_step": last_step}


def ending(dock: Any, watch: Watch) -> dict[str, Any]:
    """Return what a finished training left."""
    tab, outputs = dock.train, watch.outcomes[0].outputs
    return {
        "end": describe(watch.outcomes),
        "states": watch.states,
        "stages": sorted(watch.stages),
        "statuses": watch.statuses,
        "outputs": {name: str(value) for name, value in outputs.items()},
        "report": Path(str(outputs.get("REPORT", ""))).is_file(),
        "links": tab.monitor.links.text(),
        "bar": bar_text(),
        "resting": tab.panel.status_label.text(),
        "model": dock.segment.page.model.model_id(),
        "card": dock.segment.page.model.card_view.text(),
    }


def describe(outcomes: list[Any]) -> str:
    """Return how a run ended, for the report of the test."""
    if not outcomes:
        return ""
    last = outcomes[-1]
    return f"{last.kind} {last.message} {last.hint} {last.details[-1500:]}".strip()


def correct(dock: Any) -> dict[str, Any]:
    """Segment with the new model, and send the result back as labels to correct."""
    dock.train.monitor.segment_requested.emit()
    seen: dict[str, Any] = {"front": dock.tabs.currentWidget() is dock.segment}
    raster = QgsProject.instance().mapLayersByName("banepa")[0]
    iface.setActiveLayer(raster)
    closer = QgsRectangle(raster.extent())
    closer.scale(0.35)
    iface.mapCanvas().setExtent(closer)
    page, panel = dock.segment.page, dock.segment.panel
    page.area.set_mode("view")
    by_hand = QgsProject.instance().mapLayersByName("houses of Banepa")[0]
    QgsProject.instance().layerTreeRoot().findLayer(by_hand.id()).setItemVisibilityChecked(False)
    page.options.min_area.setValue(6.0)
    page.options.simplify.setValue(0.3)
    page.output.setFilePath(str(WORK / "found.gpkg"))
    outcomes: list[Any] = []
    dock.segment.run_finished.connect(outcomes.append)
    wait_for(panel.run_button.isEnabled, 20, "the check before the run")
    panel.run_button.click()
    wait_for(lambda: outcomes, RUN_LIMIT_S, "the run")
    seen["kind"] = describe(outcomes)
    box = dock.segment.result_box
    seen["offered"] = box.isVisibleTo(dock.segment)
    result = box.layer()
    count = result.featureCount()
    box.correct_button.click()
    spin(800)
    train_page = dock.train.page
    labels = train_page.labels.layer()
    area = train_page.area.currentLayer()
    seen.update(
        tab=dock.tabs.currentWidget() is dock.train,
        labels=labels.name(),
        source=labels.source(),
        editable=labels.isEditable(),
        counts=[count, labels.featureCount(), result.featureCount()],
        fields=[field.name() for field in labels.fields()],
        result_editable=result.isEditable(),
        active=iface.activeLayer().id() == labels.id(),
        area=area.featureCount() if area is not None else 0,
        init=train_page.start.init(),
        title=train_page.title.text(),
        class_field=train_page.labels.class_field(),
        notes=dock.train.panel.notes_label.text(),
        enabled=dock.train.panel.run_button.isEnabled(),
    )
    shot("correct", iface.mainWindow())
    labels.rollBack()
    return seen


begin((inputs, train, correct), WIDTH_PX)
