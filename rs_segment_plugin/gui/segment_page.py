"""The Segment page: raster, model, area, bands, device, options, output."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from qgis.core import QgsProcessing
from qgis.gui import QgsFileWidget, QgsScrollArea
from qgis.PyQt.QtCore import Qt, QTimer, pyqtSignal
from qgis.PyQt.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QFrame,
    QVBoxLayout,
    QWidget,
)

from .. import settings
from ..algorithms import segment as ids
from ..messages import tr
from .band_mapping import BandMapping
from .extent_picker import ExtentPicker
from .model_picker import ModelPicker
from .options_box import OptionsBox
from .preflight import PROBLEM, Note, Workload, preflight, working_size, worst_level
from .raster_input import RasterInput

MODEL_KEY, AREA_KEY, DEVICE_KEY, OPTIONS_KEY = "model", "area", "device", "options"
OUTPUT_FOLDER_KEY = "output_folder"
_SETTLE_MS = 120


class SegmentPage(QWidget):
    """All inputs of a run; ``changed`` says that the preflight must be looked at again."""

    changed = pyqtSignal()

    def __init__(self, iface: Any, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self.raster = RasterInput(iface, self)
        self.model = ModelPicker(self)
        self.area = ExtentPicker(iface.mapCanvas(), self)
        self.bands = BandMapping(self)
        self.device = QComboBox(self)
        self.device.setObjectName("rsDevice")
        self.options = OptionsBox(self)
        self.output = self._make_output()
        self.resume = QCheckBox(tr("Continue the run that was interrupted"), self)
        self.resume.setObjectName("rsResume")
        self.resume.setToolTip(tr("Tiles that are done already are not computed again"))
        self.resume.setVisible(False)
        self._started: Dict[str, Any] = {}
        self._resumable = False
        # Panning fires many signals: look at the raster again only when they settle.
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.timeout.connect(self._settled)
        self.set_devices([])
        self._build()
        self._connect()
        self.restore()

    def _make_output(self) -> QgsFileWidget:
        widget = QgsFileWidget(self)
        widget.setObjectName("rsOutput")
        widget.setStorageMode(QgsFileWidget.StorageMode.SaveFile)
        widget.setFilter("GeoPackage (*.gpkg)")
        widget.setDialogTitle(tr("Save polygons as"))
        widget.setDefaultRoot(settings.gui_value(OUTPUT_FOLDER_KEY, ""))
        widget.lineEdit().setPlaceholderText(tr("temporary layer"))
        widget.setToolTip(tr("GeoPackage for the polygons; empty makes a temporary layer"))
        return widget

    def _build(self) -> None:
        content = QWidget(self)
        form = QFormLayout(content)
        form.setContentsMargins(8, 8, 8, 8)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        form.addRow(tr("Raster"), self.raster)
        form.addRow(tr("Model"), self.model)
        form.addRow(tr("Area"), self.area)
        form.addRow(tr("Output"), self._output_row())
        form.addRow(tr("Device"), self.device)
        form.addRow(self.bands)
        form.addRow(self.options)
        scroll = QgsScrollArea(self)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll)
        self._set_tab_order()

    def _output_row(self) -> QWidget:
        row = QWidget(self)
        layout = QVBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.output)
        layout.addWidget(self.resume)
        return row

    def _set_tab_order(self) -> None:
        chain: List[QWidget] = [
            self.raster.combo,
            self.model.combo,
            self.area.mode_combo,
            self.output,
            self.device,
            self.bands,
            self.options,
        ]
        for first, second in zip(chain, chain[1:]):
            QWidget.setTabOrder(first, second)

    def _connect(self) -> None:
        self.raster.changed.connect(self._context_changed)
        self.model.changed.connect(self._context_changed)
        for source in (self.area, self.bands, self.options):
            source.changed.connect(self._settle.start)
        self.device.currentIndexChanged.connect(lambda *_: self._settle.start())
        self.output.fileChanged.connect(lambda *_: self._settle.start())

    def _settled(self) -> None:
        self.look_for_interrupted_run()
        self.changed.emit()

    def look_for_interrupted_run(self) -> None:
        """Offer to continue when the run folder of a stopped run lies beside the output."""
        path = Path(self.output_path())
        found = bool(self.output_path()) and path.with_name(f".{path.name}.run").is_dir()
        same = found and self._started == self._run_parameters()
        self.resume.setVisible(found)
        # Only a run with the same inputs can be continued: follow them, else keep the choice.
        if same != self._resumable:
            self.resume.setChecked(same)
        self._resumable = same

    def _context_changed(self) -> None:
        facts, card = self.raster.facts(), self.model.card()
        self.area.set_facts(facts)
        self.bands.set_context(facts, card)
        self.options.set_card(card)
        self._settle.start()

    def set_devices(self, devices: Sequence[str]) -> None:
        """Offer automatic, CPU and CUDA; found GPUs (``cuda:1``) are added one by one."""
        chosen = str(self.device.currentData() or "auto")
        self.device.clear()
        self.device.addItem(tr("Automatic"), "auto")
        self.device.addItem(tr("Processor (CPU)"), "cpu")
        self.device.addItem(tr("NVIDIA graphics card (CUDA)"), "cuda")
        for name in devices:
            if name.startswith("cuda:"):
                self.device.addItem(tr("Graphics card {number}").format(number=name[5:]), name)
        self.device.setToolTip(tr("Where the model runs; automatic takes the graphics card if any"))
        self.device.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.device.setMinimumContentsLength(8)
        self.device.setCurrentIndex(max(0, self.device.findData(chosen)))

    def workload(self) -> Optional[Workload]:
        """Return how much work the chosen area is, None while raster or area is missing."""
        facts, card, area = self.raster.facts(), self.model.card(), self.area.area()
        if facts is None or card is None or area is None:
            return None
        rows, cols = working_size(facts, card, facts.size_of(area))
        return Workload(rows, cols, self.options.tile_px(), self.options.overlap_px())

    def notes(self) -> List[Note]:
        """Return the preflight of the inputs as they are."""
        facts, card = self.raster.facts(), self.model.card()
        if facts is None:
            return [Note(PROBLEM, tr("Choose a raster layer."))]
        if card is None:
            return [Note(PROBLEM, tr("Choose a model that can be used."))]
        for problem in (self.area.problem(), self.options.problem(), self._output_problem()):
            if problem:
                return [Note(PROBLEM, problem)]
        work = self.workload()
        return preflight(facts, card, self.bands.bands(), work) if work else []

    def ready(self) -> bool:
        """Return whether a run can start."""
        return worst_level(self.notes()) != PROBLEM

    def parameters(self) -> Dict[str, Any]:
        """Return exactly what ``rssegment:segment`` takes; defaults are left out."""
        parameters = self._run_parameters()
        if self.resume.isVisibleTo(self) and self.resume.isChecked():
            parameters[ids.RESUME] = True
        return parameters

    def _run_parameters(self) -> Dict[str, Any]:
        layer = self.raster.layer()
        parameters: Dict[str, Any] = {
            ids.RASTER: layer.id() if layer is not None else "",
            ids.MODEL: self.model.model_id(),
            ids.BANDS: list(self.bands.bands()),
            ids.DEVICE: str(self.device.currentData()),
            ids.OUTPUT: self.output_path() or QgsProcessing.TEMPORARY_OUTPUT,
        }
        parameters.update(self.area.parameters())
        parameters.update(self.options.parameters())
        return parameters

    def output_path(self) -> str:
        """Return the GeoPackage to write, "" for a temporary one; ends in .gpkg."""
        path = str(self.output.filePath()).strip()
        return path if not path or path.lower().endswith(".gpkg") else path + ".gpkg"

    def _output_problem(self) -> str:
        path = self.output_path()
        if path and not Path(path).parent.is_dir():
            return tr("The folder {folder} does not exist.").format(folder=Path(path).parent)
        return ""

    def restore(self) -> None:
        """Show the choices of the last session."""
        self.model.reload(prefer=str(settings.gui_value(MODEL_KEY, "")))
        device = self.device.findData(settings.gui_value(DEVICE_KEY, "auto"))
        self.device.setCurrentIndex(max(0, device))
        stored = settings.gui_value(OPTIONS_KEY, {})
        if isinstance(stored, dict):
            self.options.set_values(stored)
        mode = str(settings.gui_value(AREA_KEY, "layer"))
        # A drawn box is gone with the session: fall back to the whole layer.
        self.area.set_mode(mode if mode in ("layer", "view") else "layer")
        self._context_changed()

    def remember(self) -> None:
        """Store the choices for the next session, and what a started run can be told by."""
        self._started = self._run_parameters()
        settings.set_gui_value(MODEL_KEY, self.model.model_id())
        settings.set_gui_value(DEVICE_KEY, str(self.device.currentData()))
        settings.set_gui_value(AREA_KEY, self.area.mode())
        values = self.options.values()
        for output in (ids.CLASS_RASTER, ids.SCORE_RASTER):
            values.pop(output)
        settings.set_gui_value(OPTIONS_KEY, values)
        if self.output_path():
            settings.set_gui_value(OUTPUT_FOLDER_KEY, str(Path(self.output_path()).parent))

    def dispose(self) -> None:
        """Leave the map and the interface."""
        self._settle.stop()
        self.model.importer.close()
        self.raster.dispose()
        self.area.dispose()
