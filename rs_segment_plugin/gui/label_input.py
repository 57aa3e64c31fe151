"""What a model should learn: label layer, class field with its classes, labelled area, ignore."""

from __future__ import annotations

from html import escape
from typing import Any, Dict, Optional

from qgis.core import (
    QgsMapLayerProxyModel,
    QgsProcessingFeatureSourceDefinition,
    QgsVectorLayer,
)
from qgis.gui import QgsFieldComboBox, QgsMapLayerComboBox
from qgis.PyQt.QtCore import QTimer, pyqtSignal
from qgis.PyQt.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ..layers.label_source import (
    class_colors,
    count_classes,
    likely_class_field,
    missing_class_text,
)
from ..messages import tr

MAX_SHOWN = 12
_COLOR = "#8a8a8a"


def polygon_combo(name: str, empty: str, tip: str, parent: QWidget) -> QgsMapLayerComboBox:
    """Return a combo of polygon layers with an empty entry."""
    combo = QgsMapLayerComboBox(parent)
    combo.setObjectName(name)
    combo.setFilters(QgsMapLayerProxyModel.Filter.PolygonLayer)
    combo.setAllowEmptyLayer(True, empty)
    combo.setCurrentIndex(0)
    combo.setMinimumContentsLength(8)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setToolTip(tip)
    return combo


def _row(caption: str, field: QWidget, caption_px: int) -> QWidget:
    row = QWidget(field.parentWidget())
    label = QLabel(caption, row)
    label.setMinimumWidth(caption_px)
    label.setBuddy(field)
    label.setToolTip(field.toolTip())
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(label)
    layout.addWidget(field, 1)
    return row


class LabelInput(QWidget):
    """Choose labels and their class field; ``changed`` says that something is another one."""

    changed = pyqtSignal()

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self.counts: Dict[str, int] = {}
        self._watched: Optional[QgsVectorLayer] = None
        tip = tr("Polygons of what the model should learn")
        self.combo = polygon_combo("rsLabels", tr("choose a polygon layer…"), tip, self)
        self.selected_only = QCheckBox(tr("Selected features only"), self)
        self.field = QgsFieldComboBox(self)
        self.field.setObjectName("rsClassField")
        self.field.setAllowEmptyFieldName(True)
        self.field.setToolTip(tr("The field with the class; empty: all polygons are one class"))
        self.class_name = QLineEdit(self)
        self.class_name.setObjectName("rsClassName")
        self.class_name.setPlaceholderText(tr("for example building"))
        self.class_name.setToolTip(tr("The name of the only class; empty: object"))
        self.classes = QLabel(self)
        self.classes.setObjectName("rsClasses")
        self.classes.setWordWrap(True)
        self.classes.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        captions = (tr("Class field"), tr("Class name"))
        metrics = self.fontMetrics()
        width_px = max(metrics.horizontalAdvance(caption) for caption in captions)
        fields = (self.field, self.class_name)
        self._named = [_row(word, field, width_px) for word, field in zip(captions, fields)]
        for widget in (self.combo, self.selected_only, *self._named, self.classes):
            layout.addWidget(widget)
        self.setFocusProxy(self.combo)
        # Editing fires many signals: count again when they settle.
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(250)
        self._settle.timeout.connect(self._recount)
        self.combo.layerChanged.connect(self._layer_changed)
        self.field.fieldChanged.connect(lambda *_: self._recount())
        self.class_name.textChanged.connect(lambda *_: self.changed.emit())
        self.selected_only.toggled.connect(lambda *_: self.changed.emit())
        self._layer_changed(None)

    def layer(self) -> Optional[QgsVectorLayer]:
        """Return the label layer."""
        return self.combo.currentLayer()

    def class_field(self) -> str:
        """Return the class field, an empty text for none."""
        return str(self.field.currentField())

    def single_class(self) -> str:
        """Return the name of the single class where there is no class field."""
        return str(self.class_name.text()).strip() or "object"

    def value(self) -> Any:
        """Return the labels as a parameter of the algorithm."""
        layer = self.layer()
        if layer is None:
            return ""
        if self.selected_only.isVisibleTo(self) and self.selected_only.isChecked():
            return QgsProcessingFeatureSourceDefinition(layer.id(), True)
        return layer.id()

    def set_layer(self, layer: Optional[QgsVectorLayer], field: str = "") -> None:
        """Choose a layer and, if it is given, its class field."""
        self.combo.setLayer(layer)
        if layer is not None and field:
            self.field.setField(field)

    def _layer_changed(self, layer: Optional[QgsVectorLayer]) -> None:
        self._watch(layer)
        self.field.setLayer(layer)
        self.field.setField(likely_class_field(layer) if layer is not None else "")
        self._selection_changed()
        self._recount()

    def _watch(self, layer: Optional[QgsVectorLayer]) -> None:
        slots = {
            "selectionChanged": self._selection_changed,
            "layerModified": self._settle.start,
            "afterCommitChanges": self._settle.start,
            "rendererChanged": self._settle.start,
        }
        if self._watched is not None:
            for name, slot in slots.items():
                try:
                    getattr(self._watched, name).disconnect(slot)
                except (RuntimeError, TypeError):
                    continue
        self._watched = layer
        if layer is not None:
            for name, slot in slots.items():
                getattr(layer, name).connect(slot)

    def _selection_changed(self, *_ignored: object) -> None:
        layer = self.layer()
        count = layer.selectedFeatureCount() if layer is not None else 0
        self.selected_only.setText(tr("Selected features only ({count})").format(count=count))
        self.selected_only.setVisible(count > 0)
        self.changed.emit()

    def _recount(self) -> None:
        layer, field = self.layer(), self.class_field()
        self._named[0].setVisible(layer is not None)
        self._named[1].setVisible(layer is not None and not field)
        self.counts = count_classes(layer, field) if layer is not None and field else {}
        self.classes.setText(self._classes_html(layer, field))
        self.classes.setVisible(bool(self.classes.text()))
        self.changed.emit()

    def _classes_html(self, layer: Optional[QgsVectorLayer], field: str) -> str:
        if layer is None:
            return ""
        if not field:
            count = tr("{count} polygons, one class").format(count=layer.featureCount())
            return f"<span style='color:gray'>{escape(count)}</span>"
        colors = class_colors(layer, field)
        named = [(name, count) for name, count in self.counts.items() if name]
        parts = [
            f"<span style='color:{colors.get(name, _COLOR)}'>&#9632;</span>&nbsp;"
            f"{escape(name).replace(' ', '&nbsp;')}&nbsp;<span style='color:gray'>{count}</span>"
            for name, count in named[:MAX_SHOWN]
        ]
        if len(named) > MAX_SHOWN:
            parts.append(tr("and {count} more").format(count=len(named) - MAX_SHOWN))
        text = " &nbsp; ".join(parts)
        missing = missing_class_text(self.counts)
        return f"{text}<br/><span style='color:#b26a00'>{missing}</span>" if missing else text

    def dispose(self) -> None:
        """Stop listening to the layer."""
        self._settle.stop()
        self._watch(None)
