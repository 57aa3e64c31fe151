"""``rssegment:makechips``: labelled rasters, or a data set, become a folder of chips."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
)

from .. import engine_api
from ..layers.label_source import LabelSource, class_colors, color_words
from ..layers.raster_source import RasterSource
from ..messages import tr, with_hint
from .base import TRAINING, About, EngineAlgorithm, checked_job
from .inputs import (
    EXPORT_SPAN,
    export_extent,
    exported_crs,
    field_problem,
    label_fields,
    layer_of,
    raster_crs,
    raster_path,
    take_labels,
    take_rasters,
)
from .make_chips_parameters import CLASS_NAME, FIELDS, GSD, IGNORE, chips_parameters
from .parameters import AOI, CLASS_FIELD, DATASET, LABELS, OUTPUT, RASTER, ROOT

__all__ = ["ALGORITHM_ID", "TEST_CHIPS", "TRAIN_CHIPS", "VAL_CHIPS", "MakeChipsAlgorithm"]

ALGORITHM_ID = "rssegment:makechips"
TRAIN_CHIPS = "TRAIN_CHIPS"
VAL_CHIPS = "VAL_CHIPS"
TEST_CHIPS = "TEST_CHIPS"
SPANS = {"chips": (0.0, 90.0), "statistics": (90.0, 100.0)}
SPANS_AFTER_EXPORT = {**SPANS, **EXPORT_SPAN, "chips": (30.0, 90.0)}


class MakeChipsAlgorithm(EngineAlgorithm):
    """Cuts rasters and label polygons into training samples."""

    _rasters: List[RasterSource]
    _labels: Optional[LabelSource]
    _ignore: Optional[LabelSource]
    _aoi: Optional[LabelSource]
    _colors: List[str]

    def about(self) -> About:
        """Return the texts of the algorithm."""
        return About(
            name="makechips",
            title=tr("Make training chips"),
            group=TRAINING,
            summary=tr("Cuts a raster and label polygons into samples for training."),
            help=tr(
                "Cuts one or more rasters and a layer of label polygons into chips: small images "
                "with masks and COCO annotations, split into training, validation and test parts "
                "by blocks of ground, so that no pixel is shared.\n\n"
                "The class of a polygon comes from the class field; without one all polygons are "
                "one class. Ground inside the labelled area and outside all polygons is "
                "background. Draw the labelled area if you have not labelled the whole raster: "
                "everything outside of it is left out.\n\n"
                "Colours of the classes are taken from the style of the label layer. Edits that "
                "are not saved and selections are respected."
            ),
            tags=("training", "labels", "samples", "tiles", "coco", "annotation", "dataset"),
        )

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        """Declare parameters and outputs."""
        for definition in chips_parameters():
            self.addParameter(definition)
        self.addOutput(QgsProcessingOutputNumber(TRAIN_CHIPS, tr("Chips for training")))
        self.addOutput(QgsProcessingOutputNumber(VAL_CHIPS, tr("Chips for validation")))
        self.addOutput(QgsProcessingOutputNumber(TEST_CHIPS, tr("Chips for the test")))

    def problem(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> str:
        """Return what is wrong with the values and what to do."""
        own = bool(parameters.get(RASTER) or parameters.get(LABELS))
        if own == bool(parameters.get(DATASET)):
            return with_hint(
                tr("Chips need either rasters and labels, or a data set."),
                tr("Choose a raster and a label layer, or set {a} and {b}.").format(
                    a=DATASET, b=ROOT
                ),
            )
        if own and not parameters.get(LABELS):
            return tr("No label layer is chosen.")
        if own and not parameters.get(RASTER):
            return tr("No raster is chosen.")
        try:
            self._checked_fields(parameters, context)
        except QgsProcessingException as error:
            return str(error)
        return field_problem(self, parameters, LABELS, CLASS_FIELD, context)

    def _checked_fields(
        self, parameters: Dict[str, Any], context: QgsProcessingContext
    ) -> Dict[str, Any]:
        """Return the fields that need no layer, checked as the engine does.

        Raises:
            QgsProcessingException: With the engine's message and hint.
        """
        fields = {
            **self.fields_of(FIELDS, parameters, context),
            "output": self.destination(parameters, OUTPUT, context) or "chips",
            "overwrite": True,
        }
        layers = {} if fields.get("dataset") else {"rasters": ["raster"], "labels": "labels"}
        checked_job(engine_api.ChipsJob, {**fields, **layers})
        return fields

    def prepareAlgorithm(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> bool:
        """Take what is needed from the layers, in the layers' thread."""
        field = self.parameterAsString(parameters, CLASS_FIELD, context)
        self._rasters = take_rasters(self, parameters, RASTER, context, feedback)
        self._labels = take_labels(self, parameters, LABELS, context, field)
        self._ignore = take_labels(self, parameters, IGNORE, context)
        self._aoi = take_labels(self, parameters, AOI, context)
        layer = layer_of(parameters.get(LABELS), context)
        single = self.parameterAsString(parameters, CLASS_NAME, context)
        colors = class_colors(layer, field, single) if layer is not None else {}
        self._colors = color_words(colors)
        return True

    def processAlgorithm(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        """Build the job and run it on the engine."""
        fields = self._checked_fields(parameters, context)
        fields.update(self._inputs(parameters, context, feedback))
        if feedback.isCanceled():
            return {}
        job = checked_job(engine_api.ChipsJob, fields)
        exported = any(not raster.gdal for raster in self._rasters)
        spans = SPANS_AFTER_EXPORT if exported else SPANS
        result = self.run_engine("chips", job.to_dict(), feedback, spans)
        if not result.outputs:
            return {}
        return {
            OUTPUT: job.output,
            TRAIN_CHIPS: result.counts.get("train", 0),
            VAL_CHIPS: result.counts.get("val", 0),
            TEST_CHIPS: result.counts.get("test", 0),
        }

    def _inputs(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        """Return the fields for the layers; writes files where the engine cannot read them."""
        fields: Dict[str, Any] = {}
        fields.update(label_fields(self._labels, "labels", "label_layer", context, feedback))
        fields.update(label_fields(self._ignore, "ignore", "ignore_layer", context, feedback))
        fields.update(label_fields(self._aoi, "aoi", "aoi_layer", context, feedback))
        if not self._rasters:
            return fields
        gsd_m = self.parameterAsDouble(parameters, GSD, context)
        fields["rasters"] = [
            self._raster_path(raster, gsd_m, context, feedback) for raster in self._rasters
        ]
        fields["crs"] = raster_crs(self._rasters) or exported_crs(self._rasters[0])
        fields["colors"] = self._colors
        return fields

    def _raster_path(
        self,
        raster: RasterSource,
        gsd_m: float,
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> str:
        if not raster.gdal and gsd_m <= 0:
            raise QgsProcessingException(
                with_hint(
                    tr("'{name}' is a web layer without a size of its own.").format(
                        name=raster.name
                    ),
                    tr("Set the pixel size ({name}).").format(name=GSD),
                )
            )
        extent = export_extent(raster, (self._aoi, self._labels), context)
        return raster_path(raster, extent, gsd_m, context, feedback)
