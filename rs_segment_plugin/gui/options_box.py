"""Options of a run, folded away: tiles, score, polygons, extra rasters, precision, memory."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Sequence, Union

from qgis.gui import QgsCollapsibleGroupBox, QgsFileWidget
from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QSpinBox,
    QWidget,
)

from ..algorithms import segment as ids
from ..engine_api import ModelCard
from ..messages import tr

SpinBox = Union[QSpinBox, QDoubleSpinBox]


class OptionsBox(QgsCollapsibleGroupBox):
    """A folded group; ``changed`` says that a value is another one."""

    changed = pyqtSignal()

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(tr("Options"), parent)
        self.setObjectName("rsOptions")
        self.setSaveCollapsedState(False)
        self._card: Optional[ModelCard] = None
        self._form = QFormLayout(self)
        self._form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._add_result_rows()
        self._add_engine_rows()
        self._add_raster_rows()
        self.setCollapsed(True)
        self.set_card(None)

    def _add_result_rows(self) -> None:
        self.score = _double(-0.05, 1.0, 0.05, decimals=2)
        self._row(
            tr("Score at least"),
            self.score,
            tr("Pixels or objects below this score (0 to 1) are dropped"),
        )
        self.min_area = _double(0.0, 1e9, 1.0, decimals=1, suffix=" m²", special=tr("keep all"))
        self._row(tr("Area at least"), self.min_area, tr("Smaller polygons are dropped"))
        self.simplify = _double(0.0, 1e5, 0.1, decimals=2, suffix=" m", special=tr("off"))
        self._row(
            tr("Simplify"),
            self.simplify,
            tr("Outlines may move by this distance; neighbours keep their common border"),
        )
        self.square = QCheckBox(tr("Square corners (buildings)"), self)
        self.square.setToolTip(tr("Turn building outlines into right angles where they fit"))
        self.tta = QCheckBox(tr("Average over flips (4 × slower)"), self)
        self.tta.setToolTip(tr("Each tile is also predicted mirrored; a bit more accurate"))
        for box in (self.square, self.tta):
            box.toggled.connect(self.changed)
            self._form.addRow(box)

    def _add_engine_rows(self) -> None:
        self.tile = _whole(0, 8192, 32, suffix=" px")
        self._row(tr("Tile"), self.tile, tr("Side of the square pieces the model sees"))
        self.overlap = _whole(-1, 4096, 8, suffix=" px")
        self._row(
            tr("Overlap"), self.overlap, tr("Neighbouring tiles share this margin and are blended")
        )
        self.batch = _whole(0, 256, 1, special=tr("automatic"))
        self._row(tr("Batch"), self.batch, tr("Tiles per step; smaller needs less memory"))
        texts = (tr("automatic"), tr("exact (fp32)"), tr("nearly exact (mixed)"), tr("fast (bf16)"))
        self.precision = self._choice(ids.TILE_PRECISIONS, texts)
        self._row(
            tr("Precision"),
            self.precision,
            tr("Number format of the network; automatic keeps 99.9 % of the exact labels"),
        )
        texts = (tr("automatic"), "PyTorch", "OpenVINO", "ONNX Runtime")
        self.backend = self._choice(ids.BACKENDS, texts)
        self._row(
            tr("Backend"),
            self.backend,
            tr("What runs the model; automatic takes the fastest one that is installed"),
        )
        self.max_memory = _whole(0, 1 << 20, 256, suffix=" MiB", special=tr("automatic"))
        self._row(tr("Memory limit"), self.max_memory, tr("Upper bound for the buffers of the run"))

    def _choice(self, words: Sequence[str], texts: Sequence[str]) -> QComboBox:
        """Return a list of choices; the first one is the default."""
        box = QComboBox(self)
        for word, text in zip(words, texts):
            box.addItem(text, word)
        box.currentIndexChanged.connect(self.changed)
        return box

    def _add_raster_rows(self) -> None:
        self.class_raster = _file(tr("Save class raster as"))
        self._row(
            tr("Class raster"), self.class_raster, tr("Also write a GeoTIFF of class numbers")
        )
        self.score_raster = _file(tr("Save score raster as"))
        self._row(tr("Score raster"), self.score_raster, tr("Also write a GeoTIFF of scores"))

    def _row(self, label: str, widget: QWidget, tip: str) -> None:
        widget.setToolTip(tip)
        self._form.addRow(label, widget)
        caption = self._form.labelForField(widget)
        if caption is not None:
            caption.setToolTip(tip)
        for signal in ("valueChanged", "fileChanged"):
            if hasattr(widget, signal):
                getattr(widget, signal).connect(lambda *_: self.changed.emit())

    def set_card(self, card: Optional[ModelCard]) -> None:
        """Show the card's own values where a field means "as the model says"."""
        self._card = card
        score = f" ({card.score_threshold:.2f})" if card else ""
        tile = f" ({card.tile_px})" if card else ""
        overlap = f" ({card.overlap_px})" if card else ""
        self.score.setSpecialValueText(tr("model's") + score)
        self.tile.setSpecialValueText(tr("model's") + tile)
        self.overlap.setSpecialValueText(tr("model's") + overlap)

    def tile_px(self) -> int:
        """Return the tile side in use, the card's unless it is overridden."""
        return int(self.tile.value()) or (self._card.tile_px if self._card else 512)

    def overlap_px(self) -> int:
        """Return the overlap in use, the card's unless it is overridden."""
        value = int(self.overlap.value())
        return value if value >= 0 else (self._card.overlap_px if self._card else 64)

    def problem(self) -> str:
        """Return what is wrong with the options, "" if nothing is."""
        if self.overlap_px() >= self.tile_px():
            text = tr("The overlap ({overlap} px) must be smaller than the tile ({tile} px).")
            return text.format(overlap=self.overlap_px(), tile=self.tile_px())
        return ""

    def parameters(self) -> Dict[str, Any]:
        """Return the options that differ from the defaults as parameters of the algorithm."""
        values = self.values()
        if values[ids.SCORE] < 0:
            values[ids.SCORE] = -1.0
        return {key: value for key, value in values.items() if value != DEFAULTS[key]}

    def values(self) -> Dict[str, Any]:
        """Return all options by parameter name, as they are shown."""
        return {
            ids.SCORE: round(self.score.value(), 4),
            ids.MIN_AREA: round(self.min_area.value(), 4),
            ids.SIMPLIFY: round(self.simplify.value(), 4),
            ids.SQUARE: self.square.isChecked(),
            ids.TTA: self.tta.isChecked(),
            ids.TILE: self.tile.value(),
            ids.OVERLAP: self.overlap.value(),
            ids.BATCH: self.batch.value(),
            ids.PRECISION: str(self.precision.currentData()),
            ids.BACKEND: str(self.backend.currentData()),
            ids.MAX_MEMORY: self.max_memory.value(),
            ids.CLASS_RASTER: self.class_raster.filePath().strip(),
            ids.SCORE_RASTER: self.score_raster.filePath().strip(),
        }

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show stored options; unknown names and wrong kinds are ignored."""
        spins: Dict[str, SpinBox] = {
            ids.SCORE: self.score,
            ids.MIN_AREA: self.min_area,
            ids.SIMPLIFY: self.simplify,
            ids.TILE: self.tile,
            ids.OVERLAP: self.overlap,
            ids.BATCH: self.batch,
            ids.MAX_MEMORY: self.max_memory,
        }
        for key, spin in spins.items():
            value = values.get(key)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                spin.setValue(int(value) if isinstance(spin, QSpinBox) else float(value))
        self.square.setChecked(values.get(ids.SQUARE) is True)
        self.tta.setChecked(values.get(ids.TTA) is True)
        for key, box in ((ids.PRECISION, self.precision), (ids.BACKEND, self.backend)):
            box.setCurrentIndex(max(0, box.findData(values.get(key))))


# Values of the algorithm that need not be written into a command.
DEFAULTS: Dict[str, Any] = {
    ids.SCORE: -1.0,
    ids.MIN_AREA: 0.0,
    ids.SIMPLIFY: 0.0,
    ids.SQUARE: False,
    ids.TTA: False,
    ids.TILE: 0,
    ids.OVERLAP: -1,
    ids.BATCH: 0,
    ids.PRECISION: "auto",
    ids.BACKEND: "auto",
    ids.MAX_MEMORY: 0,
    ids.CLASS_RASTER: "",
    ids.SCORE_RASTER: "",
}


def _double(
    low: float, high: float, step: float, *, decimals: int, suffix: str = "", special: str = ""
) -> QDoubleSpinBox:
    spin = QDoubleSpinBox()
    spin.setDecimals(decimals)
    spin.setRange(low, high)
    spin.setSingleStep(step)
    spin.setSuffix(suffix)
    spin.setSpecialValueText(special)
    spin.setValue(low)
    spin.setMinimumWidth(60)
    return spin


def _whole(low: int, high: int, step: int, *, suffix: str = "", special: str = "") -> QSpinBox:
    spin = QSpinBox()
    spin.setRange(low, high)
    spin.setSingleStep(step)
    spin.setSuffix(suffix)
    spin.setSpecialValueText(special)
    spin.setValue(low)
    spin.setMinimumWidth(60)
    return spin


def _file(title: str) -> QgsFileWidget:
    widget = QgsFileWidget()
    widget.setStorageMode(QgsFileWidget.StorageMode.SaveFile)
    widget.setFilter("GeoTIFF (*.tif *.tiff)")
    widget.setDialogTitle(title)
    widget.lineEdit().setPlaceholderText(tr("none"))
    return widget
