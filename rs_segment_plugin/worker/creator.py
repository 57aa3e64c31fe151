"""Makes the engine's environment: a virtual environment with pinned packages, step by step.

Every step is a child process, so the window stays alive and the user can cancel. What was made
is removed when a step fails; an older environment is removed once a new one begins. The caller
marks the environment as complete at the very end.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import threading
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

from qgis.PyQt.QtCore import QObject, QTimer, pyqtSignal

from .. import settings
from ..engine_api import REQUIRED_PACKAGES, engine_root, resource
from ..messages import log, tr
from .probe import Command, EnvironmentStatus, probe
from .proxy import proxy_variables

PYTHON_NAMES = ("python3.12", "python3.11", "python3.13", "python3.10", "python3", "python")
BASE_CODE = "import ensurepip, sys, venv; sys.exit(0 if sys.version_info >= (3, 10) else 9)"
IMPORT_CODE = "import sys; [__import__(name) for name in sys.argv[1:]]"
WARM_ARGUMENTS = ("-u", "-m", "engine", "doctor", "--warm")
IMPORTED_MODULES = ("torch", "torchvision", "rasterio", "pyogrio", "numba")
FREE_BYTES = 8 << 30
STEP_TIMEOUT_MS = 120_000
_PIP_NEWS = re.compile(r"^\s*(Collecting|Downloading|Using cached|Installing collected)\s*(\S*)")


def base_pythons() -> List[str]:
    """Return interpreters that may make a virtual environment, best first."""
    found = [shutil.which(name) or "" for name in PYTHON_NAMES]
    if sys.platform == "win32":
        found = [str(Path(sys.base_exec_prefix, "python.exe")), *found]
    elif sys.platform == "darwin":
        found = [str(Path(sys.base_exec_prefix, "bin", "python3")), *found]
    return [path for path in dict.fromkeys(found) if path and Path(path).is_file()]


def remove_folder(folder: Path) -> None:
    """Delete a folder that may hold many files: renamed now, deleted in the background."""
    if not folder.exists():
        return
    trash = folder.with_name(f".{folder.name}.removed-{os.getpid()}")
    while trash.exists():
        trash = trash.with_name(trash.name + "-")
    try:
        folder.rename(trash)
    except OSError as error:
        log(f"{folder} cannot be removed: {error}", warning=True)
        return
    threading.Thread(target=shutil.rmtree, args=(trash, True), daemon=True).start()


class EnvironmentCreator(QObject):
    """Makes a virtual environment with the engine's packages.

    Args:
        folder: The environment's folder; replaced if it is there.
        python: The interpreter that the folder will have.
        requirements: Pinned requirement file; by default the shipped one.
        packages: Distributions that must be there at the end.
        modules: Modules that must be importable at the end.

    Signals:
        progress: Stage for people, steps done, steps in all (0: not known).
        line: A line of the programs' output.
        finished: Whether it went well, message and hint.
    """

    progress = pyqtSignal(str, int, int)
    line = pyqtSignal(str)
    finished = pyqtSignal(bool, str, str)

    def __init__(
        self,
        folder: Path,
        python: Path,
        *,
        requirements: Optional[Path] = None,
        packages: Sequence[str] = REQUIRED_PACKAGES,
        modules: Sequence[str] = IMPORTED_MODULES,
        parent: Optional[QObject] = None,
    ) -> None:
        super().__init__(parent)
        self._folder = folder
        self._python = python
        self._requirements = requirements or resource("engine_requirements.txt")
        self._packages = tuple(packages)
        self._modules = tuple(modules)
        self._command: Optional[Command] = None
        self._running = False
        self._cancelled = False
        self._made_folder = False
        self._collected = 0

    def running(self) -> bool:
        """Return whether an environment is being made."""
        return self._running

    def start(self) -> None:
        """Start making the environment; ``finished`` tells the end."""
        if self._running:
            return
        self._running, self._cancelled, self._collected = True, False, 0
        self._made_folder = False
        self.progress.emit(tr("Looking for a Python"), 0, 0)
        QTimer.singleShot(0, self._begin)

    def cancel(self) -> None:
        """Stop; ``finished`` follows within a moment and nothing is left behind."""
        if not self._running or self._cancelled:
            return
        self._cancelled = True
        if self._command is not None:
            self._command.kill()

    def close(self) -> None:
        """Stop and wait for the child process; for unloading the plugin."""
        for command in self.findChildren(Command):
            command.abandon()
        if self._running:
            self._fail(tr("Cancelled."), "")

    def _begin(self) -> None:
        if not self._requirements.is_file():
            self._fail(
                tr("{path} is missing").format(path=self._requirements),
                tr("Install the plugin again."),
            )
            return
        try:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            free_bytes = shutil.disk_usage(self._folder.parent).free
        except OSError as error:
            self._fail(str(error), tr("Check the permissions of your QGIS profile folder."))
            return
        if free_bytes < FREE_BYTES and self._packages == REQUIRED_PACKAGES:
            self._fail(
                tr("{gb:.1f} GB are free in {folder}, {need} GB are needed").format(
                    gb=free_bytes / 1e9, folder=self._folder.parent, need=FREE_BYTES >> 30
                ),
                tr("Free some space, or use an interpreter elsewhere."),
            )
            return
        self._try_base(base_pythons())

    def _run(
        self,
        program: str,
        arguments: Sequence[str],
        then: Callable[[int, str], None],
        *,
        timeout_ms: int = STEP_TIMEOUT_MS,
        variables: Optional[Dict[str, str]] = None,
        folder: str = "",
    ) -> None:
        """Run one step; ``then`` is not called if the user cancelled."""

        def ended(code: int, text: str) -> None:
            if self._command is not None:
                self._command.deleteLater()
            self._command = None
            if self._cancelled:
                self._fail(tr("Cancelled."), "")
            else:
                then(code, text)

        if self._cancelled:
            self._fail(tr("Cancelled."), "")
            return
        self._command = Command(ended, self)
        self._command.start(
            program,
            arguments,
            timeout_ms=timeout_ms,
            on_line=self._heard,
            variables=variables,
            folder=folder,
        )

    def _try_base(self, candidates: List[str]) -> None:
        if not candidates:
            self._fail(
                tr("There is no Python 3.10 or newer with venv and ensurepip."),
                tr(
                    "Install one (Debian, Ubuntu: python3-venv; Windows, macOS: python.org), "
                    "or choose an interpreter that has the packages."
                ),
            )
            return
        base, rest = candidates[0], candidates[1:]

        def then(code: int, text: str) -> None:
            if code == 0:
                self._make(base)
            else:
                self._try_base(rest)

        self._run(base, ["-c", BASE_CODE], then)

    def _make(self, base: str) -> None:
        self.line.emit(tr("Using {python}").format(python=base))
        self.progress.emit(tr("Making the environment"), 0, 0)
        remove_folder(self._folder)
        self._made_folder = True
        self._run(base, ["-m", "venv", str(self._folder)], self._made)

    def _made(self, code: int, text: str) -> None:
        if code != 0:
            self._fail_step(tr("The environment cannot be made"), text)
            return
        self.progress.emit(tr("Downloading packages"), 0, 0)
        arguments = ["-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
        arguments += ["--progress-bar", "off", *settings.pip_arguments()]
        self._run(
            str(self._python),
            [*arguments, "-r", str(self._requirements)],
            self._installed,
            timeout_ms=0,
            variables=proxy_variables(),
        )

    def _heard(self, line: str) -> None:
        self.line.emit(line)
        news = _PIP_NEWS.match(line)
        if news is None:
            return
        if news.group(1) == "Installing collected":
            self.progress.emit(tr("Installing packages"), 0, 0)
        else:
            self._collected += news.group(1) == "Collecting"
            stage = tr("Downloading packages ({n}): {name}")
            self.progress.emit(stage.format(n=self._collected, name=news.group(2)), 0, 0)

    def _installed(self, code: int, text: str) -> None:
        if code != 0:
            self._fail_step(tr("The packages cannot be installed"), text)
            return
        self.progress.emit(tr("Checking the environment"), 0, 0)
        self._run(
            str(self._python),
            ["-c", IMPORT_CODE, *self._modules],
            self._imported,
            timeout_ms=5 * STEP_TIMEOUT_MS,
        )

    def _imported(self, code: int, text: str) -> None:
        if code != 0:
            self._fail_step(tr("The packages are installed but do not load"), text)
            return
        if "numba" in self._modules:
            self.progress.emit(tr("Compiling for the first run"), 0, 0)
            self._run(
                str(self._python),
                WARM_ARGUMENTS,
                self._warmed,
                timeout_ms=5 * STEP_TIMEOUT_MS,
                folder=str(engine_root()),
            )
        else:
            self._probe()

    def _warmed(self, code: int, text: str) -> None:
        if code != 0:
            log(tr("The kernels are not compiled yet: {text}").format(text=text), warning=True)
        self._probe()

    def _probe(self) -> None:
        probe(str(self._python), "managed", self._judged, parent=self, packages=self._packages)

    def _judged(self, status: EnvironmentStatus) -> None:
        if self._cancelled:
            self._fail(tr("Cancelled."), "")
        elif status.ok:
            self._running = False
            self.finished.emit(True, status.message, "")
        else:
            self._fail(status.message, status.hint)

    def _fail_step(self, what: str, text: str) -> None:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith(("ERROR", "error"))] or lines
        reason = errors[-1] if errors else tr("no answer")
        self._fail(
            f"{what}: {reason}",
            tr("Check the network and the proxy in the QGIS options, then try again."),
        )

    def _fail(self, message: str, hint: str) -> None:
        self._running = False
        if self._made_folder:
            remove_folder(self._folder)
        self.finished.emit(False, message, hint)
