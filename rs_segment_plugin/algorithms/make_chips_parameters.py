"""Parameters of ``rssegment:makechips``: the same words as the command line."""

from __future__ import annotations

from typing import List

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMultipleLayers,
)

from ..messages import tr
from .parameters import (
    AOI,
    BANDS,
    CLASS_FIELD,
    DATASET,
    DOUBLE,
    INTEGER,
    LABELS,
    OUTPUT,
    OVERLAP,
    RASTER,
    RESUME,
    ROOT,
    SEED,
    SPLIT,
    TILE,
    Parameter,
    choice,
    dataset,
    field_of,
    number,
    polygons,
    string,
    switch,
    with_help,
)

CLASSES = "CLASSES"
CLASS_NAME = "CLASS_NAME"
BACKGROUND = "BACKGROUND"
IGNORE = "IGNORE"
GSD = "GSD"
SPLIT_BY = "SPLIT_BY"
BLOCK = "BLOCK"
BUFFER = "BUFFER"
EMPTY_RATIO = "EMPTY_RATIO"
SPLIT_UNITS = ("block", "raster")

FIELDS = {
    CLASS_FIELD: ("class_field", "text"),
    CLASSES: ("classes", "words"),
    CLASS_NAME: ("class_name", "text"),
    BACKGROUND: ("background", "bool"),
    BANDS: ("bands", "numbers"),
    GSD: ("gsd_m", "float"),
    TILE: ("tile_px", "int"),
    OVERLAP: ("overlap_px", "int"),
    SPLIT: ("split", "numbers"),
    SPLIT_BY: ("split_by", "choice"),
    BLOCK: ("block_m", "float"),
    BUFFER: ("buffer_m", "float"),
    EMPTY_RATIO: ("empty_ratio", "float"),
    SEED: ("seed", "int"),
    DATASET: ("dataset", "text"),
    ROOT: ("root", "text"),
    RESUME: ("resume", "bool"),
}


def chips_parameters() -> List[QgsProcessingParameterDefinition]:
    """Return all parameters in the order of the dialog, with their help."""
    return with_help([*_layers(), *_cutting()], [*_classes(), *_splitting(), *dataset()])


def _layers() -> List[Parameter]:
    raster = QgsProcessingParameterMultipleLayers(
        RASTER, tr("Rasters"), QgsProcessing.SourceType.TypeRaster, optional=True
    )
    return [
        (raster, tr("Rasters with the same bands and data type.")),
        (polygons(LABELS, tr("Label polygons")), tr("What the model should learn, any CRS.")),
        (
            field_of(LABELS, CLASS_FIELD, tr("Class field")),
            tr("Field with the class of each polygon. Empty: one class for all."),
        ),
        (
            polygons(AOI, tr("Labelled area")),
            tr("Ground that is labelled completely; outside of it nothing is learnt."),
        ),
        (
            polygons(IGNORE, tr("Areas to ignore")),
            tr("Ground that is left out, for example where you are not sure."),
        ),
    ]


def _cutting() -> List[Parameter]:
    output = QgsProcessingParameterFolderDestination(OUTPUT, tr("Chips"))
    return [
        (
            number(TILE, tr("Chip size (px)"), INTEGER, 0, 8192),
            tr("Side of a chip in pixels. Empty or 0: automatic."),
        ),
        (
            number(GSD, tr("Pixel size (m)"), DOUBLE, 0.0, 1e5),
            tr("Pixels are resampled to this size. Empty or 0: the raster's own."),
        ),
        (output, tr("Folder of images, masks, annotations.json and chips.json.")),
    ]


def _classes() -> List[Parameter]:
    return [
        (
            string(CLASS_NAME, tr("Name of the single class"), "object"),
            tr("Used where there is no class field."),
        ),
        (
            string(CLASSES, tr("Classes to keep")),
            tr(
                "Values of the class field, separated by semicolons, in the order of their "
                "numbers. Empty: all. Ground of other classes is left out."
            ),
        ),
        (
            switch(BACKGROUND, tr("Unlabelled ground is background"), True),
            tr("No: it is left out (sparse labels)."),
        ),
        (
            string(BANDS, tr("Bands")),
            tr("Band numbers, for example 3,2,1. Empty: all except alpha."),
        ),
    ]


def _splitting() -> List[Parameter]:
    return [
        (
            number(OVERLAP, tr("Overlap (px)"), INTEGER, 0, 8191, 0),
            tr("Overlap of neighbouring chips of the same part."),
        ),
        (
            string(SPLIT, tr("Train, validation, test (%)"), "70,15,15"),
            tr("Shares of the ground; three numbers that sum to 100."),
        ),
        (choice(SPLIT_BY, tr("Split by"), SPLIT_UNITS), tr("Blocks of ground, or whole rasters.")),
        (
            number(BLOCK, tr("Side of a block (m)"), DOUBLE, 0.0, 1e7),
            tr("Empty or 0: automatic."),
        ),
        (
            number(BUFFER, tr("Gap between parts (m)"), DOUBLE, 0.0, 1e7, 0.0),
            tr("Ground left out between the parts; with 0 no pixel is shared either."),
        ),
        (
            number(EMPTY_RATIO, tr("Largest share of empty chips"), DOUBLE, 0.0, 1.0, 1.0),
            tr("Of the training chips; 1 keeps all."),
        ),
        (number(SEED, tr("Seed"), INTEGER, 0, 2_147_483_647, 0), tr("Of all that is random.")),
        (
            switch(RESUME, tr("Continue an interrupted run")),
            tr("Go on where a cancelled or killed run with the same output stopped."),
        ),
    ]
