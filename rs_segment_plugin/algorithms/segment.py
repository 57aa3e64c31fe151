"""``rssegment:segment``: a raster becomes polygons of classes or instances."""

from __future__ import annotations

from typing import Any, Dict, Optional

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSource,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
)

from .. import engine_api
from ..engine_api import EngineError, ModelCard, find_model
from ..layers.polygon_file import write_polygons
from ..layers.raster_source import RasterSource
from ..layers.results import LAYER_NAMES, register_results
from ..messages import tr
from .base import (
    SEGMENTATION,
    About,
    EngineAlgorithm,
    plain_path,
    processing_error,
    temporary_path,
)
from .inputs import EXPORT_SPAN, corners, exported_crs, raster_path, take_raster
from .parameters import (
    AOI,
    BACKEND,
    BACKENDS,
    BANDS,
    BATCH,
    DEVICE,
    DEVICES,
    MODEL,
    MODEL_FOLDER,
    OUTPUT,
    OVERLAP,
    PRECISION,
    RASTER,
    RESUME,
    SCORE,
    SECONDS,
    TILE,
    TILE_PRECISIONS,
)
from .segment_checks import check_segment
from .segment_parameters import (
    CLASS_RASTER,
    EXTENT,
    MAX_MEMORY,
    MIN_AREA,
    SCORE_RASTER,
    SIMPLIFY,
    SQUARE,
    TTA,
    segment_parameters,
)

__all__ = [
    "ALGORITHM_ID",
    "AOI",
    "BACKEND",
    "BACKENDS",
    "BANDS",
    "BATCH",
    "CLASS_RASTER",
    "COUNT",
    "DEVICE",
    "DEVICES",
    "EXTENT",
    "MAX_MEMORY",
    "MIN_AREA",
    "MODEL",
    "MODEL_FOLDER",
    "OUTPUT",
    "OVERLAP",
    "PRECISION",
    "RASTER",
    "RESUME",
    "RUN_ID",
    "SCORE",
    "SCORE_RASTER",
    "SECONDS",
    "SIMPLIFY",
    "SQUARE",
    "TILE",
    "TILE_PRECISIONS",
    "TTA",
    "SegmentAlgorithm",
]

ALGORITHM_ID = "rssegment:segment"
COUNT = "COUNT"
RUN_ID = "RUN_ID"
SPANS = {"predict": (0.0, 88.0), "raster": (88.0, 92.0), "vectorize": (92.0, 100.0)}
SPANS_AFTER_EXPORT = {**SPANS, **EXPORT_SPAN, "predict": (30.0, 88.0)}
FIELDS = {
    DEVICE: ("device", "choice"),
    PRECISION: ("precision", "choice"),
    BACKEND: ("backend", "choice"),
    MIN_AREA: ("min_area_m2", "float"),
    SIMPLIFY: ("simplify_m", "float"),
    SQUARE: ("square", "bool"),
    TTA: ("tta", "bool"),
    RESUME: ("resume", "bool"),
    TILE: ("tile_px", "int"),
    OVERLAP: ("overlap_px", "int"),
    BATCH: ("batch", "int"),
    MAX_MEMORY: ("max_memory_mib", "int"),
    SCORE: ("score", "float"),
}


class SegmentAlgorithm(EngineAlgorithm):
    """Segments a raster with a model of the zoo or a model folder."""

    _raster: RasterSource
    _aoi: Optional[QgsProcessingFeatureSource] = None
    _results: Dict[str, Any]

    def about(self) -> About:
        """Return the texts of the algorithm."""
        return About(
            name="segment",
            title=tr("Segment raster"),
            group=SEGMENTATION,
            summary=tr("Turns a raster into polygons with a trained network."),
            help=tr(
                "Finds classes or objects in an orthophoto or satellite image with a trained "
                "model and writes them as polygons to a GeoPackage: class, score, area in square "
                "metres and perimeter in metres for each, with a style and the record of the "
                "run.\n\n"
                "Rasters of any size are read tile by tile; tile seams do not show in the result. "
                "Choose a model whose ground resolution fits the raster; a raster outside the "
                "model's range is resampled with a warning.\n\n"
                "The network runs in a process of its own, which needs an engine environment: "
                "see the RS Segment panel."
            ),
            tags=("segmentation", "deep learning", "buildings", "land cover", "classify"),
        )

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        """Declare parameters and outputs."""
        for definition in segment_parameters():
            self.addParameter(definition)
        self.addOutput(QgsProcessingOutputNumber(COUNT, tr("Number of polygons")))
        self.addOutput(QgsProcessingOutputNumber(SECONDS, tr("Seconds")))
        self.addOutput(QgsProcessingOutputString(RUN_ID, tr("Id of the run")))

    def problem(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> str:
        """Return what is wrong with the values and what to do."""
        return check_segment(self, parameters, context)

    def prepareAlgorithm(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> bool:
        """Take what is needed from the layers, in the layers' thread."""
        self._results = {}
        self._raster = take_raster(self, parameters, RASTER, context, feedback)
        self._aoi = self.parameterAsSource(parameters, AOI, context)
        if self._aoi is None and parameters.get(AOI):
            raise QgsProcessingException(self.invalidSourceError(parameters, AOI))
        return True

    def processAlgorithm(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        """Build the job and run it on the engine."""
        try:
            card = self._card(parameters, context)
            fields = self._fields(parameters, context)
            fields.update(self._inputs(parameters, context, feedback, card))
            if feedback.isCanceled():
                return {}
            job = engine_api.SegmentJob.from_dict(fields)
        except EngineError as error:
            raise processing_error(error) from None
        spans = SPANS if self._raster.gdal else SPANS_AFTER_EXPORT
        result = self.run_engine("segment", job.to_dict(), feedback, spans)
        if not result.outputs:
            return {}
        self._results = {
            OUTPUT: f"{job.output}|layername={LAYER_NAMES[card.task]}",
            **({CLASS_RASTER: job.class_raster} if job.class_raster else {}),
            **({SCORE_RASTER: job.score_raster} if job.score_raster else {}),
            COUNT: result.counts.get("features", 0),
            SECONDS: result.seconds,
            RUN_ID: str(result.details.get("run_id", "")),
        }
        return self._results

    def postProcessAlgorithm(
        self, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> Dict[str, Any]:
        """Say how the results are loaded: styled, and in a group of their own."""
        register_results(context, self._results, self._raster.name)
        return {}

    def model_name(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> str:
        """Return the id or folder of the chosen model, empty if none is chosen."""
        folder = self.parameterAsString(parameters, MODEL_FOLDER, context)
        return str(folder or self.parameterAsString(parameters, MODEL, context))

    def _card(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> ModelCard:
        entry = find_model(self.model_name(parameters, context))
        if entry.card is None:
            raise QgsProcessingException(entry.problem)
        return entry.card

    def _fields(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> Dict[str, Any]:
        """Return the fields of the job that need no file to be written first."""
        entry = find_model(self.model_name(parameters, context))
        return {
            **self.fields_of(FIELDS, parameters, context),
            "model": str(entry.folder.absolute()),
            "output": plain_path(self.parameterAsOutputLayer(parameters, OUTPUT, context)),
            "class_raster": self.destination(parameters, CLASS_RASTER, context),
            "score_raster": self.destination(parameters, SCORE_RASTER, context),
            "bands": self.parameterAsInts(parameters, BANDS, context),
            "overwrite": True,
        }

    def _inputs(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
        card: ModelCard,
    ) -> Dict[str, Any]:
        """Return the fields for raster, extent and area of interest; writes files if needed."""
        extent = self.parameterAsExtent(parameters, EXTENT, context, self._raster.crs)
        aoi_path = ""
        if self._aoi is not None:
            aoi_path = temporary_path("aoi.gpkg")
            write_polygons(self._aoi, aoi_path, context.transformContext(), feedback)
        fields: Dict[str, Any] = {"aoi": aoi_path, "crs": exported_crs(self._raster)}
        if self._raster.gdal and not extent.isNull():
            fields["extent"] = corners(extent)
        elif extent.isNull() and self._aoi is not None:
            extent = self._raster.extent_of(self._aoi, context.transformContext())
        gsd_m = card.resolution_m.nominal
        fields["raster"] = raster_path(self._raster, extent, gsd_m, context, feedback)
        return fields
