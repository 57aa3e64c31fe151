"""``rssegment:evaluate``: how good a model is on chips, a data set, or a labelled raster."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, List, Mapping, Optional, Type

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterRasterLayer,
)

from .. import engine_api
from ..engine_api import find_model
from ..layers.raster_source import RasterSource
from ..messages import tr
from .base import TRAINING, About, FieldTable
from .inputs import EXPORT_SPAN, export_extent, exported_crs, raster_path, take_raster
from .listener import Span
from .measure import LayerTable, MeasureAlgorithm, NumberTable, measure_outputs
from .parameters import (
    AOI,
    BANDS,
    BATCH,
    CHIPS,
    CLASS_FIELD,
    DATASET,
    DEVICE,
    DOUBLE,
    INTEGER,
    LABELS,
    MODEL,
    RASTER,
    ROOT,
    SCORE,
    SPLIT,
    Parameter,
    choice,
    dataset,
    device,
    field_of,
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


class EvaluateAlgorithm(MeasureAlgorithm):
    """Measures a model against labels."""

    FIELDS: ClassVar[FieldTable] = {
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
    LAYERS: ClassVar[LayerTable] = {
        LABELS: ("labels", "label_layer", CLASS_FIELD),
        AOI: ("aoi", "aoi_layer", ""),
    }
    NUMBERS: ClassVar[NumberTable] = {
        "MIOU": "miou",
        "PIXEL_ACCURACY": "pixel_accuracy",
        "MEAN_F1": "mean_f1",
        "BOUNDARY_F1": "boundary.mean_f1",
        "MASK_AP": "mask.AP",
        "MASK_AP50": "mask.AP50",
        "BOX_AP": "box.AP",
    }
    _raster: Optional[RasterSource] = None

    def job_type(self) -> Type[engine_api.Job]:
        """Return the class of the job."""
        return engine_api.EvaluateJob

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

    def definitions(self) -> List[QgsProcessingParameterDefinition]:
        """Return all parameters in the order of the dialog, with their help."""
        return evaluate_parameters()

    def own_fields(
        self, parameters: Dict[str, Any], context: QgsProcessingContext
    ) -> Dict[str, Any]:
        """Return the fields of the job that need no layer.

        Raises:
            EngineError: If there is no such model.
        """
        entry = find_model(self.parameterAsString(parameters, MODEL, context))
        fields = {**super().own_fields(parameters, context), "model": str(entry.folder.absolute())}
        return {**fields, "raster": RASTER} if parameters.get(RASTER) else fields

    def prepareAlgorithm(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> bool:
        """Take what is needed from the layers, in the layers' thread."""
        if parameters.get(RASTER):
            self._raster = take_raster(self, parameters, RASTER, context, feedback)
        return super().prepareAlgorithm(parameters, context, feedback)

    def raster_fields(
        self, model: str, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> Dict[str, Any]:
        """Return raster and CRS; writes a file where the engine cannot read the layer."""
        if self._raster is None:
            return {}
        card = find_model(model).card
        gsd_m = card.resolution_m.nominal if card is not None else 1.0
        extent = export_extent(self._raster, (self._labels[AOI], self._labels[LABELS]), context)
        path = raster_path(self._raster, extent, gsd_m, context, feedback)
        return {"raster": path, "crs": exported_crs(self._raster)}

    def spans(self) -> Mapping[str, Span]:
        """Return the percents at which each stage of the run begins and ends."""
        exported = self._raster is not None and not self._raster.gdal
        return SPANS_AFTER_EXPORT if exported else SPANS


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
