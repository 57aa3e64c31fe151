"""Which raster band feeds which band of the model: one combo per model band."""

from __future__ import annotations

from typing import List, Optional, Tuple

from qgis.gui import QgsCollapsibleGroupBox
from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtWidgets import QComboBox, QFormLayout, QWidget

from ..engine_api import ModelCard
from ..messages import tr
from .preflight import default_bands
from .raster_facts import RasterFacts


class BandMapping(QgsCollapsibleGroupBox):
    """Folded while the bands are found by name or plain order, open when they need a look."""

    changed = pyqtSignal()

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(tr("Bands"), parent)
        self.setObjectName("rsBands")
        self.setSaveCollapsedState(False)
        self.setCollapsed(True)
        self._form = QFormLayout(self)
        self._combos: List[QComboBox] = []
        self._shown: Tuple[object, object] = (None, None)

    def set_context(self, facts: Optional[RasterFacts], card: Optional[ModelCard]) -> None:
        """Rebuild the combos for a raster and a model; keeps them if neither changed."""
        key = (facts and (facts.name, facts.bands), card and (card.id, card.bands))
        if key == self._shown:
            return
        self._shown = key
        self._clear()
        self.setVisible(facts is not None and card is not None)
        if facts is None or card is None:
            return
        numbers, by_name = default_bands(facts, card)
        for band, number in zip(card.bands, numbers):
            self._add_combo(facts, band.name, number)
        # Order is safe when the counts agree (an RGB photo), a guess otherwise.
        spare = len(facts.bands) - len(card.bands)
        guessed = not by_name and (spare > 1 or 0 in numbers)
        self.setCollapsed(not guessed)
        self._retitle()

    def bands(self) -> Tuple[int, ...]:
        """Return the raster band number for each model band; 0 where none is chosen."""
        return tuple(int(combo.currentData() or 0) for combo in self._combos)

    def set_bands(self, numbers: Tuple[int, ...]) -> None:
        """Choose the raster bands."""
        for combo, number in zip(self._combos, numbers):
            combo.setCurrentIndex(max(0, combo.findData(number)))

    def _clear(self) -> None:
        while self._form.rowCount():
            self._form.removeRow(0)
        self._combos = []

    def _add_combo(self, facts: RasterFacts, name: str, number: int) -> None:
        combo = QComboBox(self)
        combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        combo.setMinimumContentsLength(8)
        combo.setToolTip(tr("The raster band that the model sees as {name}").format(name=name))
        combo.addItem(tr("choose…"), 0)
        for raster_number, label in enumerate(facts.bands, start=1):
            combo.addItem(label, raster_number)
        combo.setCurrentIndex(max(0, combo.findData(number)))
        combo.currentIndexChanged.connect(self._picked)
        self._form.addRow(name, combo)
        self._combos.append(combo)

    def _picked(self) -> None:
        self._retitle()
        self.changed.emit()

    def _retitle(self) -> None:
        numbers = ", ".join(str(n) if n else "?" for n in self.bands())
        self.setTitle(tr("Bands ({numbers})").format(numbers=numbers))
