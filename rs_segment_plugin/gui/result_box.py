"""What can be done with a finished result: correct it and train again, and further rows."""

from __future__ import annotations

from typing import Optional

from qgis.core import QgsVectorLayer
from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtWidgets import QPushButton, QSizePolicy, QVBoxLayout, QWidget

from ..layers.labels_copy import is_result
from ..messages import tr
from .icons import theme_icon
from .score_slider import ScoreSlider


class ResultBox(QWidget):
    """Shown while a result layer is at hand: the newest one, or the one that is active.

    Signals:
        correct_requested: The user wants to correct this layer and train with it.
    """

    correct_requested = pyqtSignal(object)

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._layer: Optional[QgsVectorLayer] = None
        self.correct_button = QPushButton(
            theme_icon("mActionToggleEditing.svg"), tr("Correct and train again"), self
        )
        self.correct_button.setObjectName("rsCorrect")
        self.correct_button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.rows = QVBoxLayout(self)
        self.rows.setContentsMargins(8, 0, 8, 4)
        self.rows.setSpacing(4)
        self.score = ScoreSlider(self)
        self.rows.addWidget(self.score)
        self.rows.addWidget(self.correct_button)
        self.correct_button.clicked.connect(self._pressed)
        self.set_layer(None)

    def layer(self) -> Optional[QgsVectorLayer]:
        """Return the result layer, None if there is none."""
        return self._layer

    def set_layer(self, layer: Optional[object]) -> None:
        """Show what can be done with this layer; hides for anything that is no result."""
        if self._layer is not None:
            try:
                self._layer.willBeDeleted.disconnect(self._gone)
            except (RuntimeError, TypeError):
                self._layer = None
        self._layer = layer if isinstance(layer, QgsVectorLayer) and is_result(layer) else None
        if self._layer is not None:
            self._layer.willBeDeleted.connect(self._gone)
            tip = tr(
                "Copy '{name}' to a layer that you can edit, and train the model again with it"
            )
            self.correct_button.setToolTip(tip.format(name=self._layer.name()))
        self.score.set_layer(self._layer)
        self.setVisible(self._layer is not None)

    def _gone(self) -> None:
        self._layer = None
        self.score.set_layer(None)
        self.setVisible(False)

    def _pressed(self) -> None:
        if self._layer is not None:
            self.correct_requested.emit(self._layer)
