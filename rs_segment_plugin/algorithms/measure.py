"""What the algorithms that measure have in common: layers, the job, numbers, report, pictures."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, List, Mapping, Optional, Tuple, Type

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFolderDestination,
)

from .. import engine_api
from ..engine_api import EngineError
from ..layers.label_source import LabelSource
from ..messages import tr
from .base import EngineAlgorithm, FieldTable, processing_error
from .inputs import field_problem, label_fields, take_labels
from .listener import Span
from .metrics_report import read_metrics, scalars, write_report
from .parameters import FIGURES, OUTPUT, REPORT, Parameter, file_destination

LayerTable = Mapping[str, Tuple[str, str, str]]
NumberTable = Mapping[str, str]


class MeasureAlgorithm(EngineAlgorithm):
    """An algorithm whose result is a ``metrics.json``.

    Attributes:
        FIELDS: Parameters that become fields of the job.
        LAYERS: For each parameter with polygons the fields of its file and of its layer, and the
            parameter with the field of its classes, empty for none.
        NUMBERS: Outputs of the algorithm, and where they stand in the metrics.
    """

    FIELDS: ClassVar[FieldTable]
    LAYERS: ClassVar[LayerTable]
    NUMBERS: ClassVar[NumberTable]
    _labels: Dict[str, Optional[LabelSource]]

    def job_type(self) -> Type[engine_api.Job]:
        """Return the class of the job; the name of the algorithm is that of the job."""
        raise NotImplementedError

    def definitions(self) -> List[QgsProcessingParameterDefinition]:
        """Return all parameters in the order of the dialog, with their help."""
        raise NotImplementedError

    def own_fields(
        self, parameters: Dict[str, Any], context: QgsProcessingContext
    ) -> Dict[str, Any]:
        """Return the fields of the job that need no layer.

        Raises:
            EngineError: If a value does not fit.
        """
        return {
            **self.fields_of(self.FIELDS, parameters, context),
            "output": self.destination(parameters, OUTPUT, context),
            "figures": self.destination(parameters, FIGURES, context),
            "overwrite": True,
        }

    def raster_fields(
        self, model: str, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> Dict[str, Any]:
        """Return the fields for a raster, none where the algorithm takes none."""
        return {}

    def spans(self) -> Mapping[str, Span]:
        """Return the percents at which each stage of the run begins and ends."""
        raise NotImplementedError

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        """Declare parameters and outputs."""
        for definition in self.definitions():
            self.addParameter(definition)
        for name, key in self.NUMBERS.items():
            self.addOutput(QgsProcessingOutputNumber(name, key))

    def problem(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> str:
        """Return what is wrong with the values and what to do."""
        given = {fields[0]: name for name, fields in self.LAYERS.items() if parameters.get(name)}
        try:
            self.job_type().from_dict({**self.own_fields(parameters, context), **given})
        except EngineError as error:
            return str(processing_error(error))
        except QgsProcessingException as error:
            return str(error)
        problems = (
            field_problem(self, parameters, name, class_field, context)
            for name, (_, _, class_field) in self.LAYERS.items()
            if class_field
        )
        return next((text for text in problems if text), "")

    def prepareAlgorithm(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> bool:
        """Take what is needed from the layers, in the layers' thread."""
        self._labels = {}
        for name, (_, _, class_field) in self.LAYERS.items():
            field = self.parameterAsString(parameters, class_field, context) if class_field else ""
            self._labels[name] = take_labels(self, parameters, name, context, field)
        return True

    def processAlgorithm(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        """Build the job, run it on the engine, and read its numbers."""
        try:
            fields = self.own_fields(parameters, context)
            for name, (file_field, layer_field, _) in self.LAYERS.items():
                source = self._labels[name]
                fields.update(label_fields(source, file_field, layer_field, context, feedback))
            fields.update(self.raster_fields(str(fields.get("model", "")), context, feedback))
            if feedback.isCanceled():
                return {}
            job = self.job_type().from_dict(fields)
        except EngineError as error:
            raise processing_error(error) from None
        result = self.run_engine(self.name(), job.to_dict(), feedback, self.spans())
        if not result.outputs:
            return {}
        return self._measured(parameters, context, fields["output"], fields["figures"])

    def _measured(
        self, parameters: Dict[str, Any], context: QgsProcessingContext, metrics: str, figures: str
    ) -> Dict[str, Any]:
        """Return the outputs; writes the page if one is wanted.

        Raises:
            QgsProcessingException: If the numbers cannot be read, or the page not be written.
        """
        record = read_metrics(metrics)
        found = dict(scalars(record))
        results: Dict[str, Any] = {OUTPUT: metrics}
        report = self.destination(parameters, REPORT, context)
        if report:
            write_report(report, self.displayName(), record, figures)
            results[REPORT] = report
        if figures:
            results[FIGURES] = figures
        results.update({name: found[key] for name, key in self.NUMBERS.items() if key in found})
        return results


def measure_outputs() -> List[Parameter]:
    """Return the outputs of a measurement: numbers, page, pictures."""
    figures = QgsProcessingParameterFolderDestination(
        FIGURES, tr("Pictures"), optional=True, createByDefault=False
    )
    return [
        (
            file_destination(OUTPUT, tr("Metrics"), "json"),
            tr("All numbers as JSON."),
        ),
        (
            file_destination(REPORT, tr("Report"), "html", optional=True),
            tr("The numbers as a page to read."),
        ),
        (figures, tr("Folder for confusion matrix and curves.")),
    ]
