"""Bottom of the Train page: checks, Train / Cancel, Pause / Resume, Stop and keep, progress."""

from __future__ import annotations

from typing import Optional

from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtWidgets import QPushButton, QWidget

from ..messages import tr
from .icons import theme_icon
from .run_panel import RunPanel, RunWords
from .train_run import IDLE, KEEPING, MAKING, PAUSED, PAUSING, TRAINING


def train_words() -> RunWords:
    """Return the words of the Train page."""
    return RunWords(
        tr("Train"),
        tr("Cut samples and train the network (Ctrl+Return)"),
        "train",
        tr("Stop this training; it can be continued later"),
        tr("Stopping after the current step. What was learnt so far can be continued."),
    )


class TrainPanel(RunPanel):
    """The controls and the state of a training.

    Signals:
        pause_requested: The user pressed Pause.
        resume_requested: The user pressed Resume.
        keep_requested: The user pressed Stop and keep.
    """

    pause_requested = pyqtSignal()
    resume_requested = pyqtSignal()
    keep_requested = pyqtSignal()

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        self._state = IDLE
        self._trained_text = ""
        super().__init__(parent, train_words())
        self.pause_button = QPushButton(self)
        self.pause_button.setObjectName("rsPause")
        self.keep_button = QPushButton(theme_icon("mActionFileSave.svg"), tr("Stop and keep"), self)
        self.keep_button.setObjectName("rsKeep")
        self.keep_button.setToolTip(tr("End now and make a model of the best weights so far"))
        for button in (self.pause_button, self.keep_button):
            button.setMinimumHeight(30)
        self.row.insertWidget(0, self.pause_button, 1)
        self.row.insertWidget(1, self.keep_button, 1)
        self.pause_button.clicked.connect(self._pause_pressed)
        self.keep_button.clicked.connect(self.keep_requested)
        self.show_state(IDLE, can_keep=False)

    def show_state(self, state: str, *, can_keep: bool) -> None:
        """Offer what can be done in a state of ``train_run``."""
        before, self._state = self._state, state
        self.pause_button.setVisible(state != IDLE)
        self.keep_button.setVisible(state != IDLE)
        self.command_button.setVisible(state == IDLE)
        self.keep_button.setEnabled(can_keep)
        self.pause_button.setEnabled(state in (MAKING, TRAINING, PAUSED))
        paused = state == PAUSED
        self.pause_button.setText(tr("Resume") if paused else tr("Pause"))
        icon = "mActionPlay.svg" if paused else "temporal_navigation/pause.svg"
        self.pause_button.setIcon(theme_icon(icon))
        if state == PAUSED:
            self.bar.setRange(0, 100)
            self.set_status(tr("Paused. Resume goes on where it stopped, even after a restart."))
        elif state == PAUSING:
            self.set_status(tr("Pausing: saving what was learnt…"))
        elif state == KEEPING:
            self.set_status(tr("Stopping: the best weights become a model…"))
        elif state == TRAINING and before == PAUSED:
            self.set_running(True)

    def show_stage(self, stage: str, done: int, total: int, unit: str) -> None:
        """Show the progress of a stage, except while the training is being stopped."""
        if self._state == TRAINING and stage == "validate" and self._trained_text:
            # The bar stays with the steps: how far a measurement is matters little.
            self.set_status(" · ".join((self._trained_text, tr("measuring"))))
        elif self._state in (MAKING, TRAINING) or (self._state == KEEPING and stage == "publish"):
            super().show_stage(stage, done, total, unit)
            self._trained_text = self.status_label.text() if stage == "train" else ""

    def _pause_pressed(self) -> None:
        if self._state == PAUSED:
            self.resume_requested.emit()
        else:
            self.pause_requested.emit()
