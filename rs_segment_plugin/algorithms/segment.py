"""``rssegment:segment``: a raster becomes polygons of classes or instances."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSource,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingUtils,
    QgsRectangle,
)

from ..engine_api import EngineError, ModelCard, SegmentJob, find_model
from ..layers.label_source import wkt, write_polygons
from ..layers.raster_source import RasterSource, raster_source
from ..layers.results import LAYER_NAMES, register_results
from ..messages import tr
from .base import EngineAlgorithm, processing_error
from .listener import FeedbackListener, stage_texts
from .segment_checks import check_segment
from .segment_parameters import (
    AOI,
    BANDS,
    BATCH,
    CLASS_RASTER,
    DEVICE,
    DEVICES,
    EXTENT,
    MAX_MEMORY,
    MIN_AREA,
    MODEL,
    MODEL_FOLDER,
    OUTPUT,
    OVERLAP,
    PRECISION,
    PRECISIONS,
    RASTER,
    RESUME,
    SCORE,
    SCORE_RASTER,
    SIMPLIFY,
    SQUARE,
    TILE,
    TTA,
    segment_parameters,
)

__all__ = [
    "ALGORITHM_ID",
    "AOI",
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
    "PRECISIONS",
    "RASTER",
    "RESUME",
    "RUN_ID",
    "SCORE",
    "SCORE_RASTER",
    "SECONDS",
    "SIMPLIFY",
    "SQUARE",
    "TILE",
    "TTA",
    "SegmentAlgorithm",
]

ALGORITHM_ID = "rssegment:segment"
COUNT = "COUNT"
SECONDS = "SECONDS"
RUN_ID = "RUN_ID"
SPANS = {"predict": (0.0, 88.0), "raster": (88.0, 92.0), "vectorize": (92.0, 100.0)}
SPANS_AFTER_EXPORT = {**SPANS, "export": (0.0, 30.0), "predict": (30.0, 88.0)}


class SegmentAlgorithm(EngineAlgorithm):
    """Segments a raster with a model of the zoo or a model folder."""

    _raster: RasterSource
    _aoi: Optional[QgsProcessingFeatureSource] = None
    _results: Dict[str, Any]

    def name(self) -> str:
        """Return the id inside the provider."""
        return "segment"

    def displayName(self) -> str:
        """Return the name for people."""
        return tr("Segment raster")

    def group(self) -> str:
        """Return the group for people."""
        return tr("Segmentation")

    def groupId(self) -> str:
        """Return the group's id."""
        return "segmentation"

    def tags(self) -> List[str]:
        """Return words by which the toolbox finds the algorithm."""
        return ["segmentation", "deep learning", "buildings", "land cover", "classify", "extract"]

    def shortDescription(self) -> str:
        """Return one sentence for tooltips."""
        return tr("Turns a raster into polygons with a trained network.")

    def shortHelpString(self) -> str:
        """Return the help beside the dialog."""
        return tr(
            "Finds classes or objects in an orthophoto or satellite image with a trained model "
            "and writes them as polygons to a GeoPackage: class, score, area in square metres "
            "and perimeter in metres for each, with a style and the record of the run.\n\n"
            "Rasters of any size are read tile by tile; tile seams do not show in the result. "
            "Choose a model whose ground resolution fits the raster; a raster outside the "
            "model's range is resampled with a warning.\n\n"
            "The network runs in a process of its own, which needs an engine environment: "
            "see the RS Segment panel."
        )

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        """Declare parameters and outputs."""
        for definition in segment_parameters():
            self.addParameter(definition)
        self.addOutput(QgsProcessingOutputNumber(COUNT, tr("Number of polygons")))
        self.addOutput(QgsProcessingOutputNumber(SECONDS, tr("Seconds")))
        self.addOutput(QgsProcessingOutputString(RUN_ID, tr("Id of the run")))

    def checkParameterValues(
        self, parameters: Dict[str, Any], context: QgsProcessingContext
    ) -> Tuple[bool, str]:
        """Return whether the values can work, else what is wrong and what to do."""
        ok, message = super().checkParameterValues(parameters, context)
        if not ok:
            return ok, message
        problem = check_segment(self, parameters, context)
        return not problem, problem

    def prepareAlgorithm(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> bool:
        """Take what is needed from the layers, in the layers' thread."""
        layer = self.parameterAsRasterLayer(parameters, RASTER, context)
        if layer is None or not layer.isValid():
            raise QgsProcessingException(self.invalidRasterError(parameters, RASTER))
        self._results = {}
        self._raster = raster_source(layer)
        for warning in self._raster.warnings:
            feedback.pushWarning(warning)
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
            job = SegmentJob.from_dict(fields)
        except EngineError as error:
            raise processing_error(error) from None
        spans = SPANS if self._raster.gdal else SPANS_AFTER_EXPORT
        result = self.run_engine("segment", job.to_dict(), feedback, spans)
        if not result.outputs:
            return {}
        feedback.setProgress(100)
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
        fields: Dict[str, Any] = {
            "model": str(entry.folder.absolute()),
            "output": _plain_path(self.parameterAsOutputLayer(parameters, OUTPUT, context)),
            "class_raster": self._destination(parameters, CLASS_RASTER, context),
            "score_raster": self._destination(parameters, SCORE_RASTER, context),
            "bands": self.parameterAsInts(parameters, BANDS, context),
            "device": self.parameterAsEnumString(parameters, DEVICE, context) or DEVICES[0],
            "precision": self.parameterAsEnumString(parameters, PRECISION, context)
            or PRECISIONS[0],
            "min_area_m2": self.parameterAsDouble(parameters, MIN_AREA, context),
            "simplify_m": self.parameterAsDouble(parameters, SIMPLIFY, context),
            "square": self.parameterAsBool(parameters, SQUARE, context),
            "tta": self.parameterAsBool(parameters, TTA, context),
            "resume": self.parameterAsBool(parameters, RESUME, context),
            "overwrite": True,
        }
        for key, name in (
            (TILE, "tile_px"),
            (OVERLAP, "overlap_px"),
            (BATCH, "batch"),
            (MAX_MEMORY, "max_memory_mib"),
        ):
            if parameters.get(key) not in (None, ""):
                fields[name] = self.parameterAsInt(parameters, key, context)
        if parameters.get(SCORE) not in (None, ""):
            fields["score"] = self.parameterAsDouble(parameters, SCORE, context)
        return fields

    def _destination(
        self, parameters: Dict[str, Any], name: str, context: QgsProcessingContext
    ) -> str:
        if parameters.get(name) in (None, ""):
            return ""
        return str(self.parameterAsOutputLayer(parameters, name, context))

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
            aoi_path = _temporary("aoi.gpkg")
            write_polygons(self._aoi, aoi_path, context.transformContext(), feedback)
        fields: Dict[str, Any] = {"aoi": aoi_path, "crs": self._raster.missing_crs_wkt}
        if self._raster.gdal:
            fields["raster"] = self._raster.gdal
            if not extent.isNull():
                fields["extent"] = _corners(extent)
            return fields
        if extent.isNull() and self._aoi is not None:
            extent = self._raster.extent_of(self._aoi, context.transformContext())
        path = _temporary("raster.tif")
        listener = FeedbackListener(feedback, SPANS_AFTER_EXPORT, stage_texts())
        self._raster.export(
            path, extent, card.resolution_m.nominal, context.transformContext(), feedback, listener
        )
        return {**fields, "raster": path, "crs": wkt(self._raster.crs)}


def _corners(extent: QgsRectangle) -> Tuple[float, float, float, float]:
    return extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()


def _plain_path(destination: str) -> str:
    """Return the file of a vector destination without a layer name."""
    return str(Path(destination.split("|", 1)[0]).absolute())


def _temporary(name: str) -> str:
    return str(QgsProcessingUtils.generateTempFilename(name))
