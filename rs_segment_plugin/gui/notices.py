"""Messages in the message bar of QGIS, with the details one click away."""

from __future__ import annotations

from typing import Any, Optional

from qgis.core import Qgis
from qgis.PyQt.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ..messages import tr

_SUCCESS_S = 8


def sentences(*parts: str) -> str:
    """Return the parts that are not empty as one line of sentences."""
    stripped = [part.strip().replace("\n", " ") for part in parts if part.strip()]
    ended = [part if part[-1] in ".!?:…" else part + "." for part in stripped]
    return " ".join(part[0].upper() + part[1:] for part in ended)


class Notices:
    """Pushes messages; a failure has message, hint and a "Details" button."""

    def __init__(self, iface: Any, parent: Optional[QWidget] = None) -> None:
        self._bar = iface.messageBar()
        self._parent = parent

    def success(self, title: str, text: str) -> None:
        """Show a message that goes away by itself."""
        self._bar.pushMessage(title, text, Qgis.MessageLevel.Success, _SUCCESS_S)

    def failure(self, title: str, message: str, hint: str, details: str) -> None:
        """Show what happened and what to do; it stays until it is closed."""
        item = self._bar.createMessage(title, sentences(message, hint))
        button = QPushButton(tr("Details"), item)
        button.setObjectName("rsDetails")
        button.clicked.connect(lambda: self._show(title, message, hint, details))
        item.layout().addWidget(button)
        self._bar.pushWidget(item, Qgis.MessageLevel.Critical)

    def _show(self, title: str, message: str, hint: str, details: str) -> None:
        DetailsDialog(title, message, hint, details, self._parent).exec()


class DetailsDialog(QDialog):
    """Message and hint in plain words above, the technical text below, with Copy."""

    def __init__(
        self, title: str, message: str, hint: str, details: str, parent: Optional[QWidget] = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.resize(560, 320)
        layout = QVBoxLayout(self)
        for text in (message, hint):
            if text:
                label = QLabel(text, self)
                label.setWordWrap(True)
                layout.addWidget(label)
        self.box = QPlainTextEdit(details or tr("There are no further details."), self)
        self.box.setReadOnly(True)
        layout.addWidget(self.box, 1)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close, self)
        copy = buttons.addButton(tr("Copy"), QDialogButtonBox.ButtonRole.ActionRole)
        whole = "\n\n".join(part for part in (message, hint, details) if part)
        copy.clicked.connect(lambda: QApplication.clipboard().setText(whole))
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons)
