"""The Engine tab: is there an environment, create one with consent, or use an existing one."""

from __future__ import annotations

from html import escape
from typing import Any, Optional

from qgis.gui import QgsCollapsibleGroupBox, QgsFileWidget, QgsScrollArea
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QShowEvent
from qgis.PyQt.QtWidgets import (
    QCheckBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ..messages import tr
from .icons import theme_icon
from .notices import sentences
from .stage_clock import StageClock

_GOOD, _BAD, _NEUTRAL = "#2e7d32", "#c62828", "gray"
_LOG_LINES = 5000


class EnvironmentPage(QWidget):
    """Shows the state of the engine's environment and the two ways to get one.

    Args:
        environment: The environment service of the plugin.
        parent: Parent widget.
    """

    def __init__(self, environment: Any, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._environment = environment
        self._creator = environment.creator()
        self._clock = StageClock(lambda text: _say(self.progress_text, escape(text)), self)
        self.state = _text_label("rsEngineState")
        self.refresh_button = QPushButton(theme_icon("mActionRefresh.svg"), tr("Look again"), self)
        content = QWidget(self)
        layout = QVBoxLayout(content)
        layout.setContentsMargins(10, 10, 10, 10)
        layout.setSpacing(10)
        layout.addWidget(self.state)
        row = QHBoxLayout()
        row.addWidget(self.refresh_button)
        row.addStretch(1)
        layout.addLayout(row)
        self._groups = (self._make_create_group(), self._make_existing_group())
        for group in self._groups:
            group.setSaveCollapsedState(False)
            layout.addWidget(group)
        layout.addStretch(1)
        scroll = QgsScrollArea(self)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)
        self.refresh_button.clicked.connect(lambda: environment.refresh())
        self._creator.progress.connect(self._show_progress)
        self._creator.line.connect(self.log.appendPlainText)
        self._creator.finished.connect(self._created)
        environment.changed.connect(self.show_state)
        self.show_state()

    def _make_create_group(self) -> QgsCollapsibleGroupBox:
        group = QgsCollapsibleGroupBox(tr("Create it for me"), self)
        self.plan = _text_label("rsEnginePlan")
        self.consent = QCheckBox(tr("Yes, download and install this"), group)
        self.consent.setObjectName("rsConsent")
        self.create_button = QPushButton(tr("Create"), group)
        self.create_button.setObjectName("rsCreate")
        self.create_button.setEnabled(False)
        self.progress = QProgressBar(group)
        self.progress.setVisible(False)
        self.progress_text = _text_label("rsCreateStatus")
        self.log = QPlainTextEdit(group)
        self.log.setReadOnly(True)
        self.log.setMaximumBlockCount(_LOG_LINES)
        self.log.setFixedHeight(140)
        self.log.setVisible(False)
        layout = QVBoxLayout(group)
        for widget in (self.plan, self.consent, self.create_button):
            layout.addWidget(widget)
        for widget in (self.progress, self.progress_text, self.log):
            layout.addWidget(widget)
        self.progress_text.setVisible(False)
        self.consent.toggled.connect(self._consent_changed)
        self.create_button.clicked.connect(self._create_pressed)
        return group

    def _make_existing_group(self) -> QgsCollapsibleGroupBox:
        group = QgsCollapsibleGroupBox(tr("Use an existing Python"), self)
        text = _text_label("rsExistingText")
        text.setText(
            escape(
                tr(
                    "Choose the python program of an environment that has the engine's "
                    "packages, for example one your administrator made."
                )
            )
        )
        self.python = QgsFileWidget(group)
        self.python.setObjectName("rsPython")
        self.python.setStorageMode(QgsFileWidget.StorageMode.GetFile)
        self.python.setDialogTitle(tr("Choose a Python program"))
        self.check_button = QPushButton(tr("Check and use"), group)
        self.check_button.setObjectName("rsCheckPython")
        self.check_button.setEnabled(False)
        self.check_text = _text_label("rsCheckResult")
        layout = QVBoxLayout(group)
        for widget in (text, self.python, self.check_button, self.check_text):
            layout.addWidget(widget)
        self.check_text.setVisible(False)
        self.python.fileChanged.connect(
            lambda path: self.check_button.setEnabled(bool(path.strip()))
        )
        self.check_button.clicked.connect(self._check_pressed)
        return group

    def show_state(self) -> None:
        """Show which interpreter is used, or that one is needed."""
        status = self._environment.status()
        if status.ok:
            head = _colored(tr("The engine is ready."), _GOOD)
            python = _breakable(status.python)
            self.state.setText(f"<b>{head}</b><br/>{python}{_info(status)}")
            versions = (f"{name} {value}" for name, value in status.versions.items())
            self.state.setToolTip("\n".join(versions))
        else:
            head = tr("One step before the first run")
            body = tr(
                "Models run in a Python environment of their own, apart from QGIS, so that "
                "they can never break it. It is made once and serves all your projects."
            )
            text = f"<b style='font-size:large'>{escape(head)}</b><br/>{escape(body)}"
            if status.python:
                reason = sentences(status.message, status.hint)
                text += "<br/>" + _colored(reason, _BAD)
            self.state.setText(text)
        for group in self._groups:
            group.setCollapsed(bool(status.ok) and not self._creating())
        self._show_plan()

    def _show_plan(self) -> None:
        template = tr(
            "Downloads about {size} GB of Python packages (PyTorch, GDAL and others) from the "
            "Python package index; unpacked they take about twice that, in the folder below. "
            "It takes 5 to 20 minutes. Nothing of QGIS or of the system is changed; delete "
            "the folder to undo it."
        )
        size = f"{self._environment.download_gb():g}"
        folder = _breakable(str(self._environment.folder()))
        self.plan.setText(f"{escape(template.format(size=size))}<br/><code>{folder}</code>")

    def _consent_changed(self, agreed: bool) -> None:
        if not self._creating():
            self.create_button.setEnabled(agreed)

    def _creating(self) -> bool:
        return bool(self._creator.running())

    def _create_pressed(self) -> None:
        if self._creating():
            self.create_button.setEnabled(False)
            self._clock.say(tr("Cancelling…"))
            self._creator.cancel()
            return
        self.log.clear()
        self.log.setVisible(True)
        self.progress.setVisible(True)
        self.progress.setRange(0, 0)
        self._clock.start(tr("Starting…"))
        self.create_button.setText(tr("Cancel"))
        self.consent.setEnabled(False)
        self._creator.start()

    def _show_progress(self, stage: str, done: int, total: int) -> None:
        self.progress.setRange(0, total)
        self.progress.setValue(done)
        self._clock.say(stage)

    def _created(self, ok: bool, message: str, hint: str) -> None:
        self._clock.stop()
        self.progress.setVisible(False)
        self.create_button.setText(tr("Create"))
        self.consent.setEnabled(True)
        self.consent.setChecked(False)
        self.create_button.setEnabled(False)
        text = sentences(message, hint)
        _say(self.progress_text, _colored(text, _GOOD if ok else _BAD))

    def _check_pressed(self) -> None:
        python = self.python.filePath().strip()
        self.check_button.setEnabled(False)
        _say(self.check_text, escape(tr("Checking… (loading the packages takes a moment)")))
        self._environment.check(python, lambda status: self._checked(python, status))

    def _checked(self, python: str, status: Any) -> None:
        self.check_button.setEnabled(True)
        text = sentences(status.message, status.hint)
        if not status.ok:
            _say(self.check_text, _colored(text, _BAD))
            return
        _say(self.check_text, _colored(text or tr("This Python works."), _GOOD))
        self._environment.use(python)

    def showEvent(self, event: QShowEvent) -> None:
        """Look at the interpreter when the page is first shown and nothing is known yet."""
        super().showEvent(event)
        status = self._environment.status()
        if status.ok and not status.versions:
            self._environment.refresh()

    def dispose(self) -> None:
        """Stop a creation that is under way."""
        if self._creating():
            self._creator.cancel()


def _text_label(name: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.RichText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label


def _say(label: QLabel, html: str) -> None:
    """Show a text; an empty label would leave a gap."""
    label.setText(html)
    label.setVisible(bool(html))


def _colored(text: str, color: str) -> str:
    return f"<span style='color:{color}'>{escape(text)}</span>"


def _breakable(path: str) -> str:
    """Return a path as HTML that may wrap after each separator."""
    return escape(path).replace("/", "/<wbr/>&#8203;").replace("\\", "\\&#8203;")


def _info(status: Any) -> str:
    """Return the message of a sound status as a further line."""
    text = sentences(status.message)
    return f"<br/><span style='color:{_NEUTRAL}'>{escape(text)}</span>" if text else ""
