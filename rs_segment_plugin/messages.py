"""Texts for people: translation, the log panel, and failures with their way out."""

from __future__ import annotations

from qgis.core import Qgis, QgsMessageLog
from qgis.PyQt.QtCore import QCoreApplication

LOG_TAG = "RS Segment"
CONTEXT = "RsSegment"


def tr(text: str) -> str:
    """Return the text in the user's language."""
    return str(QCoreApplication.translate(CONTEXT, text))


def log(text: str, *, warning: bool = False) -> None:
    """Write a line to the log panel; may be called from any thread."""
    level = Qgis.MessageLevel.Warning if warning else Qgis.MessageLevel.Info
    QgsMessageLog.logMessage(text, LOG_TAG, level, False)


def with_hint(message: str, hint: str) -> str:
    """Return a message followed by what to do, each on a line of its own."""
    return f"{message}\n{hint}" if hint else message


def no_engine() -> str:
    """Return how to get the engine when there is none."""
    return tr(
        "RS Segment has no engine yet. Open the RS Segment panel (Raster menu) to set one up, "
        "or set the environment variable RS_SEGMENT_PYTHON to a Python that has the packages "
        "of resources/engine_requirements.txt."
    )
