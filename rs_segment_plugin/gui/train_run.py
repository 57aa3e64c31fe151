"""One training from the dock: chips, then steps; paused, continued, ended early and kept."""

from __future__ import annotations

from typing import Any, Dict, Optional

from qgis.PyQt.QtCore import QObject, pyqtSignal

from ..algorithms import train as ids
from ..algorithms.make_chips import ALGORITHM_ID as CHIPS_ID
from ..algorithms.parameters import CHIPS, OUTPUT, RESUME
from .algorithm_run import CANCELLED, DONE, AlgorithmRun, Outcome

IDLE, MAKING, TRAINING, PAUSING, PAUSED, KEEPING = (
    *("idle", "making", "training", "pausing", "paused", "keeping"),
)
ACTIVE = (MAKING, TRAINING, PAUSING, KEEPING)


class TrainRun(QObject):
    """Runs ``rssegment:makechips`` and then ``rssegment:train``.

    A pause is a cancel: the engine keeps a checkpoint, and resuming starts the same run again
    from it. Stop and keep cancels as well, and then lets the engine publish the best weights.

    Signals:
        stage: Stage, done, total and unit, as ``AlgorithmRun``.
        line: Level and text.
        metrics: The ``Metrics`` of the training.
        state_changed: One of the states of this module.
        finished: The ``Outcome``; emitted once per started training.
    """

    stage = pyqtSignal(str, int, int, str)
    line = pyqtSignal(str, str)
    metrics = pyqtSignal(object)
    state_changed = pyqtSignal(str)
    finished = pyqtSignal(object)

    def __init__(self, parent: Optional[QObject] = None) -> None:
        super().__init__(parent)
        self._chips = AlgorithmRun(CHIPS_ID, self)
        self._train = AlgorithmRun(ids.ALGORITHM_ID, self)
        self._chips_parameters: Dict[str, Any] = {}
        self._train_parameters: Dict[str, Any] = {}
        self._state = IDLE
        self._trained = False
        self._finishing = False
        for run in (self._chips, self._train):
            run.stage.connect(self.stage)
            run.line.connect(self.line)
        self._train.metrics.connect(self.metrics)
        self._chips.finished.connect(self._chips_ended)
        self._train.finished.connect(self._train_ended)

    def state(self) -> str:
        """Return the state."""
        return self._state

    def active(self) -> bool:
        """Return whether a training is under way or paused."""
        return self._state != IDLE

    def can_keep(self) -> bool:
        """Return whether there are weights that could be kept: a first step was made."""
        return self._trained and self._state in (TRAINING, PAUSED)

    def start(self, chips: Dict[str, Any], train: Dict[str, Any]) -> str:
        """Start; returns an empty text or why it cannot start.

        Args:
            chips: Parameters of ``rssegment:makechips``; empty if the chips are there.
            train: Parameters of ``rssegment:train``; ``CHIPS`` is filled in from the chips.
        """
        self._chips_parameters, self._train_parameters = chips, train
        self._trained, self._finishing = bool(train.get(RESUME)), False
        return self._start_chips() if chips else self._start_training()

    def pause(self) -> None:
        """Stop for now; ``PAUSED`` follows when the engine has let go."""
        if self._state in (MAKING, TRAINING):
            run = self._chips if self._state == MAKING else self._train
            self._set_state(PAUSING)
            run.cancel()

    def resume(self) -> None:
        """Go on after a pause; ``finished`` follows at once if that cannot be."""
        if self._state == PAUSED:
            chips = bool(self._chips_parameters)
            self._end_if(self._start_chips() if chips else self._start_training(resume=True))

    def keep(self) -> None:
        """End the training now and publish the best weights so far."""
        if not self.can_keep():
            return
        paused = self._state == PAUSED
        self._set_state(KEEPING)
        if paused:
            self._finish_early()
        else:
            self._train.cancel()

    def cancel(self) -> None:
        """Stop; ``finished`` follows. What was learnt stays in the work folder."""
        if self._state == PAUSED:
            self._end(Outcome(CANCELLED))
            return
        if self._state == PAUSING:
            # The run is being stopped already: its end is the end.
            self._set_state(TRAINING)
        self._chips.cancel()
        self._train.cancel()

    def close(self) -> None:
        """Cancel and wait for the end; for unloading the plugin."""
        self.blockSignals(True)
        self._chips.close()
        self._train.close()

    def _start_chips(self) -> str:
        refusal = self._chips.start(self._chips_parameters)
        self._set_state(IDLE if refusal else MAKING)
        return refusal

    def _start_training(self, *, resume: bool = False, finish: bool = False) -> str:
        parameters = dict(self._train_parameters)
        if resume:
            parameters[RESUME] = True
            parameters.pop(ids.OVERWRITE, None)
        if finish:
            parameters[ids.FINISH] = True
        refusal = self._train.start(parameters)
        if refusal:
            self._set_state(IDLE)
        elif not finish:
            self._set_state(TRAINING)
        return refusal

    def _chips_ended(self, outcome: Outcome) -> None:
        if self._state == PAUSING and outcome.kind == CANCELLED:
            self._set_state(PAUSED)
            return
        if outcome.kind != DONE:
            self._end(outcome)
            return
        pausing = self._state == PAUSING
        self._train_parameters[CHIPS] = outcome.outputs[OUTPUT]
        self._chips_parameters = {}
        if pausing:
            self._set_state(PAUSED)
            return
        self._end_if(self._start_training())

    def _train_ended(self, outcome: Outcome) -> None:
        if outcome.kind == CANCELLED and self._state == PAUSING:
            self._set_state(PAUSED)
        elif outcome.kind == CANCELLED and self._state == KEEPING and not self._finishing:
            self._finish_early()
        else:
            self._end(outcome)

    def _finish_early(self) -> None:
        self._finishing = True
        self._end_if(self._start_training(resume=True, finish=True))

    def note_step(self) -> None:
        """Note that the network has learnt something that could be kept."""
        if not self._trained:
            self._trained = True
            self.state_changed.emit(self._state)

    def _set_state(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self.state_changed.emit(state)

    def _end_if(self, refusal: str) -> None:
        if refusal:
            message, _, hint = refusal.partition("\n")
            self._end(Outcome("failed", message, hint))

    def _end(self, outcome: Outcome) -> None:
        self._set_state(IDLE)
        self.finished.emit(outcome)
