"""The button that adds a model from a zip or a folder to the user's own models."""

from __future__ import annotations

from typing import Optional

from qgis.PyQt.QtCore import QFileInfo, QObject, pyqtSignal
from qgis.PyQt.QtWidgets import QFileDialog, QMenu, QMessageBox, QToolButton, QWidget

from .. import settings
from ..algorithms.import_model import ALGORITHM_ID, MODEL_ID, OVERWRITE, SOURCE
from ..messages import tr
from .algorithm_run import DONE, AlgorithmRun, Outcome
from .icons import theme_icon
from .notices import sentences

FOLDER_KEY = "import_folder"


class ModelImport(QObject):
    """Runs ``rssegment:importmodel``.

    Signals:
        imported: A model was added; carries its id.
    """

    imported = pyqtSignal(str)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._widget = parent
        self._source = ""
        self.run = AlgorithmRun(ALGORITHM_ID, self)
        self.run.finished.connect(self._finished)
        self.button = QToolButton(parent)
        self.button.setObjectName("rsImportModel")
        self.button.setAutoRaise(True)
        self.button.setIcon(theme_icon("mActionAdd.svg"))
        self.button.setToolTip(tr("Import a model from a zip or a folder"))
        self.button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self.button)
        menu.addAction(tr("Import a zip…")).triggered.connect(lambda *_: self._choose(zipped=True))
        menu.addAction(tr("Import a folder…")).triggered.connect(
            lambda *_: self._choose(zipped=False)
        )
        self.button.setMenu(menu)

    def _choose(self, *, zipped: bool) -> None:
        start = str(settings.gui_value(FOLDER_KEY, ""))
        if zipped:
            title, kinds = tr("Import a model"), tr("Models (*.zip)")
            path, _ = QFileDialog.getOpenFileName(self._widget, title, start, kinds)
        else:
            path = QFileDialog.getExistingDirectory(self._widget, tr("Import a model"), start)
        if path:
            settings.set_gui_value(FOLDER_KEY, QFileInfo(path).absolutePath())
            self.start(path)

    def start(self, source: str, *, overwrite: bool = False) -> None:
        """Import a model; a failure is told in a message box."""
        self._source = source
        refusal = self.run.start({SOURCE: source, OVERWRITE: overwrite})
        if refusal:
            self._tell(sentences(refusal))
        self.button.setEnabled(not self.run.running())

    def _finished(self, outcome: Outcome) -> None:
        self.button.setEnabled(True)
        if outcome.kind == DONE:
            self.imported.emit(str(outcome.outputs.get(MODEL_ID, "")))
        elif outcome.message:
            self._tell(sentences(outcome.message, outcome.hint))

    def _tell(self, text: str, parent: Optional[QWidget] = None) -> None:
        QMessageBox.warning(parent or self._widget, tr("Import a model"), text)

    def close(self) -> None:
        """Stop what runs; for unloading the plugin."""
        self.run.close()
