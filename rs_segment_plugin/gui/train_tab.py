"""The Train tab: inputs or curves above, the panel below, and the training between them."""

from __future__ import annotations

import time
from typing import Any, Optional

from qgis.core import QgsVectorLayer
from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtGui import QKeySequence
from qgis.PyQt.QtWidgets import QFrame, QStackedWidget, QVBoxLayout, QWidget

from ..algorithms import make_chips, train
from ..algorithms.parameters import REPORT
from ..messages import tr
from .algorithm_run import CANCELLED, DONE, Outcome, command_text
from .notices import Notices, sentences
from .preflight import OK, PROBLEM, with_engine_note
from .rates import duration_text
from .shortcuts import make_shortcut
from .train_monitor import TrainMonitor
from .train_page import TrainPage
from .train_panel import TrainPanel
from .train_run import TrainRun


class TrainTab(QWidget):
    """Lets the user set up, start, watch, pause and end a training.

    Signals:
        engine_wanted: A training needs the engine, and there is none yet.
        model_ready: A model was made; carries its id.
        segment_wanted: The user wants to segment with the new model.
        training_finished: A training ended; carries the ``Outcome``.
    """

    engine_wanted = pyqtSignal()
    model_ready = pyqtSignal(str)
    segment_wanted = pyqtSignal()
    training_finished = pyqtSignal(object)

    def __init__(self, iface: Any, environment: Any, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._environment = environment
        self._notices = Notices(iface, self)
        self._started_s = 0.0
        self.page = TrainPage(iface, self)
        self.monitor = TrainMonitor(self)
        self.panel = TrainPanel(self)
        self.run = TrainRun(self)
        self.stack = QStackedWidget(self)
        self.stack.addWidget(self.page)
        self.stack.addWidget(self.monitor)
        line = QFrame(self)
        line.setFrameShape(QFrame.Shape.HLine)
        line.setFrameShadow(QFrame.Shadow.Sunken)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.stack, 1)
        layout.addWidget(line)
        layout.addWidget(self.panel)
        self._shortcut = make_shortcut(QKeySequence("Ctrl+Return"), self, self.start)
        self._connect()
        self.check()

    def _connect(self) -> None:
        self.page.changed.connect(self.check)
        self._environment.changed.connect(self.check)
        self.panel.run_requested.connect(self.start)
        self.panel.cancel_requested.connect(self.cancel)
        self.panel.command_requested.connect(self._copy_command)
        self.panel.pause_requested.connect(self.run.pause)
        self.panel.resume_requested.connect(self.run.resume)
        self.panel.keep_requested.connect(self.run.keep)
        self.run.stage.connect(self.panel.show_stage)
        self.run.line.connect(self.panel.add_log)
        self.run.metrics.connect(self.monitor.take)
        self.run.state_changed.connect(self._show_state)
        self.run.finished.connect(self._finished)
        self.monitor.first_step.connect(self.run.note_step)
        self.monitor.back_requested.connect(self._show_inputs)
        self.monitor.segment_requested.connect(self.segment_wanted)

    def check(self) -> None:
        """Look at the inputs and the engine, show what is missing, switch Train on or off."""
        if self.stack.currentWidget() is not self.page:
            return
        notes, ready = with_engine_note(self.page.notes(), self._environment.status().ok)
        self.panel.show_notes(notes, ready=ready)

    def start(self) -> None:
        """Start a training with the inputs as they are."""
        if self.run.active():
            return
        if not self._environment.status().ok:
            self.engine_wanted.emit()
            return
        self._show_inputs()
        if any(note.level == PROBLEM for note in self.page.notes()):
            return
        self.page.remember()
        self.panel.log.clear()
        parameters = self.page.train_parameters()
        chips = {} if self.page.chips_are_there() else self.page.chips_parameters()
        self.monitor.restart(parameters[train.TITLE], self._about())
        self.panel.set_running(True)
        refusal = self.run.start(chips, parameters)
        if refusal:
            self.panel.set_running(False)
            self._refuse(refusal)
            return
        self._started_s = time.monotonic()
        self.stack.setCurrentWidget(self.monitor)

    def _about(self) -> str:
        page = self.page
        start = page.start.start if page.start.init() else page.start.network
        layer = page.labels.layer()
        parts = [start.currentText().strip(), page.preset.currentText()]
        parts.append(layer.name() if layer is not None else "")
        return " · ".join(part for part in parts if part)

    def _refuse(self, refusal: str) -> None:
        message, _, hint = refusal.partition("\n")
        self.panel.set_status(sentences(message, hint), PROBLEM)
        self._notices.failure(tr("The training cannot start"), message, hint, "")

    def cancel(self) -> None:
        """Stop the training; the panel answers at once."""
        if self.run.active():
            self.panel.show_cancelling()
            self.run.cancel()

    def _show_state(self, state: str) -> None:
        self.panel.show_state(state, can_keep=self.run.can_keep())

    def _show_inputs(self) -> None:
        if not self.run.active():
            self.panel.set_status("")
            self.stack.setCurrentWidget(self.page)
            self.page.start.reload()
            self.page.look_for_interrupted_training()
            self.check()

    def _finished(self, outcome: Outcome) -> None:
        self.panel.set_running(False)
        # What is missing for the next training is no news at the end of this one.
        self.panel.notes_label.setVisible(False)
        seconds = time.monotonic() - self._started_s
        if outcome.kind == DONE:
            text = tr("The model is ready after {time}, and chosen in the Segment tab.")
            self._say(text.format(time=duration_text(seconds)), OK)
            self._notices.success(tr("Training finished"), self.page.title.text())
            self.model_ready.emit(str(outcome.outputs.get(train.MODEL_ID, "")))
        elif outcome.kind == CANCELLED:
            text = tr("Stopped after {time}. It can be continued: press Train again.")
            self._say(text.format(time=duration_text(seconds)))
        else:
            self._say(sentences(outcome.message, outcome.hint), PROBLEM)
            self._notices.failure(
                tr("Training failed"), outcome.message, outcome.hint, outcome.details
            )
        report = str(outcome.outputs.get(REPORT, ""))
        self.monitor.show_end(report=report, model=outcome.kind == DONE)
        self.training_finished.emit(outcome)

    def _say(self, text: str, level: str = "") -> None:
        self.panel.set_status(text, level)
        self.panel.add_log("error" if level == PROBLEM else "info", text)

    def _copy_command(self) -> None:
        commands = [
            command_text(make_chips.ALGORITHM_ID, self.page.chips_parameters()),
            command_text(train.ALGORITHM_ID, self.page.train_parameters()),
        ]
        if all(commands):
            self.panel.copy_text("\n".join(commands))
            self.panel.set_status(tr("The two commands are on the clipboard."))
        else:
            text = tr("This QGIS cannot write this run as a command (needs QGIS 3.24).")
            self.panel.set_status(text)

    def correct(
        self, labels: QgsVectorLayer, area: Optional[QgsVectorLayer], model_folder: str
    ) -> None:
        """Prepare a further round with corrected labels."""
        self._show_inputs()
        if not self.run.active():
            self.page.correct(labels, area, model_folder)

    def dispose(self) -> None:
        """Stop what runs and leave the map; called when the plugin is unloaded."""
        self.run.close()
        self.page.remember()
        self.page.dispose()
