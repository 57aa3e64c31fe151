"""Model combo with its card below, refresh and "open the model folder"."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional

from qgis.PyQt.QtCore import Qt, QUrl, pyqtSignal
from qgis.PyQt.QtGui import QDesktopServices, QIcon
from qgis.PyQt.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ..engine_api import ModelCard, ModelEntry, list_models, user_zoo
from ..messages import tr
from .icons import own_icon, theme_icon
from .model_card_view import ModelCardView
from .model_import import ModelImport


class ModelPicker(QWidget):
    """Choose a model of the zoo; ``changed`` says that another one (or none) is chosen."""

    changed = pyqtSignal()

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._entries: List[ModelEntry] = []
        self.combo = QComboBox(self)
        self.combo.setObjectName("rsModel")
        self.combo.setToolTip(tr("The model that finds the objects"))
        self.combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.combo.setMinimumContentsLength(8)
        self._refresh = _button(self, theme_icon("mActionRefresh.svg"))
        self._refresh.setToolTip(tr("Look for models again"))
        self._folder = _button(self, theme_icon("mActionFileOpen.svg"))
        self._folder.setToolTip(tr("Open the folder of your own models"))
        self.importer = ModelImport(self)
        self.card_view = ModelCardView(self)
        row = QHBoxLayout()
        row.setSpacing(2)
        row.addWidget(self.combo, 1)
        row.addWidget(self.importer.button)
        row.addWidget(self._refresh)
        row.addWidget(self._folder)
        self.setFocusProxy(self.combo)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.card_view)
        self.combo.currentIndexChanged.connect(self._changed)
        self.importer.imported.connect(lambda model_id: self.reload(prefer=model_id))
        self._refresh.clicked.connect(lambda: self.reload())
        self._folder.clicked.connect(lambda: open_folder(user_zoo()))

    def reload(self, prefer: str = "") -> None:
        """Read the zoo again; keep the chosen model, or take ``prefer`` at first."""
        wanted = prefer or self.model_id()
        self._entries = list_models()
        self.combo.blockSignals(True)
        self.combo.clear()
        for entry in self._entries:
            title = entry.card.title if entry.card else tr("{id} (broken)").format(id=entry.id)
            icon = own_icon("model") if entry.card else theme_icon("mIconWarning.svg")
            self.combo.addItem(icon, title, entry.id)
            tip = entry.id if entry.card else entry.problem
            self.combo.setItemData(self.combo.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        index = self.combo.findData(wanted)
        self.combo.setCurrentIndex(index if index >= 0 else self._first_sound())
        self.combo.blockSignals(False)
        self._changed()

    def choose(self, model_id: str) -> bool:
        """Choose a model by its id; False if there is none."""
        index = self.combo.findData(model_id)
        if index >= 0:
            self.combo.setCurrentIndex(index)
        return bool(index >= 0)

    def entry(self) -> Optional[ModelEntry]:
        """Return the chosen model folder."""
        index = self.combo.currentIndex()
        return self._entries[index] if 0 <= index < len(self._entries) else None

    def card(self) -> Optional[ModelCard]:
        """Return the card of the chosen model, None if there is none or it is broken."""
        entry = self.entry()
        return entry.card if entry else None

    def model_id(self) -> str:
        """Return the id of the chosen model, "" for none."""
        entry = self.entry()
        return entry.id if entry else ""

    def _first_sound(self) -> int:
        sound = [i for i, entry in enumerate(self._entries) if entry.card is not None]
        return sound[0] if sound else 0 if self._entries else -1

    def _changed(self) -> None:
        self.card_view.show_entry(self.entry())
        self.changed.emit()


def _button(parent: QWidget, icon: QIcon) -> QToolButton:
    button = QToolButton(parent)
    button.setAutoRaise(True)
    button.setIcon(icon)
    return button


def open_folder(folder: Path) -> None:
    """Show a folder in the desktop's file browser, creating it if needed."""
    folder.mkdir(parents=True, exist_ok=True)
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))
