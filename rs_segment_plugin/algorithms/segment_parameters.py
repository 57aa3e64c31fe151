"""Parameters of ``rssegment:segment``: ids, texts and help, the same words as the command line."""

from __future__ import annotations

from typing import List

from qgis.core import (
    QgsProcessingParameterBand,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterExtent,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterVectorDestination,
)

from ..messages import tr
from .parameters import (
    AOI,
    BACKEND,
    BACKENDS,
    BANDS,
    BATCH,
    DOUBLE,
    INTEGER,
    MODEL_FOLDER,
    OUTPUT,
    OVERLAP,
    POLYGON,
    PRECISION,
    RASTER,
    RESUME,
    SCORE,
    TILE,
    TILE_PRECISIONS,
    Parameter,
    choice,
    device,
    folder,
    model,
    number,
    polygons,
    switch,
    with_help,
)

EXTENT = "EXTENT"
MIN_AREA = "MIN_AREA"
SIMPLIFY = "SIMPLIFY"
SQUARE = "SQUARE"
TTA = "TTA"
MAX_MEMORY = "MAX_MEMORY"
CLASS_RASTER = "CLASS_RASTER"
SCORE_RASTER = "SCORE_RASTER"


def segment_parameters() -> List[QgsProcessingParameterDefinition]:
    """Return all parameters in the order of the dialog, with their help."""
    return with_help([*_inputs(), *_shapes(), *_outputs()], _expert())


def _inputs() -> List[Parameter]:
    return [
        (
            QgsProcessingParameterRasterLayer(RASTER, tr("Raster")),
            tr("Raster to segment. Web layers (XYZ, WMS) need an extent or an area of interest."),
        ),
        model(),
        (
            QgsProcessingParameterExtent(EXTENT, tr("Extent"), optional=True),
            tr("Part of the raster to segment. Empty: the whole raster."),
        ),
        (
            polygons(AOI, tr("Area of interest")),
            tr("Polygons outside of which nothing is segmented; selected features only, if set."),
        ),
    ]


def _shapes() -> List[Parameter]:
    def size(name: str, text: str) -> QgsProcessingParameterNumber:
        return QgsProcessingParameterNumber(name, text, type=DOUBLE, defaultValue=0.0, minValue=0.0)

    return [
        (
            size(MIN_AREA, tr("Minimum area (m²)")),
            tr("Smaller polygons are left out. Square metres, whatever the CRS."),
        ),
        (
            size(SIMPLIFY, tr("Simplify (m)")),
            tr("Tolerance for fewer vertices; neighbours keep their shared edges. 0: off."),
        ),
        (
            switch(SQUARE, tr("Square corners")),
            tr("Make the outlines of buildings right-angled."),
        ),
    ]


def _outputs() -> List[Parameter]:
    def raster(name: str, text: str) -> QgsProcessingParameterRasterDestination:
        return QgsProcessingParameterRasterDestination(
            name, text, optional=True, createByDefault=False
        )

    return [
        (
            QgsProcessingParameterVectorDestination(OUTPUT, tr("Polygons"), POLYGON),
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


def _expert() -> List[Parameter]:
    return [
        (
            folder(MODEL_FOLDER, tr("Model folder")),
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
            number(TILE, tr("Tile (px)"), INTEGER, 0, 8192),
            tr("Side of the tiles that the network sees. Empty or 0: the model's."),
        ),
        (
            number(OVERLAP, tr("Overlap (px)"), INTEGER, -1, 8191),
            tr("Overlap of neighbouring tiles. Empty or -1: the model's."),
        ),
        (
            number(BATCH, tr("Tiles per batch"), INTEGER, 0, 1024),
            tr("Tiles that are computed together. Empty or 0: automatic."),
        ),
        (
            number(SCORE, tr("Minimum score"), DOUBLE, -1.0, 1.0),
            tr("Score from 0 to 1 that a pixel or object must reach. Empty or -1: the model's."),
        ),
    ]


def _computing() -> List[Parameter]:
    return [
        device(),
        (
            choice(PRECISION, tr("Precision"), TILE_PRECISIONS),
            tr(
                "Number format of the network; auto takes the fastest one that gives at least "
                "99.9 % of the labels of fp32. mixed: bf16 for the costliest layers only."
            ),
        ),
        (
            choice(BACKEND, tr("Backend"), BACKENDS),
            tr("What runs the network; auto takes the fastest one that is installed."),
        ),
        (
            switch(TTA, tr("Average over flips")),
            tr("Four passes over each tile (test-time augmentation): slower, a little better."),
        ),
        (
            number(MAX_MEMORY, tr("Memory limit (MiB)"), INTEGER, 0, 1 << 24),
            tr("Upper bound for the buffers of the run. Empty or 0: automatic."),
        ),
        (
            switch(RESUME, tr("Continue an interrupted run")),
            tr("Go on where a cancelled or killed run with the same output stopped."),
        ),
    ]
