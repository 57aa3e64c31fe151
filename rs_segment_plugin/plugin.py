"""The plugin: Processing provider, toolbar, menu and dock; ``unload`` leaves nothing behind."""

from __future__ import annotations

from typing import Any, List, Optional

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QCoreApplication, QLocale, Qt, QTranslator
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QToolBar

from . import settings
from .engine_api import resource
from .messages import tr
from .provider import RsSegmentProvider
from .worker.client import EngineClient
from .worker.environment import EngineEnvironment

try:
    from qgis.PyQt.QtGui import QAction
except ImportError:
    from qgis.PyQt.QtWidgets import QAction

MENU = "RS Segment"
DOCK_VISIBLE = "dock_visible"


class RsSegmentPlugin:
    """What QGIS loads; cheap to make, the dock is made when it is first shown.

    Args:
        iface: QGIS's interface, None in ``qgis_process``.
    """

    def __init__(self, iface: Any) -> None:
        self.iface = iface
        self.client: Optional[EngineClient] = None
        self.environment: Optional[EngineEnvironment] = None
        self.provider: Optional[RsSegmentProvider] = None
        self.dock: Optional[Any] = None
        self.toggle: Optional[QAction] = None
        self.toolbar: Optional[QToolBar] = None
        self._translator = _translator()

    def initProcessing(self) -> None:
        """Register the provider; the only step in ``qgis_process``."""
        if self.provider is not None:
            return
        self.client = EngineClient()
        self.environment = EngineEnvironment(self.client)
        self.provider = RsSegmentProvider(self.client, self.environment)
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self) -> None:
        """Add toolbar, menu and the action that shows the dock."""
        self.initProcessing()
        window = self.iface.mainWindow()
        icon = QIcon(str(resource("icons", "rs_segment.svg")))
        self.toggle = QAction(icon, tr("RS Segment"), window)
        self.toggle.setObjectName("rsSegmentToggle")
        self.toggle.setCheckable(True)
        self.toggle.setToolTip(tr("Segment rasters with trained networks"))
        self.toggle.toggled.connect(self.show_dock)
        self.toolbar = self.iface.addToolBar(MENU)
        self.toolbar.setObjectName("RsSegmentToolBar")
        self.toolbar.addAction(self.toggle)
        self.iface.addPluginToRasterMenu(MENU, self.toggle)
        if settings.gui_value(DOCK_VISIBLE, False):
            self.toggle.setChecked(True)

    def show_dock(self, visible: bool) -> None:
        """Show or hide the dock; makes it the first time."""
        if self.dock is None:
            if not visible:
                return
            self.dock = self._make_dock()
        self.dock.setUserVisible(visible)
        settings.set_gui_value(DOCK_VISIBLE, visible)

    def _make_dock(self) -> Any:
        from .gui.dock import RsSegmentDock

        dock = RsSegmentDock(self.iface, self.environment)
        self.iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
        if self.toggle is not None:
            dock.setToggleVisibilityAction(self.toggle)
        return dock

    def unload(self) -> None:
        """Remove all that was added and end the engine."""
        if self.dock is not None:
            settings.set_gui_value(DOCK_VISIBLE, self.dock.isUserVisible())
            self.dock.shutdown()
            self.iface.removeDockWidget(self.dock)
            self.dock.deleteLater()
            self.dock = None
        if self.toggle is not None:
            self.iface.removePluginRasterMenu(MENU, self.toggle)
        for widget in self._widgets():
            widget.deleteLater()
        self.toggle = self.toolbar = None
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
        if self.environment is not None:
            self.environment.close()
            self.environment.deleteLater()
            self.environment = None
        if self.client is not None:
            self.client.close()
            self.client = None
        if self._translator is not None:
            QCoreApplication.removeTranslator(self._translator)
            self._translator = None

    def _widgets(self) -> List[Any]:
        widgets: List[Any] = []
        if self.toolbar is not None:
            self.iface.mainWindow().removeToolBar(self.toolbar)
            widgets.append(self.toolbar)
        if self.toggle is not None:
            widgets.append(self.toggle)
        return widgets


def _translator() -> Optional[QTranslator]:
    """Install the translation of the user's language, if there is one."""
    path = resource("i18n", f"rs_segment_{QLocale().name()[:2]}.qm")
    if not path.is_file():
        return None
    translator = QTranslator()
    if not translator.load(str(path)):
        return None
    QCoreApplication.installTranslator(translator)
    return translator
