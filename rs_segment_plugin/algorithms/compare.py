"""``rssegment:compare``: a layer of found polygons against a true one."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterDefinition,
)

from ..engine_api import CompareJob, EngineError
from ..layers.label_source import LabelSource
from ..messages import tr
from .base import TRAINING, About, EngineAlgorithm, processing_error
from .evaluate import measure_outputs, measured
from .inputs import field_problem, label_fields, take_labels
from .parameters import (
    AOI,
    CLASS_FIELD,
    DOUBLE,
    FIGURES,
    OUTPUT,
    Parameter,
    field_of,
    number,
    polygons,
    with_help,
)

ALGORITHM_ID = "rssegment:compare"
PREDICTED = "PREDICTED"
TRUTH = "TRUTH"
TRUTH_CLASS_FIELD = "TRUTH_CLASS_FIELD"
SCORE_FIELD = "SCORE_FIELD"
MIN_IOU = "MIN_IOU"
SPANS = {"compare": (0.0, 100.0)}
# Output -> dotted name in the metrics.
NUMBERS = {
    "IOU": "ground.iou",
    "MIOU": "ground.miou",
    "PRECISION": "objects.precision",
    "RECALL": "objects.recall",
    "F1": "objects.f1",
    "MASK_AP": "mask.AP",
    "MASK_AP50": "mask.AP50",
}
FIELDS = {
    CLASS_FIELD: ("class_field", "text"),
    TRUTH_CLASS_FIELD: ("truth_class_field", "text"),
    SCORE_FIELD: ("score_field", "text"),
    MIN_IOU: ("min_iou", "float"),
}


class CompareAlgorithm(EngineAlgorithm):
    """Compares two polygon layers object by object and by area."""

    _predicted: Optional[LabelSource]
    _truth: Optional[LabelSource]
    _aoi: Optional[LabelSource]

    def about(self) -> About:
        """Return the texts of the algorithm."""
        return About(
            name="compare",
            title=tr("Compare polygons with the truth"),
            group=TRAINING,
            summary=tr("Compares found polygons with true ones."),
            help=tr(
                "Compares a layer of found polygons with a layer of true ones: common area (IoU), "
                "found, missed and false objects, and average precision where the polygons have "
                "a score. Areas are true areas on the ground, in any coordinate system.\n\n"
                "Give the area in which the truth is complete; outside of it nothing is compared."
            ),
            tags=("evaluation", "accuracy", "IoU", "precision", "recall", "validation"),
        )

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        """Declare parameters and outputs."""
        for definition in compare_parameters():
            self.addParameter(definition)
        for name, key in NUMBERS.items():
            self.addOutput(QgsProcessingOutputNumber(name, key))

    def problem(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> str:
        """Return what is wrong with the values and what to do."""
        try:
            fields = {**self._fields(parameters, context), "predicted": "p", "truth": "t"}
            CompareJob.from_dict(fields)
        except EngineError as error:
            return str(processing_error(error))
        except QgsProcessingException as error:
            return str(error)
        return field_problem(self, parameters, PREDICTED, CLASS_FIELD, context) or field_problem(
            self, parameters, TRUTH, TRUTH_CLASS_FIELD, context
        )

    def _fields(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> Dict[str, Any]:
        return {
            **self.fields_of(FIELDS, parameters, context),
            "output": self.destination(parameters, OUTPUT, context),
            "figures": self.destination(parameters, FIGURES, context),
            "overwrite": True,
        }

    def prepareAlgorithm(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> bool:
        """Take what is needed from the layers, in the layers' thread."""
        fields = [
            self.parameterAsString(parameters, name, context)
            for name in (CLASS_FIELD, TRUTH_CLASS_FIELD)
        ]
        self._predicted = take_labels(self, parameters, PREDICTED, context, fields[0])
        self._truth = take_labels(self, parameters, TRUTH, context, fields[1])
        self._aoi = take_labels(self, parameters, AOI, context)
        return True

    def processAlgorithm(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        """Build the job and run it on the engine."""
        fields = self._fields(parameters, context)
        predicted = label_fields(self._predicted, "predicted", "predicted_layer", context, feedback)
        truth = label_fields(self._truth, "truth", "truth_layer", context, feedback)
        area = label_fields(self._aoi, "aoi", "aoi_layer", context, feedback)
        if feedback.isCanceled():
            return {}
        try:
            job = CompareJob.from_dict({**fields, **predicted, **truth, **area})
        except EngineError as error:
            raise processing_error(error) from None
        result = self.run_engine("compare", job.to_dict(), feedback, SPANS)
        if not result.outputs:
            return {}
        feedback.setProgress(100)
        return measured(self, parameters, context, job.output, job.figures, NUMBERS)


def compare_parameters() -> List[QgsProcessingParameterDefinition]:
    """Return all parameters in the order of the dialog, with their help."""
    basic: List[Parameter] = [
        (polygons(PREDICTED, tr("Found polygons"), optional=False), tr("Result of a run.")),
        (
            polygons(TRUTH, tr("True polygons"), optional=False),
            tr("What should have been found, any CRS."),
        ),
        (
            field_of(PREDICTED, CLASS_FIELD, tr("Class field of the found polygons")),
            tr("Empty: class_name where there is one, else one class for all."),
        ),
        (
            field_of(TRUTH, TRUTH_CLASS_FIELD, tr("Class field of the true polygons")),
            tr("Empty: one class for all."),
        ),
        (polygons(AOI, tr("Labelled area")), tr("Only ground inside is compared.")),
        *measure_outputs(),
    ]
    expert: List[Parameter] = [
        (
            field_of(PREDICTED, SCORE_FIELD, tr("Score field")),
            tr("Field with the score of the found polygons, for average precision."),
        ),
        (
            number(MIN_IOU, tr("Same object from IoU"), DOUBLE, 0.0, 1.0, 0.5),
            tr("Common area, as a share of the united one, that makes two polygons a pair."),
        ),
    ]
    return with_help(basic, expert)
