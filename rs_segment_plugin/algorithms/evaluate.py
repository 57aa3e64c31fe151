"""``rssegment:evaluate``: how good a model is on chips, a data set, or a labelled raster."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterRasterLayer,
)

from ..engine_api import EngineError, EvaluateJob, find_model
from ..layers.label_source import LabelSource
from ..layers.raster_source import RasterSource
from ..messages import tr
from .base import TRAINING, About, EngineAlgorithm, processing_error
from .inputs import (
    EXPORT_SPAN,
    export_extent,
    field_problem,
    label_fields,
    raster_path,
    take_labels,
    take_raster,
)
from .metrics_report import read_metrics, scalars, write_report
from .parameters import (
    AOI,
    BANDS,
    BATCH,
    CHIPS,
    CLASS_FIELD,
    DATASET,
    DEVICE,
    DOUBLE,
    FIGURES,
    INTEGER,
    LABELS,
    MODEL,
    OUTPUT,
    RASTER,
    REPORT,
    ROOT,
    SCORE,
    SPLIT,
    Parameter,
    choice,
    dataset,
    device,
    field_of,
    file_destination,
    folder,
    model,
    number,
    polygons,
    string,
    with_help,
)

ALGORITHM_ID = "rssegment:evaluate"
SPLITS = ("test", "val", "train", "all")
BOUNDARY = "BOUNDARY"
SPANS = {"evaluate": (0.0, 100.0), "predict": (0.0, 90.0), "compare": (90.0, 100.0)}
SPANS_AFTER_EXPORT = {**SPANS, **EXPORT_SPAN, "predict": (30.0, 90.0)}
# Output -> dotted name in the metrics.
NUMBERS = {
    "MIOU": "miou",
    "PIXEL_ACCURACY": "pixel_accuracy",
    "MEAN_F1": "mean_f1",
    "BOUNDARY_F1": "boundary.mean_f1",
    "MASK_AP": "mask.AP",
    "MASK_AP50": "mask.AP50",
    "BOX_AP": "box.AP",
}
FIELDS = {
    CHIPS: ("chips", "text"),
    SPLIT: ("split", "choice"),
    DATASET: ("dataset", "text"),
    ROOT: ("root", "text"),
    CLASS_FIELD: ("class_field", "text"),
    BANDS: ("bands", "numbers"),
    BATCH: ("batch", "int"),
    DEVICE: ("device", "choice"),
    SCORE: ("score", "float"),
    BOUNDARY: ("boundary_px", "float"),
}


class EvaluateAlgorithm(EngineAlgorithm):
    """Measures a model against labels."""

    _raster: Optional[RasterSource]
    _labels: Optional[LabelSource]
    _aoi: Optional[LabelSource]

    def about(self) -> About:
        """Return the texts of the algorithm."""
        return About(
            name="evaluate",
            title=tr("Measure model"),
            group=TRAINING,
            summary=tr("Measures how good a model is on labelled data."),
            help=tr(
                "Runs a model on the test part of a chip folder, on a published data set, or on a "
                "raster with a layer of true polygons, and compares. Models of classes per pixel "
                "get IoU, F1 and accuracy, models of single objects average precision (AP) as "
                "COCO defines it.\n\n"
                "The numbers are written as JSON, and as a page to read."
            ),
            tags=("evaluation", "accuracy", "IoU", "AP", "confusion matrix", "metrics"),
        )

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        """Declare parameters and outputs."""
        for definition in evaluate_parameters():
            self.addParameter(definition)
        for name, key in NUMBERS.items():
            self.addOutput(QgsProcessingOutputNumber(name, key))

    def problem(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> str:
        """Return what is wrong with the values and what to do."""
        layers: Dict[str, Any] = {}
        if parameters.get(RASTER):
            layers = {"raster": "raster", "labels": "labels" if parameters.get(LABELS) else ""}
        try:
            EvaluateJob.from_dict({**self._fields(parameters, context), **layers})
        except EngineError as error:
            return str(processing_error(error))
        except QgsProcessingException as error:
            return str(error)
        return field_problem(self, parameters, LABELS, CLASS_FIELD, context)

    def _fields(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> Dict[str, Any]:
        """Return the fields of the job that need no layer.

        Raises:
            EngineError: If there is no such model.
        """
        entry = find_model(self.parameterAsString(parameters, MODEL, context))
        return {
            **self.fields_of(FIELDS, parameters, context),
            "model": str(entry.folder.absolute()),
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
        self._raster = None
        if parameters.get(RASTER):
            self._raster = take_raster(self, parameters, RASTER, context, feedback)
        field = self.parameterAsString(parameters, CLASS_FIELD, context)
        self._labels = take_labels(self, parameters, LABELS, context, field)
        self._aoi = take_labels(self, parameters, AOI, context)
        return True

    def processAlgorithm(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        """Build the job and run it on the engine."""
        try:
            fields = self._fields(parameters, context)
            fields.update(self._inputs(fields["model"], context, feedback))
            if feedback.isCanceled():
                return {}
            job = EvaluateJob.from_dict(fields)
        except EngineError as error:
            raise processing_error(error) from None
        exported = self._raster is not None and not self._raster.gdal
        spans = SPANS_AFTER_EXPORT if exported else SPANS
        result = self.run_engine("evaluate", job.to_dict(), feedback, spans)
        if not result.outputs:
            return {}
        feedback.setProgress(100)
        return measured(self, parameters, context, job.output, job.figures, NUMBERS)

    def _inputs(
        self, model_folder: str, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> Dict[str, Any]:
        """Return the fields for the layers; writes files where the engine cannot read them."""
        if self._raster is None:
            return {}
        fields: Dict[str, Any] = {}
        fields.update(label_fields(self._labels, "labels", "label_layer", context, feedback))
        fields.update(label_fields(self._aoi, "aoi", "aoi_layer", context, feedback))
        card = find_model(model_folder).card
        gsd_m = card.resolution_m.nominal if card is not None else 1.0
        extent = export_extent(self._raster, (self._aoi, self._labels), context)
        fields["raster"] = raster_path(self._raster, extent, gsd_m, context, feedback)
        return fields


def measured(
    algorithm: EngineAlgorithm,
    parameters: Dict[str, Any],
    context: QgsProcessingContext,
    metrics: str,
    figures: str,
    wanted: Dict[str, str],
) -> Dict[str, Any]:
    """Return the outputs of a measurement; writes its page if one is wanted.

    Raises:
        QgsProcessingException: If the numbers cannot be read, or the page not be written.
    """
    record = read_metrics(metrics)
    found = dict(scalars(record))
    results: Dict[str, Any] = {OUTPUT: metrics}
    report = algorithm.destination(parameters, REPORT, context)
    if report:
        write_report(report, algorithm.displayName(), record, figures)
        results[REPORT] = report
    if figures:
        results[FIGURES] = figures
    results.update({name: found[key] for name, key in wanted.items() if key in found})
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


def evaluate_parameters() -> List[QgsProcessingParameterDefinition]:
    """Return all parameters in the order of the dialog, with their help."""
    basic: List[Parameter] = [
        model(),
        (folder(CHIPS, tr("Chips")), tr("Folder of chips, instead of raster and labels.")),
        (choice(SPLIT, tr("Part"), SPLITS), tr("Part of the chips or of the data set.")),
        (
            QgsProcessingParameterRasterLayer(RASTER, tr("Raster"), optional=True),
            tr("Raster to run the model on, instead of chips."),
        ),
        (polygons(LABELS, tr("True polygons")), tr("Needed with a raster.")),
        (
            field_of(LABELS, CLASS_FIELD, tr("Class field")),
            tr("Field with the true class. Empty: one class for all."),
        ),
        (polygons(AOI, tr("Labelled area")), tr("Only ground inside is compared.")),
        *measure_outputs(),
    ]
    expert: List[Parameter] = [
        *dataset(),
        (string(BANDS, tr("Bands")), tr("Band numbers in the order of the model, e.g. 3,2,1.")),
        (number(BATCH, tr("Images per batch"), INTEGER, 0, 1024), tr("Empty or 0: automatic.")),
        device(),
        (
            number(SCORE, tr("Minimum score"), DOUBLE, -1.0, 1.0),
            tr("Score from 0 to 1 that a pixel or object must reach. Empty or -1: the model's."),
        ),
        (
            number(BOUNDARY, tr("Tolerance of the boundary F1 (px)"), DOUBLE, 0.0, 1e4, 3.0),
            tr("How far outlines may be apart and still count as right."),
        ),
    ]
    return with_help(basic, expert)
