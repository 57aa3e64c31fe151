"""Parameters of ``rssegment:segment``: ids, texts and help, the same words as the command line."""

from __future__ import annotations

from typing import Any, List, Tuple

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterBand,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from ..engine_api import list_models
from ..messages import tr

RASTER = "RASTER"
MODEL = "MODEL"
MODEL_FOLDER = "MODEL_FOLDER"
EXTENT = "EXTENT"
AOI = "AOI"
BANDS = "BANDS"
TILE = "TILE"
OVERLAP = "OVERLAP"
BATCH = "BATCH"
DEVICE = "DEVICE"
PRECISION = "PRECISION"
SCORE = "SCORE"
MIN_AREA = "MIN_AREA"
SIMPLIFY = "SIMPLIFY"
SQUARE = "SQUARE"
TTA = "TTA"
MAX_MEMORY = "MAX_MEMORY"
RESUME = "RESUME"
OUTPUT = "OUTPUT"
CLASS_RASTER = "CLASS_RASTER"
SCORE_RASTER = "SCORE_RASTER"

DEVICES = ("auto", "cpu", "cuda", "cuda:0", "cuda:1", "cuda:2", "cuda:3")
PRECISIONS = ("auto", "fp32", "bf16")

_INTEGER = QgsProcessingParameterNumber.Type.Integer
_DOUBLE = QgsProcessingParameterNumber.Type.Double
Parameter = Tuple[QgsProcessingParameterDefinition, str]


def segment_parameters() -> List[QgsProcessingParameterDefinition]:
    """Return all parameters in the order of the dialog, with their help."""
    basic = [*_inputs(), *_shapes(), *_outputs()]
    definitions = []
    for definition, text in basic:
        definition.setHelp(text)
        definitions.append(definition)
    for definition, text in _expert():
        definition.setHelp(text)
        flag = QgsProcessingParameterDefinition.Flag.FlagAdvanced
        definition.setFlags(definition.flags() | flag)
        definitions.append(definition)
    return definitions


def _inputs() -> List[Parameter]:
    ids = [entry.id for entry in list_models() if entry.card is not None]
    model = QgsProcessingParameterString(
        MODEL, tr("Model"), defaultValue=ids[0] if ids else None, optional=True
    )
    if ids:
        model.setMetadata({"widget_wrapper": {"value_hints": ids}})
    polygon = QgsProcessing.SourceType.TypeVectorPolygon
    return [
        (
            QgsProcessingParameterRasterLayer(RASTER, tr("Raster")),
            tr("Raster to segment. Web layers (XYZ, WMS) need an extent or an area of interest."),
        ),
        (model, tr("Id of a model in the model list, or the path of a model folder.")),
        (
            QgsProcessingParameterExtent(EXTENT, tr("Extent"), optional=True),
            tr("Part of the raster to segment. Empty: the whole raster."),
        ),
        (
            QgsProcessingParameterFeatureSource(
                AOI, tr("Area of interest"), [polygon], optional=True
            ),
            tr("Polygons outside of which nothing is segmented; selected features only, if set."),
        ),
    ]


def _shapes() -> List[Parameter]:
    def number(name: str, text: str, default: float) -> QgsProcessingParameterNumber:
        return QgsProcessingParameterNumber(
            name, text, type=_DOUBLE, defaultValue=default, minValue=0.0
        )

    return [
        (
            number(MIN_AREA, tr("Minimum area (m²)"), 0.0),
            tr("Smaller polygons are left out. Square metres, whatever the CRS."),
        ),
        (
            number(SIMPLIFY, tr("Simplify (m)"), 0.0),
            tr("Tolerance for fewer vertices; neighbours keep their shared edges. 0: off."),
        ),
        (
            QgsProcessingParameterBoolean(SQUARE, tr("Square corners"), defaultValue=False),
            tr("Make the outlines of buildings right-angled."),
        ),
    ]


def _outputs() -> List[Parameter]:
    polygon = QgsProcessing.SourceType.TypeVectorPolygon

    def raster(name: str, text: str) -> QgsProcessingParameterRasterDestination:
        return QgsProcessingParameterRasterDestination(
            name, text, optional=True, createByDefault=False
        )

    return [
        (
            QgsProcessingParameterVectorDestination(OUTPUT, tr("Polygons"), polygon),
            tr("GeoPackage with one polygon layer, its style and the record of the run."),
        ),
        (
            raster(CLASS_RASTER, tr("Class raster")),
            tr("GeoTIFF with the class id of each pixel; 255 where there is no data."),
        ),
        (
            raster(SCORE_RASTER, tr("Score raster")),
            tr("GeoTIFF with the score of each pixel's class."),
        ),
    ]


def _optional_number(
    name: str, text: str, kind: Any, low: float, high: float
) -> QgsProcessingParameterNumber:
    return QgsProcessingParameterNumber(
        name, text, type=kind, defaultValue=None, optional=True, minValue=low, maxValue=high
    )


def _choice(name: str, text: str, options: Tuple[str, ...]) -> QgsProcessingParameterEnum:
    return QgsProcessingParameterEnum(
        name, text, list(options), defaultValue=options[0], optional=True, usesStaticStrings=True
    )


def _expert() -> List[Parameter]:
    folder = QgsProcessingParameterFile.Behavior.Folder
    return [
        (
            QgsProcessingParameterFile(
                MODEL_FOLDER, tr("Model folder"), behavior=folder, optional=True
            ),
            tr("Folder with card.json and weights.safetensors, used instead of the model above."),
        ),
        (
            QgsProcessingParameterBand(
                BANDS,
                tr("Bands, in the order of the model"),
                parentLayerParameterName=RASTER,
                optional=True,
                allowMultiple=True,
            ),
            tr("Raster bands for the model's bands. Empty: found by the model's card."),
        ),
        *_tiling(),
        *_computing(),
    ]


def _tiling() -> List[Parameter]:
    return [
        (
            _optional_number(TILE, tr("Tile (px)"), _INTEGER, 0, 8192),
            tr("Side of the tiles that the network sees. Empty or 0: the model's."),
        ),
        (
            _optional_number(OVERLAP, tr("Overlap (px)"), _INTEGER, -1, 8191),
            tr("Overlap of neighbouring tiles. Empty or -1: the model's."),
        ),
        (
            _optional_number(BATCH, tr("Tiles per batch"), _INTEGER, 0, 1024),
            tr("Tiles that are computed together. Empty or 0: automatic."),
        ),
        (
            _optional_number(SCORE, tr("Minimum score"), _DOUBLE, -1.0, 1.0),
            tr("Score from 0 to 1 that a pixel or object must reach. Empty or -1: the model's."),
        ),
    ]


def _computing() -> List[Parameter]:
    return [
        (
            _choice(DEVICE, tr("Device"), DEVICES),
            tr("Where the network runs; auto takes a GPU if there is one."),
        ),
        (
            _choice(PRECISION, tr("Precision"), PRECISIONS),
            tr("Number format of the network; auto takes the fastest sound one."),
        ),
        (
            QgsProcessingParameterBoolean(TTA, tr("Average over flips"), defaultValue=False),
            tr("Four passes over each tile (test-time augmentation): slower, a little better."),
        ),
        (
            _optional_number(MAX_MEMORY, tr("Memory limit (MiB)"), _INTEGER, 0, 1 << 24),
            tr("Upper bound for the buffers of the run. Empty or 0: automatic."),
        ),
        (
            QgsProcessingParameterBoolean(
                RESUME, tr("Continue an interrupted run"), defaultValue=False
            ),
            tr("Go on where a cancelled or killed run with the same output stopped."),
        ),
    ]
