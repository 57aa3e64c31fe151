"""One run of an algorithm in the task manager, seen from the GUI thread."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

from qgis.core import (
    QgsApplication,
    QgsProcessingAlgorithm,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProject,
    QgsTask,
)
from qgis.PyQt.QtCore import QCoreApplication, QEventLoop, QObject, pyqtSignal

from ..engine_api import Cancelled, Failure, Log, Metrics, Progress, Result
from ..messages import tr

PROGRESS_EVERY_S = 0.1
ENDING_LIMIT_S = 4.0
# What a thread still uses although nobody waits for it any more.
_ABANDONED: List[Tuple[Any, ...]] = []
DONE, FAILED, CANCELLED = "done", "failed", "cancelled"


@dataclass(frozen=True)
class Outcome:
    """How a run ended: ``done``, ``failed`` or ``cancelled``; message and hint for people."""

    kind: str
    message: str = ""
    hint: str = ""
    details: str = ""
    outputs: Dict[str, Any] = field(default_factory=dict)
    result: Optional[Result] = None


class RunFeedback(QgsProcessingFeedback):
    """Turns what the algorithm says, in its thread, into signals for the GUI thread."""

    stage = pyqtSignal(str, int, int, str)
    line = pyqtSignal(str, str)
    metrics = pyqtSignal(object)
    final = pyqtSignal(object)

    def __init__(self) -> None:
        super().__init__(False)
        self._shown: Tuple[str, float] = ("", 0.0)

    def engine_event(self, event: object) -> None:
        """Take one event of the engine's protocol."""
        if isinstance(event, Progress):
            if self._worth_showing(event):
                self.stage.emit(event.stage, event.done, event.total, event.unit)
        elif isinstance(event, Metrics):
            self.metrics.emit(event)
        elif isinstance(event, (Result, Failure, Cancelled)):
            self.final.emit(event)
        elif isinstance(event, Log):
            self.line.emit(event.level, event.message)

    def _worth_showing(self, event: Progress) -> bool:
        """Return False for steps that follow each other faster than anyone can read."""
        stage, shown_s = self._shown
        now_s = time.monotonic()
        last = event.done >= event.total > 0
        if stage == event.stage and not last and now_s - shown_s < PROGRESS_EVERY_S:
            return False
        self._shown = (event.stage, now_s)
        return True

    def reportError(self, error: str, fatalError: bool = False) -> None:
        """Take an error text of Processing."""
        self.line.emit("error", error)

    def pushWarning(self, warning: str) -> None:
        """Take a warning of Processing."""
        self.line.emit("warning", warning)

    def pushInfo(self, info: str) -> None:
        """Take an information of Processing."""
        self.line.emit("info", info)

    def pushDebugInfo(self, info: str) -> None:
        """Take a debug line of Processing."""
        self.line.emit("debug", info)


def find_algorithm(algorithm_id: str) -> Optional[QgsProcessingAlgorithm]:
    """Return the registered algorithm, None when the provider is missing."""
    return QgsApplication.processingRegistry().algorithmById(algorithm_id)


def make_context() -> QgsProcessingContext:
    """Return a Processing context for the open project."""
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    return context


def command_text(algorithm_id: str, parameters: Dict[str, Any]) -> str:
    """Return the ``qgis_process`` line of a run, "" if this QGIS cannot write it (< 3.24)."""
    algorithm = find_algorithm(algorithm_id)
    if algorithm is None or not hasattr(algorithm, "asQgisProcessCommand"):
        return ""
    command, complete = algorithm.asQgisProcessCommand(parameters, make_context())
    return command if complete else ""


def note_in_history(algorithm: QgsProcessingAlgorithm, parameters: Dict[str, Any]) -> None:
    """Write the run into the Processing history, as the toolbox does (QGIS 3.24 and later)."""
    from qgis.gui import QgsGui

    if not hasattr(QgsGui, "historyProviderRegistry"):
        return
    registry = QgsGui.historyProviderRegistry()
    if registry.providerById("processing") is None:
        return
    context = make_context()
    entry = {
        "python_command": algorithm.asPythonCommand(parameters, context),
        "algorithm_id": algorithm.id(),
        "parameters": algorithm.asMap(parameters, context),
    }
    command = command_text(algorithm.id(), parameters)
    if command:
        entry["process_command"] = command
    registry.addEntry("processing", entry)


def _make_task(
    algorithm: QgsProcessingAlgorithm,
    parameters: Dict[str, Any],
    context: QgsProcessingContext,
    feedback: QgsProcessingFeedback,
) -> QgsProcessingAlgRunnerTask:
    """Return the task; without QGIS's own "Task complete", because the dock tells the result."""
    silent = getattr(QgsTask.Flag, "Silent", None)
    if silent is None:  # QGIS before 3.26
        return QgsProcessingAlgRunnerTask(algorithm, parameters, context, feedback)
    flags = QgsTask.Flag.CanCancel | silent
    return QgsProcessingAlgRunnerTask(algorithm, parameters, context, feedback, flags)


def _alive(task: QgsTask) -> bool:
    ended = (QgsTask.TaskStatus.Complete, QgsTask.TaskStatus.Terminated)
    return task.status() not in ended


class AlgorithmRun(QObject):
    """Starts, watches and cancels one run of an algorithm at a time.

    Args:
        algorithm_id: Which algorithm, for example ``rssegment:segment``.
        parent: Qt parent.

    Signals:
        stage: Stage, done, total (0 means unknown) and unit of the running stage.
        line: Level (``info``, ``warning``, ``error``, ``debug``) and text.
        metrics: The ``Metrics`` of a running training.
        finished: The ``Outcome``; emitted once per started run.
    """

    stage = pyqtSignal(str, int, int, str)
    line = pyqtSignal(str, str)
    metrics = pyqtSignal(object)
    finished = pyqtSignal(object)

    def __init__(self, algorithm_id: str, parent: Optional[QObject] = None) -> None:
        super().__init__(parent)
        self._algorithm_id = algorithm_id
        self._task: Optional[QgsProcessingAlgRunnerTask] = None
        self._kept: Tuple[Any, ...] = ()
        self._final: Optional[object] = None
        self._errors: List[str] = []
        self._cancelling = False

    def running(self) -> bool:
        """Return whether a run is under way."""
        return self._task is not None

    def start(self, parameters: Dict[str, Any]) -> str:
        """Start a run; return "" or why it cannot start."""
        if self.running():
            return tr("A run is already under way.")
        registered = find_algorithm(self._algorithm_id)
        if registered is None:
            return tr("The RS Segment tools are not registered. Restart QGIS.")
        algorithm = registered.create()
        context, feedback = make_context(), RunFeedback()
        sound, reason = algorithm.checkParameterValues(parameters, context)
        if not sound:
            return str(reason)
        can_run, reason = algorithm.canExecute()
        if not can_run:
            return str(reason)
        self._final, self._errors, self._cancelling = None, [], False
        feedback.stage.connect(self.stage)
        feedback.line.connect(self._take_line)
        feedback.metrics.connect(self.metrics)
        feedback.final.connect(self._take_final)
        note_in_history(registered, parameters)
        task = _make_task(algorithm, parameters, context, feedback)
        task.executed.connect(self._executed)
        # The task uses them until it ended, so this object keeps them alive.
        self._task, self._kept = task, (algorithm, context, feedback)
        QgsApplication.taskManager().addTask(task)
        return ""

    def cancel(self) -> None:
        """Ask the run to stop; ``finished`` follows."""
        if self._task is None or self._cancelling:
            return
        self._cancelling = True
        self._kept[2].cancel()
        if _alive(self._task):
            self._task.cancel()

    def close(self) -> None:
        """Cancel and wait for the end: the thread must not outlive what it works with."""
        if self._task is None:
            return
        self.blockSignals(True)
        self.cancel()
        end_s = time.monotonic() + ENDING_LIMIT_S
        # The end of a task reaches this thread as an event; sleeping lets the other one run.
        while self._task is not None and time.monotonic() < end_s:
            QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
            time.sleep(0.02)
        if self._task is not None:
            _ABANDONED.append((self._task, *self._kept))
            self._task.executed.disconnect(self._executed)
        self._task, self._kept = None, ()

    def _take_line(self, level: str, text: str) -> None:
        if level == "error":
            self._errors.append(text)
        self.line.emit(level, text)

    def _take_final(self, event: object) -> None:
        self._final = event

    def _executed(self, successful: bool, results: Dict[str, Any]) -> None:
        outcome = self._outcome(successful, results)
        # What the task used lives until everybody has heard of the end; they may start anew.
        kept, self._task, self._kept = self._kept, None, ()
        self.finished.emit(outcome)
        del kept

    def _outcome(self, successful: bool, results: Dict[str, Any]) -> Outcome:
        if self._cancelling and not isinstance(self._final, Failure):
            return Outcome(CANCELLED)
        if successful:
            result = self._final if isinstance(self._final, Result) else None
            return Outcome(DONE, outputs=dict(results), result=result)
        details = "\n".join(self._errors)
        if isinstance(self._final, Failure):
            failure = self._final
            return Outcome(FAILED, failure.message, failure.hint, failure.details or details)
        if isinstance(self._final, Cancelled):
            return Outcome(CANCELLED)
        lines = details.strip().splitlines() or [tr("The run ended without a result.")]
        return Outcome(FAILED, lines[0], "\n".join(lines[1:3]), details)
