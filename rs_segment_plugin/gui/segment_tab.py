"""The Segment tab: the page above, the run panel below, and the run between them."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Optional

from qgis.core import QgsMapLayer, QgsProject
from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtGui import QKeySequence
from qgis.PyQt.QtWidgets import QFrame, QVBoxLayout, QWidget

from ..algorithms.segment import ALGORITHM_ID, EXTENT
from ..layers import results
from ..layers.labels_copy import is_result
from ..messages import tr
from .algorithm_run import CANCELLED, DONE, AlgorithmRun, Outcome, command_text
from .notices import Notices, sentences
from .preflight import OK, PROBLEM, WARNING, with_engine_note
from .rates import duration_text
from .result_box import ResultBox
from .run_panel import RunPanel
from .segment_page import SegmentPage
from .shortcuts import make_shortcut


class SegmentTab(QWidget):
    """Lets the user set up, start, watch and stop a run.

    Signals:
        engine_wanted: A run needs the engine, and there is none yet.
        run_finished: A run ended; carries the ``Outcome``.
        correct_requested: A result is to be corrected: layer, and the ground that was looked at
            (a ``QgsReferencedRectangle``, the layer of its polygons, or None for all).
    """

    engine_wanted = pyqtSignal()
    run_finished = pyqtSignal(object)
    correct_requested = pyqtSignal(object, object)

    def __init__(self, iface: Any, environment: Any, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._iface = iface
        self._environment = environment
        self._notices = Notices(iface, self)
        self._started_s = 0.0
        self._raster_name = ""
        self._model_title = ""
        self._ground: Any = None
        self._grounds: Dict[str, Any] = {}
        self.page = SegmentPage(iface, self)
        self.panel = RunPanel(self)
        self.result_box = ResultBox(self)
        self.run = AlgorithmRun(ALGORITHM_ID, self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        line = QFrame(self)
        line.setFrameShape(QFrame.Shape.HLine)
        line.setFrameShadow(QFrame.Shadow.Sunken)
        layout.addWidget(self.page, 1)
        layout.addWidget(line)
        layout.addWidget(self.panel)
        layout.addWidget(self.result_box)
        self._shortcut = make_shortcut(QKeySequence("Ctrl+Return"), self, self.start)
        self._connect()
        self.check()

    def _connect(self) -> None:
        self.page.changed.connect(self.check)
        self.panel.run_requested.connect(self.start)
        self.panel.cancel_requested.connect(self.cancel)
        self.panel.command_requested.connect(self._copy_command)
        self.run.stage.connect(self.panel.show_stage)
        self.run.line.connect(self.panel.add_log)
        self.run.finished.connect(self._finished)
        self._environment.changed.connect(self.check)
        self.result_box.correct_requested.connect(self._correct)
        self._iface.currentLayerChanged.connect(self._look_at)

    def _look_at(self, layer: Optional[QgsMapLayer]) -> None:
        """Offer what can be done with a result that becomes the active layer."""
        if is_result(layer):
            self.result_box.set_layer(layer)

    def _correct(self, layer: QgsMapLayer) -> None:
        self.correct_requested.emit(layer, self._grounds.get(layer.id()))

    def check(self) -> None:
        """Look at the inputs and the engine, show the preflight, switch Run on or off."""
        notes, ready = with_engine_note(self.page.notes(), self._environment.status().ok)
        self.panel.show_notes(notes, ready=ready)

    def start(self) -> None:
        """Start a run with the inputs as they are."""
        if self.run.running():
            return
        if not self._environment.status().ok:
            self.engine_wanted.emit()
            return
        if not self.page.ready():
            self.check()
            return
        parameters = self.page.parameters()
        work, layer = self.page.workload(), self.page.raster.layer()
        self._raster_name = layer.name() if layer is not None else ""
        card = self.page.model.card()
        self._model_title = card.title if card else ""
        self._ground = parameters.get(EXTENT) or self.page.area.polygon_layer()
        self.page.remember()
        self.panel.log.clear()
        refusal = self.run.start(parameters)
        if refusal:
            message, _, hint = refusal.partition("\n")
            self.panel.set_status(sentences(message, hint), PROBLEM)
            self._notices.failure(tr("The run cannot start"), message, hint, "")
            return
        self._started_s = time.monotonic()
        self.page.setEnabled(False)
        self.panel.set_running(True, megapixels=work.megapixels if work else 0.0)

    def cancel(self) -> None:
        """Stop the run; the panel answers at once."""
        if self.run.running():
            self.panel.show_cancelling()
            self.run.cancel()

    def _finished(self, outcome: Outcome) -> None:
        self.page.setEnabled(True)
        self.panel.set_running(False)
        self.page.look_for_interrupted_run()
        seconds = time.monotonic() - self._started_s
        if outcome.kind == DONE:
            self._show_result(outcome, seconds)
        elif outcome.kind == CANCELLED:
            text = tr("Cancelled after {time}. No layer was added.")
            self._say_resting(text.format(time=duration_text(seconds)))
        else:
            self._say_resting(sentences(outcome.message, outcome.hint), PROBLEM)
            self._notices.failure(
                tr("Segmentation failed"), outcome.message, outcome.hint, outcome.details
            )
        self.check()
        self.run_finished.emit(outcome)

    def _show_result(self, outcome: Outcome, seconds: float) -> None:
        layers = self._add_layers(outcome)
        self._grounds.update({layer.id(): self._ground for layer in layers})
        self.result_box.set_layer(layers[0] if layers else None)
        count = sum(layer.featureCount() for layer in layers if hasattr(layer, "featureCount"))
        text = _count_text(count).format(count=f"{count:,}", time=duration_text(seconds))
        warnings = outcome.result.details.get("warnings", []) if outcome.result else []
        if warnings:
            text += " " + tr("Warnings: {count}, see the log.").format(count=len(warnings))
        self._say_resting(text, WARNING if warnings or not count else OK)
        self._notices.success(tr("Segmentation finished"), text)

    def _add_layers(self, outcome: Outcome) -> List[QgsMapLayer]:
        return results.add_results(
            outcome.outputs,
            raster_name=self._raster_name,
            model_title=self._model_title,
            project=QgsProject.instance(),
        )

    def _say_resting(self, text: str, level: str = "") -> None:
        self.panel.set_status(text, level)
        self.panel.add_log("error" if level == PROBLEM else "info", text)

    def _copy_command(self) -> None:
        command = command_text(ALGORITHM_ID, self.page.parameters())
        if command:
            self.panel.copy_text(command)
            self.panel.set_status(tr("The command is on the clipboard."))
        else:
            text = tr("This QGIS cannot write this run as a command (needs QGIS 3.24).")
            self.panel.set_status(text)

    def dispose(self) -> None:
        """Stop what runs and leave the map; called when the plugin is unloaded."""
        self._iface.currentLayerChanged.disconnect(self._look_at)
        self.run.close()
        self.page.remember()
        self.page.dispose()


def _count_text(count: int) -> str:
    if count == 0:
        return tr(
            "Nothing was found in {time}. Check pixel size and bands, lower the score, or try "
            "another area."
        )
    return tr("1 polygon in {time}.") if count == 1 else tr("{count} polygons in {time}.")
