"""What a long step without steps of its own is doing, and for how long: it shows that it lives."""

from __future__ import annotations

import time
from typing import Callable, Optional

from qgis.PyQt.QtCore import QObject, QTimer

from .rates import duration_text

TICK_MS = 1000
SILENT_S = 5.0


class StageClock(QObject):
    """Shows a stage with the time since the start, anew every second.

    Args:
        show: Called with the text, for example ``Installing packages (2 min 5 s)``.
        parent: Owner.
    """

    def __init__(self, show: Callable[[str], None], parent: Optional[QObject] = None) -> None:
        super().__init__(parent)
        self._show = show
        self._stage = ""
        self._began_s = 0.0
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)

    def start(self, stage: str) -> None:
        """Begin at zero with ``stage``."""
        self._began_s = time.monotonic()
        self._timer.start()
        self.say(stage)

    def say(self, stage: str) -> None:
        """Show another stage; the time goes on."""
        self._stage = stage
        self._tick()

    def stop(self) -> None:
        """Show nothing more."""
        self._timer.stop()

    def _tick(self) -> None:
        elapsed_s = time.monotonic() - self._began_s
        tail = f" ({duration_text(elapsed_s)})" if elapsed_s >= SILENT_S else ""
        self._show(self._stage + tail)
