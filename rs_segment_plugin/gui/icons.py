"""Icons: our own from ``resources/icons``, the rest from the QGIS theme."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsApplication
from qgis.PyQt.QtGui import QColor, QIcon, QPixmap

_PACKAGE = Path(__file__).resolve().parents[1]


def icon_path(name: str) -> Path:
    """Return the path of one of our icons; in the packaged plugin or in a checkout."""
    packaged = _PACKAGE / "resources" / "icons" / f"{name}.svg"
    return packaged if packaged.is_file() else _PACKAGE.parent / "resources/icons" / f"{name}.svg"


def own_icon(name: str) -> QIcon:
    """Return one of our icons by its file name without the ending."""
    return QIcon(str(icon_path(name)))


def theme_icon(name: str) -> QIcon:
    """Return an icon of the QGIS theme, for example ``mActionRefresh.svg``."""
    return QgsApplication.getThemeIcon("/" + name)


def swatch(color: str, side_px: int = 12) -> QPixmap:
    """Return a square of one colour (``#rrggbb``)."""
    pixmap = QPixmap(side_px, side_px)
    pixmap.fill(QColor(color))
    return pixmap
