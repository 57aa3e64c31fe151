"""Keyboard shortcuts; QShortcut moved from QtWidgets to QtGui in Qt 6."""

from __future__ import annotations

from typing import Any, Callable

from qgis.PyQt import QtGui, QtWidgets
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QKeySequence
from qgis.PyQt.QtWidgets import QWidget

_SHORTCUT_CLASS: Any = getattr(QtGui, "QShortcut", None) or QtWidgets.QShortcut


def make_shortcut(keys: QKeySequence, owner: QWidget, slot: Callable[[], None]) -> Any:
    """Return a shortcut that works while the keyboard focus is inside ``owner``."""
    shortcut = _SHORTCUT_CLASS(keys, owner)
    shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
    shortcut.activated.connect(slot)
    return shortcut
