"""Base of all algorithms: texts, values of parameters as job fields, the run on the engine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Tuple, Type, TypeVar

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingUtils,
)

from .. import engine_api
from ..engine_api import EngineError
from ..messages import log, no_engine, tr, with_hint
from ..worker.client import EngineClient
from ..worker.environment import EngineEnvironment
from .listener import FeedbackListener, Span, stage_texts

if TYPE_CHECKING:
    JobType = TypeVar("JobType", bound=engine_api.Job)

SEGMENTATION, TRAINING = "segmentation", "training"
FieldTable = Mapping[str, Tuple[str, str]]


@dataclass(frozen=True)
class About:
    """What the toolbox shows of an algorithm.

    Attributes:
        name: Id inside the provider.
        title: Name for people.
        group: ``segmentation`` or ``training``.
        summary: One sentence.
        help: Text beside the dialog.
        tags: Words by which the toolbox finds it.
    """

    name: str
    title: str
    group: str
    summary: str
    help: str
    tags: Tuple[str, ...] = ()


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

    def about(self) -> About:
        """Return the texts of the algorithm in the user's language."""
        raise NotImplementedError

    def createInstance(self) -> QgsProcessingAlgorithm:
        """Return a new object of the same kind."""
        return type(self)(self._client, self._environment)

    def name(self) -> str:
        """Return the id inside the provider."""
        return self.about().name

    def displayName(self) -> str:
        """Return the name for people."""
        return self.about().title

    def group(self) -> str:
        """Return the group for people."""
        names = {SEGMENTATION: tr("Segmentation"), TRAINING: tr("Training and measuring")}
        return names[self.about().group]

    def groupId(self) -> str:
        """Return the group's id."""
        return self.about().group

    def tags(self) -> List[str]:
        """Return words by which the toolbox finds the algorithm."""
        return list(self.about().tags)

    def shortDescription(self) -> str:
        """Return one sentence for tooltips."""
        return self.about().summary

    def shortHelpString(self) -> str:
        """Return the help beside the dialog."""
        return self.about().help

    def canExecute(self) -> Tuple[bool, str]:
        """Return whether there is an engine, else how to get one."""
        status = self._environment.status()
        return status.ok, "" if status.ok else with_hint(status.message, status.hint)

    def checkParameterValues(
        self, parameters: Dict[str, Any], context: QgsProcessingContext
    ) -> Tuple[bool, str]:
        """Return whether the values can work, else what is wrong and what to do."""
        ok, message = super().checkParameterValues(parameters, context)
        if not ok:
            return ok, message
        problem = self.problem(parameters, context)
        return not problem, problem

    def problem(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> str:
        """Return what is wrong with the values and what to do; an empty text if nothing is."""
        return ""

    def fields_of(
        self, table: FieldTable, parameters: Dict[str, Any], context: QgsProcessingContext
    ) -> Dict[str, Any]:
        """Return the job fields of the parameters that have a value.

        Args:
            table: For each parameter the job field and its kind: ``text``, ``int``,
                ``float``, ``bool``, ``choice``, ``words``, ``options`` or ``numbers``.
            parameters: Values of the parameters.
            context: Of the run.
        """
        fields: Dict[str, Any] = {}
        for name, (field, kind) in table.items():
            value = parameters.get(name)
            definition = self.parameterDefinition(name)
            if value is None and definition is not None:
                value = definition.defaultValue()
            if value not in (None, ""):
                fields[field] = self._value(name, kind, parameters, context)
        return fields

    def _value(
        self, name: str, kind: str, parameters: Dict[str, Any], context: QgsProcessingContext
    ) -> Any:
        if kind == "int":
            return self.parameterAsInt(parameters, name, context)
        if kind == "float":
            return self.parameterAsDouble(parameters, name, context)
        if kind == "bool":
            return self.parameterAsBool(parameters, name, context)
        if kind == "choice":
            return self.parameterAsEnumString(parameters, name, context)
        text = str(self.parameterAsString(parameters, name, context)).strip()
        if kind == "words":
            return words(text)
        if kind == "options":
            return words(text, ";")
        return numbers(text) if kind == "numbers" else text

    def destination(
        self, parameters: Dict[str, Any], name: str, context: QgsProcessingContext
    ) -> str:
        """Return the file or folder of an output, an empty text where none is wanted."""
        if parameters.get(name) in (None, ""):
            return ""
        return plain_path(str(self.parameterAsOutputLayer(parameters, name, context)))

    def run_engine(
        self,
        job: str,
        fields: Dict[str, Any],
        feedback: QgsProcessingFeedback,
        spans: Mapping[str, Span],
        *,
        save_s: float = 0.0,
    ) -> engine_api.Result:
        """Run a job to 100 percent; returns its result, an empty one if the user cancelled.

        Args:
            job: Name of the job.
            fields: Its fields as plain JSON values.
            feedback: Gets progress and lines, is asked for cancel.
            spans: For each stage the percent at its start and at its end.
            save_s: How long a cancelled job may go on in the background to save its state.

        Raises:
            QgsProcessingException: With the message and the hint of a failure.
        """
        python = self._environment.python()
        if not python:
            raise QgsProcessingException(no_engine())
        listener = FeedbackListener(feedback, spans, stage_texts())
        final = self._client.run(python, job, fields, listener, feedback.isCanceled, save_s=save_s)
        listener(final)
        if isinstance(final, engine_api.Result):
            feedback.setProgress(100)
            return final
        if isinstance(final, engine_api.Failure):
            if final.details:
                log(f"{final.message}\n{final.details}", warning=True)
                feedback.pushDebugInfo(final.details)
            raise QgsProcessingException(with_hint(final.message, final.hint))
        if not feedback.isCanceled():
            raise QgsProcessingException(tr("The engine was stopped."))
        return engine_api.Result({})


def checked_job(kind: Type[JobType], fields: Mapping[str, Any]) -> JobType:
    """Return the job of these fields.

    Raises:
        QgsProcessingException: With the engine's message and hint, if a value does not fit.
    """
    try:
        return kind.from_dict(fields)
    except EngineError as error:
        raise processing_error(error) from None


def processing_error(error: EngineError) -> QgsProcessingException:
    """Return an engine error of a light module as Processing's exception."""
    return QgsProcessingException(with_hint(error.message, error.hint))


def words(text: str, separator: str = "") -> List[str]:
    """Return the words of a text, separated by semicolons, or by commas if it has none."""
    separator = separator or (";" if ";" in text else ",")
    return [word.strip() for word in text.split(separator) if word.strip()]


def numbers(text: str) -> List[float]:
    """Return the numbers of a text such as ``70,15,15``; whole ones as ``int``.

    Raises:
        QgsProcessingException: If a part of the text is not a number.
    """
    found: List[float] = []
    for word in re.split(r"[;,\s]+", text.strip()):
        try:
            value = float(word)
        except ValueError:
            message = tr("'{word}' in '{text}' is not a number.").format(word=word, text=text)
            raise QgsProcessingException(message) from None
        found.append(int(value) if value.is_integer() else value)
    return found


def plain_path(destination: str) -> str:
    """Return the absolute file of a destination without a layer name."""
    return str(Path(destination.split("|", 1)[0]).absolute())


def temporary_path(name: str) -> str:
    """Return a path for a file of this run, in Processing's own temporary folder."""
    return str(QgsProcessingUtils.generateTempFilename(name))
