"""``rssegment:compare``: a layer of found polygons against a true one."""

from __future__ import annotations

from typing import ClassVar, List, Mapping, Type

from qgis.core import QgsProcessingParameterDefinition

from .. import engine_api
from ..messages import tr
from .base import TRAINING, About, FieldTable
from .listener import Span
from .measure import LayerTable, MeasureAlgorithm, NumberTable, measure_outputs
from .parameters import (
    AOI,
    CLASS_FIELD,
    DOUBLE,
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


class CompareAlgorithm(MeasureAlgorithm):
    """Compares two polygon layers object by object and by area."""

    FIELDS: ClassVar[FieldTable] = {
        CLASS_FIELD: ("class_field", "text"),
        TRUTH_CLASS_FIELD: ("truth_class_field", "text"),
        SCORE_FIELD: ("score_field", "text"),
        MIN_IOU: ("min_iou", "float"),
    }
    LAYERS: ClassVar[LayerTable] = {
        PREDICTED: ("predicted", "predicted_layer", CLASS_FIELD),
        TRUTH: ("truth", "truth_layer", TRUTH_CLASS_FIELD),
        AOI: ("aoi", "aoi_layer", ""),
    }
    NUMBERS: ClassVar[NumberTable] = {
        "IOU": "ground.iou",
        "MIOU": "ground.miou",
        "PRECISION": "objects.precision",
        "RECALL": "objects.recall",
        "F1": "objects.f1",
        "MASK_AP": "mask.AP",
        "MASK_AP50": "mask.AP50",
    }

    def job_type(self) -> Type[engine_api.Job]:
        """Return the class of the job."""
        return engine_api.CompareJob

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

    def definitions(self) -> List[QgsProcessingParameterDefinition]:
        """Return all parameters in the order of the dialog, with their help."""
        return compare_parameters()

    def spans(self) -> Mapping[str, Span]:
        """Return the percents at which each stage of the run begins and ends."""
        return SPANS


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
