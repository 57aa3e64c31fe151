"""Slider that hides the objects of a finished layer whose score is too low."""

from __future__ import annotations

import re
from typing import Optional

from qgis.core import QgsProviderRegistry, QgsVectorLayer
from qgis.PyQt.QtCore import Qt, QTimer
from qgis.PyQt.QtWidgets import QHBoxLayout, QLabel, QSlider, QWidget

from ..layers.results import LAYER_NAMES
from ..messages import tr

SCORE = "score"
DELAY_MS = 120
_LOWEST = "rs_segment/lowest_score"
_OWN_FILTER = re.compile(r'(?:\((?P<other>.*)\) AND )?"score" >= (?P<score>[0-9.]+)', re.DOTALL)


def has_scored_instances(layer: Optional[object]) -> bool:
    """Return whether a layer holds instances with their scores."""
    if not isinstance(layer, QgsVectorLayer) or layer.fields().lookupField(SCORE) < 0:
        return False
    parts = QgsProviderRegistry.instance().decodeUri(layer.providerType(), layer.source())
    return bool(parts.get("layerName") == LAYER_NAMES["instance"])


def with_score(subset: str, score: float) -> str:
    """Return a layer's filter with another least score; 0 or less leaves it out."""
    match = _OWN_FILTER.fullmatch(subset)
    other = (match.group("other") or "") if match else subset
    if score <= 0:
        return other
    own = f'"{SCORE}" >= {score:.2f}'
    return f"({other}) AND {own}" if other else own


def score_of(subset: str) -> float:
    """Return the least score of a filter that :func:`with_score` made, else 0."""
    match = _OWN_FILTER.fullmatch(subset)
    return float(match.group("score")) if match else 0.0


class ScoreSlider(QWidget):
    """Filters a layer by score while the slider moves; the layer's file stays as it is.

    The filter is the layer's own (Layer > Filter), so it is saved with the project, and a filter
    of the user is kept beside it. Hidden for layers without instances.
    """

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._layer: Optional[QgsVectorLayer] = None
        self._total = 0
        self.slider = QSlider(Qt.Orientation.Horizontal, self)
        self.slider.setObjectName("rsScore")
        self.slider.setPageStep(5)
        self.slider.setToolTip(tr("Hide objects with a lower score; the file is not changed"))
        self.label = QLabel(self)
        self.label.setObjectName("rsScoreText")
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY_MS)
        self._timer.timeout.connect(self.apply)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel(tr("Score"), self))
        row.addWidget(self.slider, 1)
        row.addWidget(self.label)
        self.slider.valueChanged.connect(self._moved)
        self.set_layer(None)

    def set_layer(self, layer: Optional[object]) -> None:
        """Filter this layer from now on; the slider shows the filter that it has."""
        self._timer.stop()
        self._layer = None
        if isinstance(layer, QgsVectorLayer) and has_scored_instances(layer):
            self._layer = layer
        self.setVisible(self._layer is not None)
        if self._layer is None:
            return
        self._total = int(self._layer.dataProvider().featureCount())
        score = score_of(self._layer.subsetString())
        if score == 0:
            lowest = self._layer.minimumValue(self._layer.fields().lookupField(SCORE))
            self._layer.setCustomProperty(_LOWEST, float(lowest or 0))
        lowest = float(self._layer.customProperty(_LOWEST, 0) or 0)
        blocked = self.slider.blockSignals(True)
        self.slider.setRange(int(lowest * 100), 99)
        self.slider.setValue(round(score * 100))
        self.slider.blockSignals(blocked)
        self._show()

    def _moved(self) -> None:
        self._show()
        self._timer.start()

    def apply(self) -> None:
        """Give the layer the filter of the slider; a layer that is edited keeps its own."""
        self._timer.stop()
        if self._layer is None:
            return
        value = self.slider.value()
        lowest = value <= self.slider.minimum()
        subset = with_score(self._layer.subsetString(), 0.0 if lowest else value / 100)
        if subset != self._layer.subsetString() and self._layer.setSubsetString(subset):
            self._layer.triggerRepaint()
        self._show()

    def _show(self) -> None:
        if self._layer is None:
            return
        editing = self._layer.isEditable()
        self.slider.setEnabled(not editing)
        text = tr("{score} % · {count} shown").format(
            score=self.slider.value(), count=f"{self._layer.featureCount():,}"
        )
        self.label.setText(tr("save your edits first") if editing else text)
