"""Finds the engine's Python interpreter and says whether it is sound.

Looked for in this order: the setting, the variable ``RS_SEGMENT_PYTHON``, a checkout's
``.venv``, the environment that the plugin made in the user's QGIS folder.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Callable, List, Optional, Tuple

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QObject, pyqtSignal

from .. import settings
from ..engine_api import __version__, checkout_python
from ..messages import no_engine, tr
from .client import EngineClient
from .probe import Command, EnvironmentStatus, probe

if TYPE_CHECKING:
    from .creator import EnvironmentCreator

PYTHON_VARIABLE = "RS_SEGMENT_PYTHON"
MARKER = "rs_segment_complete.json"


def managed_folder() -> Path:
    """Return where the environment that the plugin makes lies, in the user's QGIS folder."""
    return Path(QgsApplication.qgisSettingsDirPath()) / "rs_segment" / f"env-{__version__}"


def interpreter_in(folder: Path) -> Path:
    """Return the interpreter of a virtual environment, for this system."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def find_python() -> Tuple[str, str]:
    """Return interpreter and origin, two empty texts if there is none; starts nothing.

    A setting or variable that names a file that is gone is returned all the same, so that
    the user is told about it. Safe to call from any thread.
    """
    chosen = settings.engine_python()
    if chosen:
        return chosen, "setting"
    variable = os.environ.get(PYTHON_VARIABLE, "")
    if variable:
        return variable, "variable"
    if checkout_python().is_file():
        return str(checkout_python()), "checkout"
    managed = interpreter_in(managed_folder())
    if (managed_folder() / MARKER).is_file() and managed.is_file():
        return str(managed), "managed"
    return "", ""


def has_nvidia_driver() -> bool:
    """Return whether this machine has a driver for NVIDIA GPUs."""
    return Path("/proc/driver/nvidia").is_dir() or shutil.which("nvidia-smi") is not None


class EngineEnvironment(QObject):
    """What the plugin knows about the engine's interpreter; lives in the GUI thread.

    Signals:
        changed: The interpreter in use, or what is known of it, has changed.
    """

    changed = pyqtSignal()

    def __init__(self, client: EngineClient, parent: Optional[QObject] = None) -> None:
        super().__init__(parent)
        self._client = client
        self._checked: Optional[EnvironmentStatus] = None
        self._creator: Optional[EnvironmentCreator] = None

    def python(self) -> str:
        """Return the interpreter to use, empty if there is none; safe from any thread."""
        return find_python()[0]

    def status(self) -> EnvironmentStatus:
        """Return what is known; cheap, starts no process."""
        python, origin = find_python()
        if not python:
            return EnvironmentStatus(False, "", "", tr("No engine yet."), no_engine())
        checked = self._checked
        if checked is not None and (checked.python, checked.origin) == (python, origin):
            return checked
        if Path(python).is_absolute() and not Path(python).is_file():
            message = tr("{python} does not exist").format(python=python)
            hint = tr("Choose another interpreter, or create one.")
            return EnvironmentStatus(False, python, origin, message, hint)
        return EnvironmentStatus(True, python, origin, tr("Not checked yet."))

    def refresh(self) -> None:
        """Look again; emits ``changed`` when the answer is there."""
        python, origin = find_python()
        if python:
            probe(python, origin, self._keep, parent=self)
        else:
            self._checked = None
            self.changed.emit()

    def _keep(self, status: EnvironmentStatus) -> None:
        self._checked = status
        self.changed.emit()

    def check(self, python: str, done: Callable[[EnvironmentStatus], None]) -> None:
        """Look at any interpreter; ``done`` is called later with the answer."""
        probe(python, "setting", done, parent=self)

    def use(self, python: str) -> None:
        """Use this interpreter from now on; an empty text means to look for one."""
        settings.set_engine_python(python)
        self._client.stop_idle()
        self.refresh()

    def folder(self) -> str:
        """Return where a managed environment would go."""
        return str(managed_folder())

    def download_gb(self) -> float:
        """Return about how much a managed environment downloads, in gigabytes."""
        return 3.0 if sys.platform.startswith("linux") else 0.5

    def creator(self) -> EnvironmentCreator:
        """Return the object that makes the managed environment; one per plugin."""
        from .creator import EnvironmentCreator

        if self._creator is None:
            self._creator = EnvironmentCreator(
                managed_folder(), interpreter_in(managed_folder()), parent=self
            )
            self._creator.finished.connect(self._created)
        return self._creator

    def _created(self, ok: bool, message: str, hint: str) -> None:
        if ok:
            record = json.dumps({"engine_version": __version__})
            (managed_folder() / MARKER).write_text(record + "\n", encoding="utf-8")
            self.use("")

    def devices(self) -> List[str]:
        """Return the devices that can be there, an empty list if all may; cheap.

        Without an NVIDIA driver, or with a torch built for CPUs, only the CPU is left.
        """
        torch = self.status().versions.get("torch", "")
        return ["cpu"] if torch.endswith("+cpu") or not has_nvidia_driver() else []

    def stop_worker(self) -> None:
        """End the warm engine process."""
        self._client.stop_idle()

    def close(self) -> None:
        """Stop what is under way; for unloading the plugin."""
        if self._creator is not None:
            self._creator.close()
        for command in self.findChildren(Command):
            command.abandon()
