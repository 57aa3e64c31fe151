"""Looks at a Python interpreter in a child process: its version, and what is missing in it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

from qgis.PyQt.QtCore import QObject, QProcess, QTimer

from ..engine_api import REQUIRED_PACKAGES
from ..messages import tr
from .child_environment import child_environment

MINIMUM_PYTHON = (3, 10)
PROBE_TIMEOUT_MS = 30_000

_VERSIONS_CODE = """
import importlib.metadata as m, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = m.version(name)
    except m.PackageNotFoundError:
        found[name] = ""
print(json.dumps({"python": list(sys.version_info[:3]), "versions": found}))
"""


@dataclass(frozen=True)
class EnvironmentStatus:
    """What is known of an interpreter for the engine.

    Attributes:
        ok: Whether it can be used, as far as is known.
        python: Path of the interpreter, empty if there is none.
        origin: ``setting``, ``variable``, ``checkout``, ``managed`` or empty.
        message: One sentence for people.
        hint: What to do, empty if all is well.
        versions: Version of Python and of each needed package, after a check.
    """

    ok: bool
    python: str
    origin: str = ""
    message: str = ""
    hint: str = ""
    versions: Dict[str, str] = field(default_factory=dict)


class Command(QObject):
    """Runs one program to its end without blocking; ``done`` gets exit code and all output."""

    def __init__(self, done: Callable[[int, str], None], parent: Optional[QObject] = None) -> None:
        super().__init__(parent)
        self._done: Optional[Callable[[int, str], None]] = done
        self._text = ""
        self._process = QProcess(self)
        self._process.setProcessEnvironment(child_environment())
        self._process.setWorkingDirectory(str(Path.home()))
        self._process.setProcessChannelMode(QProcess.ProcessChannelMode.MergedChannels)
        self._process.readyReadStandardOutput.connect(self._read)
        self._process.finished.connect(self._finished)
        self._process.errorOccurred.connect(self._error)
        self._on_line: Optional[Callable[[str], None]] = None
        self._pending = ""
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.kill)

    def start(
        self,
        program: str,
        arguments: Sequence[str],
        *,
        timeout_ms: int = 0,
        on_line: Optional[Callable[[str], None]] = None,
        variables: Optional[Dict[str, str]] = None,
        folder: str = "",
    ) -> None:
        """Start the program, in a folder; it is killed after ``timeout_ms`` (0: never)."""
        self._on_line = on_line
        if folder:
            self._process.setWorkingDirectory(folder)
        if variables:
            self._process.setProcessEnvironment(child_environment(variables))
        if timeout_ms:
            self._timer.start(timeout_ms)
        self._process.start(program, list(arguments))

    def kill(self) -> None:
        """End the program now."""
        self._process.kill()

    def abandon(self, limit_ms: int = 2_000) -> None:
        """End the program, wait for that and tell nobody; for shutting down."""
        self._done = None
        if self._process.state() != QProcess.ProcessState.NotRunning:
            self._process.kill()
            self._process.waitForFinished(limit_ms)

    def _read(self) -> None:
        text = bytes(self._process.readAllStandardOutput()).decode("utf-8", "replace")
        self._text += text
        lines = (self._pending + text).split("\n")
        self._pending = lines.pop()
        for line in lines:
            if self._on_line is not None and line.strip():
                self._on_line(line.rstrip())

    def _error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._end(-1, self._process.errorString())

    def _finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._read()
        self._end(code if status == QProcess.ExitStatus.NormalExit else -1, self._text)

    def _end(self, code: int, text: str) -> None:
        self._timer.stop()
        done, self._done = self._done, None
        if done is not None:
            done(code, text)


def probe(
    python: str,
    origin: str,
    done: Callable[[EnvironmentStatus], None],
    *,
    parent: QObject,
    packages: Sequence[str] = REQUIRED_PACKAGES,
) -> Command:
    """Look at an interpreter; ``done`` is called once, later, with what was found."""

    def ended(code: int, text: str) -> None:
        command.deleteLater()
        done(judge(python, origin, code, text))

    command = Command(ended, parent)
    command.start(python, ["-c", _VERSIONS_CODE, *packages], timeout_ms=PROBE_TIMEOUT_MS)
    return command


def judge(python: str, origin: str, code: int, text: str) -> EnvironmentStatus:
    """Return the status that follows from the probe's exit code and output."""
    record = _last_json(text) if code == 0 else None
    if record is None:
        reason = (text.strip().splitlines() or [tr("no answer")])[-1]
        message = tr("{python} is not a usable Python: {reason}").format(
            python=python, reason=reason
        )
        return EnvironmentStatus(
            False, python, origin, message, tr("Choose another interpreter, or create one.")
        )
    version, versions = record
    shown = ".".join(str(part) for part in version)
    known = {"python": shown, **versions}
    if version[:2] < MINIMUM_PYTHON:
        message = tr("{python} is Python {version}").format(python=python, version=shown)
        hint = tr("The engine needs Python 3.10 or newer.")
        return EnvironmentStatus(False, python, origin, message, hint, known)
    missing = [name for name, found in versions.items() if not found]
    if missing:
        message = tr("{python} has no {packages}").format(
            python=python, packages=", ".join(missing)
        )
        hint = tr("Install the packages there, choose another interpreter, or create one.")
        return EnvironmentStatus(False, python, origin, message, hint, known)
    message = tr("Python {version}, torch {torch}").format(
        version=shown, torch=versions.get("torch", "?")
    )
    return EnvironmentStatus(True, python, origin, message, "", known)


def _last_json(text: str) -> Optional[Tuple[Tuple[int, ...], Dict[str, str]]]:
    for line in reversed(text.splitlines()):
        try:
            record: Any = json.loads(line)
            return tuple(record["python"]), dict(record["versions"])
        except (ValueError, KeyError, TypeError):
            continue
    return None
