"""Icons: our own from ``resources/icons``, the rest from the QGIS theme."""

from __future__ import annotations

from qgis.core import QgsApplication
from qgis.PyQt.QtGui import QIcon

from ..engine_api import resource


def own_icon(name: str) -> QIcon:
    """Return one of our icons by its file name without the ending."""
    return QIcon(str(resource("icons", f"{name}.svg")))


def theme_icon(name: str) -> QIcon:
    """Return an icon of the QGIS theme, for example ``mActionRefresh.svg``."""
    return QgsApplication.getThemeIcon("/" + name)
