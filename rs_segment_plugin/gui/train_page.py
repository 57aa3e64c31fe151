"""The inputs of the Train page: raster, labels, start, preset, name, options."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from qgis.core import QgsVectorLayer
from qgis.gui import QgsCollapsibleGroupBox, QgsScrollArea
from qgis.PyQt.QtCore import Qt, QTimer, pyqtSignal
from qgis.PyQt.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QFrame,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from .. import settings
from ..algorithms import make_chips_parameters as chips_ids
from ..algorithms import parameters as ids
from ..algorithms import train as train_ids
from ..messages import tr
from .label_input import LabelInput, polygon_combo
from .preflight import Note
from .raster_input import RasterInput
from .start_picker import StartPicker
from .train_checks import TrainInputs, train_notes
from .train_names import free_title, training_paths

PRESET_KEY, NETWORK_KEY, TILE_KEY = "train_preset", "train_network", "train_tile"
CHIPS_FILE = "chips.json"
_SETTLE_MS = 150


class TrainPage(QWidget):
    """All inputs of a training; ``changed`` says that the checks must be looked at again."""

    changed = pyqtSignal()

    def __init__(self, iface: Any, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self.raster = RasterInput(iface, self)
        self.raster.combo.setObjectName("rsTrainRaster")
        self.raster.combo.setToolTip(tr("The image that the labels belong to"))
        self.labels = LabelInput(self)
        tip = tr("Ground that you have labelled completely; nothing outside of it is learnt")
        self.area = polygon_combo("rsTrainArea", tr("the whole raster"), tip, self)
        tip = tr("Ground that is left out, for example where you are not sure")
        self.ignore = polygon_combo("rsTrainIgnore", tr("nothing"), tip, self)
        self.start = StartPicker(self)
        self.preset = self._make_preset()
        self.preset_text = _grey_label(self)
        self.title = QLineEdit(self)
        self.title.setObjectName("rsModelName")
        self.title.setPlaceholderText(tr("for example Roofs of my town"))
        self.title.setToolTip(tr("The name by which you choose the model afterwards"))
        self.resume = QCheckBox(tr("Continue the training that was interrupted"), self)
        self.resume.setObjectName("rsTrainResume")
        self.resume.setVisible(False)
        self.resume.setToolTip(tr("With the samples, network and recipe that it was started with"))
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.timeout.connect(self._settled)
        self.options = self._make_options()
        self._build()
        self._connect()
        self.restore()

    def _make_preset(self) -> QComboBox:
        preset = QComboBox(self)
        preset.setObjectName("rsPreset")
        for name, label in (
            ("quick", tr("Quick: a first impression")),
            ("balanced", tr("Balanced")),
            ("best", tr("Best: takes long")),
        ):
            preset.addItem(label, name)
        preset.setToolTip(tr("How long the network learns"))
        return preset

    def _make_options(self) -> QgsCollapsibleGroupBox:
        group = QgsCollapsibleGroupBox(tr("Options"), self)
        group.setSaveCollapsedState(False)
        self.tile = QSpinBox(group)
        self.tile.setRange(16, 2048)
        self.tile.setSingleStep(32)
        self.tile.setValue(256)
        self.tile.setSuffix(" px")
        self.tile.setToolTip(tr("Side of the square samples that the network learns from"))
        self.background = QCheckBox(tr("Ground without a polygon is background"), group)
        self.background.setChecked(True)
        self.background.setToolTip(tr("Untick it if you have labelled a few examples only"))
        self.device = QComboBox(group)
        for text, value in (
            (tr("Automatic"), "auto"),
            (tr("Processor (CPU)"), "cpu"),
            (tr("NVIDIA graphics card (CUDA)"), "cuda"),
        ):
            self.device.addItem(text, value)
        self.minutes = QDoubleSpinBox(group)
        self.minutes.setRange(0.0, 100_000.0)
        self.minutes.setDecimals(0)
        self.minutes.setSuffix(" min")
        self.minutes.setSpecialValueText(tr("none"))
        self.minutes.setToolTip(tr("Training ends after so long and keeps the best"))
        self.recipe = QLineEdit(group)
        self.recipe.setPlaceholderText(tr("as the recipe says"))
        self.recipe.setToolTip(
            tr("For experts: NAME=VALUE pairs separated by semicolons, as in the documentation")
        )
        form = QFormLayout(group)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(tr("Sample size"), self.tile)
        form.addRow(self.background)
        form.addRow(tr("Leave out"), self.ignore)
        form.addRow(tr("Device"), self.device)
        form.addRow(tr("Time limit"), self.minutes)
        form.addRow(tr("Recipe"), self.recipe)
        group.setCollapsed(True)
        return group

    def _build(self) -> None:
        content = QWidget(self)
        form = QFormLayout(content)
        form.setContentsMargins(8, 8, 8, 8)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        form.addRow(tr("Raster"), self.raster)
        form.addRow(tr("Labels"), self.labels)
        form.addRow(tr("Labelled area"), self.area)
        form.addRow(tr("Start from"), self.start)
        form.addRow(tr("Preset"), _column(self, self.preset, self.preset_text))
        form.addRow(tr("Model name"), _column(self, self.title, self.resume))
        form.addRow(self.options)
        scroll = QgsScrollArea(self)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll)

    def _connect(self) -> None:
        for source in (self.raster, self.labels, self.start):
            source.changed.connect(self._settle.start)
        for combo in (self.area, self.ignore):
            combo.layerChanged.connect(lambda *_: self._settle.start())
        self.title.textChanged.connect(lambda *_: self._settle.start())
        self.tile.valueChanged.connect(lambda *_: self._settle.start())
        self.preset.currentIndexChanged.connect(lambda *_: self._show_preset())

    def _settled(self) -> None:
        self.look_for_interrupted_training()
        self.changed.emit()

    def _show_preset(self) -> None:
        texts = {
            "quick": tr("Minutes to an hour on any computer; tells whether the labels work."),
            "balanced": tr("The usual choice."),
            "best": tr("The whole recipe of the network; for a graphics card or a night."),
        }
        text = texts[str(self.preset.currentData())]
        self.preset_text.setText(f"<span style='color:gray'>{text}</span>")

    def look_for_interrupted_training(self) -> None:
        """Offer to continue when the work folder of a stopped training is there."""
        found = training_paths(self.title.text()).interrupted()
        if found != self.resume.isVisibleTo(self):
            self.resume.setChecked(found)
        self.resume.setVisible(found)

    def resuming(self) -> bool:
        """Return whether an interrupted training is to be continued."""
        return bool(self.resume.isVisibleTo(self) and self.resume.isChecked())

    def chips_are_there(self) -> bool:
        """Return whether an interrupted training that is continued has its chips already."""
        return self.resuming() and (training_paths(self.title.text()).chips / CHIPS_FILE).is_file()

    def notes(self) -> List[Note]:
        """Return what speaks against a training with the inputs as they are."""
        return train_notes(
            TrainInputs(
                self.raster.facts(),
                self.labels.layer(),
                self.labels.class_field(),
                self.labels.counts,
                self.area.currentLayer(),
                self.tile.value(),
                str(self.title.text()).strip(),
                self.resuming(),
            )
        )

    def chips_parameters(self) -> Dict[str, Any]:
        """Return what ``rssegment:makechips`` takes."""
        layer, field = self.raster.layer(), self.labels.class_field()
        parameters: Dict[str, Any] = {
            ids.RASTER: [layer.id()] if layer is not None else [],
            ids.LABELS: self.labels.value(),
            ids.TILE: self.tile.value(),
            ids.OUTPUT: str(training_paths(self.title.text()).chips),
        }
        if field:
            parameters[ids.CLASS_FIELD] = field
        else:
            parameters[chips_ids.CLASS_NAME] = self.labels.single_class()
        if not self.background.isChecked():
            parameters[chips_ids.BACKGROUND] = False
        for name, combo in ((ids.AOI, self.area), (chips_ids.IGNORE, self.ignore)):
            if combo.currentLayer() is not None:
                parameters[name] = combo.currentLayer().id()
        return parameters

    def train_parameters(self) -> Dict[str, Any]:
        """Return what ``rssegment:train`` takes."""
        paths, title = training_paths(self.title.text()), str(self.title.text()).strip()
        parameters: Dict[str, Any] = {
            ids.CHIPS: str(paths.chips),
            train_ids.PRESET: str(self.preset.currentData()),
            train_ids.TITLE: title,
            train_ids.MODEL_ID: paths.model.name,
            ids.DEVICE: str(self.device.currentData()),
            ids.OUTPUT: str(paths.model),
        }
        if self.start.init():
            parameters[train_ids.INIT] = self.start.init()
        else:
            parameters[ids.NETWORK] = self.start.network_name()
        if self.minutes.value() > 0:
            parameters[ids.MAX_MINUTES] = self.minutes.value()
        if self.recipe.text().strip():
            parameters[ids.OPTIONS] = self.recipe.text().strip()
        if self.resuming():
            parameters = {**(paths.earlier_parameters() or parameters), ids.RESUME: True}
            parameters.update({ids.OUTPUT: str(paths.model), train_ids.TITLE: title})
        elif paths.interrupted():
            parameters[train_ids.OVERWRITE] = True
        return parameters

    def correct(
        self, labels: QgsVectorLayer, area: Optional[QgsVectorLayer], model_folder: str
    ) -> None:
        """Fill in a further round: corrected labels, where they hold, and the model to improve."""
        self.labels.set_layer(labels, "class_name")
        self.area.setLayer(area)
        self.start.reload()
        self.start.set_init(model_folder)
        entry = self.start.entry()
        if entry is not None and entry.card is not None:
            self.title.setText(free_title(entry.card.title))

    def restore(self) -> None:
        """Show the choices of the last session."""
        preset = self.preset.findData(settings.gui_value(PRESET_KEY, "quick"))
        self.preset.setCurrentIndex(max(0, preset))
        self.start.set_network(str(settings.gui_value(NETWORK_KEY, "")))
        self.tile.setValue(int(settings.gui_value(TILE_KEY, 256)))
        self._show_preset()

    def remember(self) -> None:
        """Store the choices for the next session."""
        settings.set_gui_value(PRESET_KEY, str(self.preset.currentData()))
        settings.set_gui_value(TILE_KEY, self.tile.value())
        if self.start.network_name():
            settings.set_gui_value(NETWORK_KEY, self.start.network_name())

    def dispose(self) -> None:
        """Leave the map and the interface."""
        self._settle.stop()
        self.raster.dispose()
        self.labels.dispose()


def _column(parent: QWidget, *widgets: QWidget) -> QWidget:
    column = QWidget(parent)
    layout = QVBoxLayout(column)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(2)
    for widget in widgets:
        layout.addWidget(widget)
    return column


def _grey_label(parent: QWidget) -> QLabel:
    label = QLabel(parent)
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label
