"""The RS Segment dock: its tabs, and what connects them."""

from __future__ import annotations

from typing import Any, Optional

from qgis.core import QgsProcessingException, QgsProject, QgsReferencedRectangle
from qgis.gui import QgsDockWidget
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QTabWidget, QWidget

from ..layers.labels_copy import area_layer, editable_copy, model_of
from ..messages import tr
from .environment_page import EnvironmentPage
from .icons import own_icon
from .notices import Notices
from .segment_tab import SegmentTab
from .train_tab import TrainTab

DOCK_MIN_WIDTH_PX = 300


class RsSegmentDock(QgsDockWidget):
    """The dock of the plugin.

    Args:
        iface: The QGIS interface.
        environment: Service that knows, checks and creates the engine's environment.
        parent: Parent widget; the main window of QGIS by default.
    """

    def __init__(self, iface: Any, environment: Any, parent: Optional[QWidget] = None) -> None:
        super().__init__(tr("RS Segment"), parent or iface.mainWindow())
        self.setObjectName("RsSegmentDock")
        self.setWindowIcon(own_icon("rs_segment"))
        areas = Qt.DockWidgetArea.LeftDockWidgetArea | Qt.DockWidgetArea.RightDockWidgetArea
        self.setAllowedAreas(areas)
        self._environment = environment
        self._iface = iface
        self._notices = Notices(iface, self)
        self.segment = SegmentTab(iface, environment, self)
        self.train = TrainTab(iface, environment, self)
        self.engine = EnvironmentPage(environment, self)
        self.tabs = QTabWidget(self)
        self.tabs.setDocumentMode(True)
        self.tabs.setMinimumWidth(DOCK_MIN_WIDTH_PX)
        self.tabs.addTab(self.segment, own_icon("segment"), tr("Segment"))
        self.tabs.addTab(self.train, own_icon("train"), tr("Train"))
        self.tabs.addTab(self.engine, own_icon("engine"), tr("Engine"))
        self.tabs.setTabToolTip(0, tr("Turn a raster into polygons"))
        self.tabs.setTabToolTip(1, tr("Teach a model your own classes"))
        self.tabs.setTabToolTip(2, tr("The Python environment that runs the models"))
        self.setWidget(self.tabs)
        self.segment.engine_wanted.connect(self.show_engine)
        self.segment.correct_requested.connect(self.correct)
        self.train.engine_wanted.connect(self.show_engine)
        self.train.model_ready.connect(self._model_ready)
        self.train.segment_wanted.connect(self.show_segment)
        environment.changed.connect(self._environment_changed)
        self._was_ready = bool(environment.status().ok)
        if not self._was_ready:
            self.show_engine()

    def show_engine(self) -> None:
        """Bring the Engine tab to the front."""
        self.tabs.setCurrentWidget(self.engine)

    def show_segment(self) -> None:
        """Bring the Segment tab to the front."""
        self.tabs.setCurrentWidget(self.segment)

    def correct(self, layer: Any, ground: Any) -> None:
        """Make editable labels of a result and fill in the Train tab with them.

        Args:
            layer: Result layer; it is kept as it is.
            ground: What was looked at: a ``QgsReferencedRectangle``, a polygon layer, or None.
        """
        project, entry = QgsProject.instance(), model_of(layer)
        try:
            labels = editable_copy(layer, project)
        except QgsProcessingException as error:
            self._notices.failure(tr("The labels cannot be made"), str(error), "", "")
            return
        area = ground
        if isinstance(ground, QgsReferencedRectangle):
            name = tr("{name} · labelled area").format(name=layer.name())
            area = area_layer(ground, name, project)
        node = project.layerTreeRoot().findLayer(layer.id())
        if node is not None:
            node.setItemVisibilityChecked(False)
        self._iface.setActiveLayer(labels)
        self.train.correct(labels, area, str(entry.folder.absolute()) if entry else "")
        self.tabs.setCurrentWidget(self.train)
        self._notices.success(tr("Labels"), tr("Correct them, then press Train."))

    def _model_ready(self, model_id: str) -> None:
        self.segment.page.model.reload(prefer=model_id)

    def _environment_changed(self) -> None:
        ready = bool(self._environment.status().ok)
        if ready:
            self.segment.page.set_devices(self._environment.devices())
        if ready != self._was_ready:
            self.tabs.setCurrentWidget(self.segment if ready else self.engine)
        self._was_ready = ready

    def shutdown(self) -> None:
        """Stop what runs and leave nothing on the map; called by ``unload``."""
        self.segment.dispose()
        self.train.dispose()
        self.engine.dispose()
