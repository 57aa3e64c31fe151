"""Base of all algorithms: a job goes to the engine, its events to the feedback."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Tuple

from qgis.core import QgsProcessingAlgorithm, QgsProcessingException, QgsProcessingFeedback

from ..engine_api import EngineError, Failure, Result
from ..messages import log, no_engine, tr, with_hint
from ..worker.client import EngineClient
from ..worker.environment import EngineEnvironment
from .listener import FeedbackListener, Span, stage_texts


class EngineAlgorithm(QgsProcessingAlgorithm):
    """An algorithm whose work is done by the engine.

    Args:
        client: Runs jobs.
        environment: Knows the engine's interpreter.
    """

    def __init__(self, client: EngineClient, environment: EngineEnvironment) -> None:
        super().__init__()
        self._client = client
        self._environment = environment

    def createInstance(self) -> QgsProcessingAlgorithm:
        """Return a new object of the same kind."""
        return type(self)(self._client, self._environment)

    def canExecute(self) -> Tuple[bool, str]:
        """Return whether there is an engine, else how to get one."""
        status = self._environment.status()
        return status.ok, "" if status.ok else with_hint(status.message, status.hint)

    def run_engine(
        self,
        job: str,
        fields: Dict[str, Any],
        feedback: QgsProcessingFeedback,
        spans: Mapping[str, Span],
    ) -> Result:
        """Run a job; returns its result, an empty one if the user cancelled.

        Raises:
            QgsProcessingException: With the message and the hint of a failure.
        """
        python = self._environment.python()
        if not python:
            raise QgsProcessingException(no_engine())
        listener = FeedbackListener(feedback, spans, stage_texts())
        final = self._client.run(python, job, fields, listener, feedback.isCanceled)
        listener(final)
        if isinstance(final, Result):
            return final
        if isinstance(final, Failure):
            if final.details:
                log(f"{final.message}\n{final.details}", warning=True)
                feedback.pushDebugInfo(final.details)
            raise QgsProcessingException(with_hint(final.message, final.hint))
        if not feedback.isCanceled():
            raise QgsProcessingException(tr("The engine was stopped."))
        return Result({})


def processing_error(error: EngineError) -> QgsProcessingException:
    """Return an engine error of a light module as Processing's exception."""
    return QgsProcessingException(with_hint(error.message, error.hint))
