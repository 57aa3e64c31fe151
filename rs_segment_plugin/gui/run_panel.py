"""Bottom of the dock: preflight, Run / Cancel, progress with time left and speed, log."""

from __future__ import annotations

import time
from dataclasses import dataclass
from html import escape
from typing import Dict, Optional, Sequence

from qgis.PyQt.QtCore import QSize, Qt, pyqtSignal
from qgis.PyQt.QtWidgets import (
    QApplication,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ..messages import tr
from .icons import own_icon, theme_icon
from .preflight import OK, PROBLEM, Note
from .rates import RateMeter, duration_text, speed_text

_COLORS = {PROBLEM: "#c62828", "warning": "#b26a00", OK: "#2e7d32"}
_MARKS = {PROBLEM: "&#10005;", "warning": "&#9888;", OK: "&#10003;"}
_LOG_LINES = 2000
_LOG_HEIGHT_PX = 120


@dataclass(frozen=True)
class RunWords:
    """What the button of a panel says, and its icon.

    Attributes:
        run: The button at rest.
        run_tip: Its tooltip.
        icon: Its icon, one of ours.
        cancel_tip: Tooltip of the button while it says Cancel.
        stopping: Said after Cancel was pressed.
    """

    run: str
    run_tip: str
    icon: str
    cancel_tip: str
    stopping: str


def segment_words() -> RunWords:
    """Return the words of the Segment page."""
    return RunWords(
        tr("Run"),
        tr("Segment the raster (Ctrl+Return)"),
        "segment",
        tr("Stop this run"),
        tr("Stopping after the current step. No layer will be added."),
    )


class RunPanel(QFrame):
    """The controls and the state of a run; knows nothing about how it is done.

    Args:
        parent: Parent widget.
        words: What the button says; those of the Segment page by default.

    Signals:
        run_requested: The user pressed Run.
        cancel_requested: The user pressed Cancel.
        command_requested: The user asked for the equivalent command line.
    """

    run_requested = pyqtSignal()
    cancel_requested = pyqtSignal()
    command_requested = pyqtSignal()

    def __init__(self, parent: Optional[QWidget] = None, words: Optional[RunWords] = None) -> None:
        super().__init__(parent)
        self._words = words or segment_words()
        self._meters: Dict[str, RateMeter] = {}
        self._stage = ""
        self._running = False
        self._cancelling = False
        self._ready = False
        self._megapixels = 0.0
        self.notes_label = _wrapped_label("rsPreflight")
        self.status_label = _wrapped_label("rsStatus")
        self.bar = QProgressBar(self)
        self.bar.setObjectName("rsProgress")
        self.run_button = QPushButton(own_icon(self._words.icon), self._words.run, self)
        self.run_button.setObjectName("rsRun")
        self.run_button.setIconSize(QSize(18, 18))
        self.run_button.setMinimumHeight(30)
        self.run_button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.command_button = _tool_button("rsCopyCommand", "mActionEditCopy.svg")
        self.command_button.setToolTip(tr("Copy this run as a qgis_process command"))
        self.log_button = _tool_button("rsShowLog", "mMessageLog.svg")
        self.log_button.setToolTip(tr("Show or hide the log"))
        self.log_button.setCheckable(True)
        self.log = QPlainTextEdit(self)
        self.log.setObjectName("rsLog")
        self._build()
        self.set_running(False)

    def _build(self) -> None:
        self.log.setReadOnly(True)
        self.log.setMaximumBlockCount(_LOG_LINES)
        self.log.setFixedHeight(_LOG_HEIGHT_PX)
        self.log.setVisible(False)
        self.bar.setTextVisible(True)
        self.row = row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.run_button, 1)
        row.addWidget(self.command_button)
        row.addWidget(self.log_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 8)
        layout.setSpacing(6)
        for widget in (self.notes_label, self.bar, self.status_label):
            layout.addWidget(widget)
        layout.addLayout(row)
        layout.addWidget(self.log)
        self.run_button.clicked.connect(self._pressed)
        self.command_button.clicked.connect(self.command_requested)
        self.log_button.toggled.connect(self.log.setVisible)

    def show_notes(self, notes: Sequence[Note], *, ready: bool) -> None:
        """Show the preflight; Run can be pressed only when ``ready``."""
        self.notes_label.setText("<br/>".join(_note_html(note) for note in notes))
        self.notes_label.setVisible(bool(notes) and not self._running)
        self._ready = ready
        if not self._running:
            self.run_button.setEnabled(ready)
            self.command_button.setEnabled(ready)

    def set_running(self, running: bool, *, megapixels: float = 0.0) -> None:
        """Switch between the resting and the running look."""
        self._running, self._cancelling = running, False
        self._stage = ""
        self._meters = {}
        self._megapixels = megapixels
        self.bar.setVisible(running)
        self.bar.setRange(0, 0 if running else 100)
        self.notes_label.setVisible(bool(self.notes_label.text()) and not running)
        self.run_button.setText(tr("Cancel") if running else self._words.run)
        icon = theme_icon("mActionStop.svg") if running else own_icon(self._words.icon)
        self.run_button.setIcon(icon)
        self.run_button.setToolTip(self._words.cancel_tip if running else self._words.run_tip)
        self.run_button.setEnabled(running or self._ready)
        self.set_status(tr("Starting the engine…") if running else "")

    def set_status(self, text: str, level: str = "") -> None:
        """Show what is going on, "" hides it; ``level`` as in a ``Note`` gives the colour."""
        self.status_label.setText(_note_html(Note(level, text)) if level else escape(text))
        self.status_label.setVisible(bool(text))

    def show_cancelling(self) -> None:
        """Answer a press on Cancel at once."""
        self._cancelling = True
        self.run_button.setEnabled(False)
        self.run_button.setText(tr("Cancelling…"))
        self.bar.setRange(0, 0)
        self.set_status(self._words.stopping)

    def show_stage(self, stage: str, done: int, total: int, unit: str) -> None:
        """Show the progress of a stage; ``total`` 0 means not known."""
        if not self._running or self._cancelling:
            return
        now_s = time.monotonic()
        self._stage = stage
        if stage not in self._meters:
            self._meters[stage] = RateMeter()
            self._meters[stage].restart(now_s, done)
        self._meters[stage].update(now_s, done, total)
        self.bar.setRange(0, total)
        self.bar.setValue(min(done, total))
        self.set_status(self._stage_text(stage, done, total, unit))

    def _stage_text(self, stage: str, done: int, total: int, unit: str) -> str:
        name = stage_names().get(stage, stage)
        if total <= 0:
            return f"{name}…"
        parts = [
            tr("{stage}: {done} of {total} {unit}").format(
                stage=name, done=f"{done:,}", total=f"{total:,}", unit=unit_names().get(unit, unit)
            )
        ]
        meter = self._meters[stage]
        speed = meter.per_second()
        if speed is not None and stage == "predict" and self._megapixels:
            parts.append(speed_text(speed * self._megapixels / total, "Mpx"))
        elif speed is not None:
            parts.append(speed_text(speed, unit_names().get(unit, unit)))
        left_s = meter.seconds_left()
        if left_s is not None and done < total:
            parts.append(tr("{time} left").format(time=duration_text(left_s)))
        return " · ".join(parts)

    def add_log(self, level: str, text: str) -> None:
        """Append a line to the log; before the first stage it is shown as the state, too."""
        if self._running and not self._stage and not self._cancelling and level == "info":
            self.set_status(text.strip())
        marks = {"warning": tr("Warning: "), "error": tr("Error: ")}
        self.log.appendPlainText(marks.get(level, "") + text.rstrip())

    def copy_text(self, text: str) -> None:
        """Put a text on the clipboard."""
        QApplication.clipboard().setText(text)

    def _pressed(self) -> None:
        if self._running:
            self.cancel_requested.emit()
        else:
            self.run_requested.emit()


def stage_names() -> Dict[str, str]:
    """Return the stages of a run in plain words."""
    return {
        "load": tr("Loading the model"),
        "predict": tr("Segmenting"),
        "raster": tr("Writing rasters"),
        "vectorize": tr("Drawing polygons"),
        "export": tr("Saving the web layer"),
        "chips": tr("Cutting chips"),
        "statistics": tr("Looking at the chips"),
        "train": tr("Training"),
        "validate": tr("Measuring"),
        "publish": tr("Writing the model"),
        "check": tr("Checking the model"),
    }


def unit_names() -> Dict[str, str]:
    """Return the units of progress in plain words."""
    return {
        "tiles": tr("tiles"),
        "rows": tr("rows"),
        "polygons": tr("polygons"),
        "chips": tr("chips"),
        "steps": tr("steps"),
        "step": tr("steps"),
        "batches": tr("batches"),
        "blocks": tr("blocks"),
    }


def _note_html(note: Note) -> str:
    color = _COLORS.get(note.level, "gray")
    mark = _MARKS.get(note.level, "&#8226;")
    return f"<span style='color:{color}'>{mark}</span> {escape(note.text)}"


def _wrapped_label(name: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.RichText)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label


def _tool_button(name: str, icon: str) -> QToolButton:
    button = QToolButton()
    button.setObjectName(name)
    button.setIcon(theme_icon(icon))
    button.setAutoRaise(True)
    button.setMinimumSize(30, 30)
    return button
