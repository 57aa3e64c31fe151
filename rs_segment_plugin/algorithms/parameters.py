"""Kinds of parameters that several algorithms have, and ids that mean the same in all."""

from __future__ import annotations

from typing import Any, Iterable, List, Optional, Sequence, Tuple

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
)

from ..engine_api import list_models
from ..messages import tr

AOI = "AOI"
BACKEND = "BACKEND"
BANDS = "BANDS"
BATCH = "BATCH"
CHIPS = "CHIPS"
CLASS_FIELD = "CLASS_FIELD"
CONFIG = "CONFIG"
DATASET = "DATASET"
DEVICE = "DEVICE"
EPOCHS = "EPOCHS"
FIGURES = "FIGURES"
LABELS = "LABELS"
LR = "LR"
MAX_MINUTES = "MAX_MINUTES"
METRICS = "METRICS"
MODEL = "MODEL"
MODEL_FOLDER = "MODEL_FOLDER"
NETWORK = "NETWORK"
OPTIONS = "OPTIONS"
OUTPUT = "OUTPUT"
OVERLAP = "OVERLAP"
PRECISION = "PRECISION"
RASTER = "RASTER"
REPORT = "REPORT"
RESUME = "RESUME"
ROOT = "ROOT"
SCORE = "SCORE"
SECONDS = "SECONDS"
SEED = "SEED"
SPLIT = "SPLIT"
TILE = "TILE"

DEVICES = ("auto", "cpu", "cuda", "cuda:0", "cuda:1", "cuda:2", "cuda:3")
PRECISIONS = ("auto", "fp32", "bf16")
TILE_PRECISIONS = ("auto", "fp32", "mixed", "bf16")
BACKENDS = ("auto", "torch", "openvino", "onnxruntime")
INTEGER = QgsProcessingParameterNumber.Type.Integer
DOUBLE = QgsProcessingParameterNumber.Type.Double
POLYGON = QgsProcessing.SourceType.TypeVectorPolygon
Parameter = Tuple[QgsProcessingParameterDefinition, str]


def with_help(
    basic: Iterable[Parameter], expert: Iterable[Parameter] = ()
) -> List[QgsProcessingParameterDefinition]:
    """Return the parameters in the order of the dialog, with their help."""
    definitions = []
    for definition, text in basic:
        definition.setHelp(text)
        definitions.append(definition)
    for definition, text in expert:
        definition.setHelp(text)
        flag = QgsProcessingParameterDefinition.Flag.FlagAdvanced
        definition.setFlags(definition.flags() | flag)
        definitions.append(definition)
    return definitions


def number(
    name: str, text: str, kind: Any, low: float, high: float, default: Optional[float] = None
) -> QgsProcessingParameterNumber:
    """Return a number that may be left out."""
    return QgsProcessingParameterNumber(
        name, text, type=kind, defaultValue=default, optional=True, minValue=low, maxValue=high
    )


def choice(
    name: str, text: str, options: Sequence[str], default: Optional[str] = None
) -> QgsProcessingParameterEnum:
    """Return a choice among words; the first one is the default."""
    return QgsProcessingParameterEnum(
        name,
        text,
        list(options),
        defaultValue=options[0] if default is None else default,
        optional=True,
        usesStaticStrings=True,
    )


def switch(name: str, text: str, default: bool = False) -> QgsProcessingParameterBoolean:
    """Return a yes or no."""
    return QgsProcessingParameterBoolean(name, text, defaultValue=default)


def string(name: str, text: str, default: Optional[str] = None) -> QgsProcessingParameterString:
    """Return a text that may be left out."""
    return QgsProcessingParameterString(name, text, defaultValue=default, optional=True)


def polygons(name: str, text: str, *, optional: bool = True) -> QgsProcessingParameterFeatureSource:
    """Return a choice of polygons: a layer, or its selected features."""
    return QgsProcessingParameterFeatureSource(name, text, [POLYGON], optional=optional)


def field_of(layer: str, name: str, text: str) -> QgsProcessingParameterField:
    """Return a choice among the fields of a layer."""
    return QgsProcessingParameterField(name, text, parentLayerParameterName=layer, optional=True)


def folder(name: str, text: str, *, optional: bool = True) -> QgsProcessingParameterFile:
    """Return a choice of a folder that is there."""
    behavior = QgsProcessingParameterFile.Behavior.Folder
    return QgsProcessingParameterFile(name, text, behavior=behavior, optional=optional)


def file(name: str, text: str, *, optional: bool = True) -> QgsProcessingParameterFile:
    """Return a choice of a file that is there."""
    behavior = QgsProcessingParameterFile.Behavior.File
    # The filter of QGIS's own, "*.*", refuses names without a dot.
    return QgsProcessingParameterFile(
        name, text, behavior=behavior, optional=optional, fileFilter=tr("All files (*)")
    )


def file_destination(
    name: str, text: str, ending: str, *, optional: bool = False
) -> QgsProcessingParameterFileDestination:
    """Return a file to write."""
    kind = f"{ending.upper()} (*.{ending})"
    return QgsProcessingParameterFileDestination(
        name, text, fileFilter=kind, optional=optional, createByDefault=not optional
    )


def model() -> Parameter:
    """Return the choice of a model of the zoo, or of a model folder."""
    ids = [entry.id for entry in list_models() if entry.card is not None]
    definition = string(MODEL, tr("Model"), ids[0] if ids else None)
    if ids:
        definition.setMetadata({"widget_wrapper": {"value_hints": ids}})
    return definition, tr("Id of a model in the model list, or the path of a model folder.")


def device() -> Parameter:
    """Return the choice of where the network runs."""
    text = tr("Where the network runs; auto takes a GPU if there is one.")
    return choice(DEVICE, tr("Device"), DEVICES), text


def dataset() -> List[Parameter]:
    """Return the choice of a published data set instead of own data."""
    return [
        (
            string(DATASET, tr("Data set")),
            tr("Name of a data set reader, for example coco, masks or nwpu_vhr10."),
        ),
        (folder(ROOT, tr("Folder of the data set")), tr("Needed with a data set.")),
    ]


def recipe() -> List[Parameter]:
    """Return how the values of a recipe are overridden."""
    return [
        (
            number(EPOCHS, tr("Epochs"), INTEGER, 0, 100_000),
            tr("Passes over the data. Empty or 0: the recipe's."),
        ),
        (
            number(BATCH, tr("Batch"), INTEGER, 0, 65_536),
            tr("Images per step. Empty or 0: the recipe's."),
        ),
        (
            number(LR, tr("Learning rate"), DOUBLE, 0.0, 100.0),
            tr("Empty or 0: the recipe's."),
        ),
        (number(SEED, tr("Seed"), INTEGER, 0, 2_147_483_647, 0), tr("Of all that is random.")),
        device(),
        (
            number(MAX_MINUTES, tr("Time limit (minutes)"), DOUBLE, 0.0, 1e6),
            tr("Training ends after so long and keeps the best. Empty or 0: no limit."),
        ),
        (file(CONFIG, tr("Recipe file")), tr("JSON file of values that override the recipe.")),
        (
            string(OPTIONS, tr("Recipe options")),
            tr("NAME=VALUE pairs, separated by semicolons, for example optimizer.lr=0.001."),
        ),
        (
            switch(RESUME, tr("Continue an interrupted run")),
            tr("Go on where a cancelled or killed run with the same output stopped."),
        ),
    ]


RECIPE_FIELDS = {
    EPOCHS: ("epochs", "int"),
    BATCH: ("batch", "int"),
    LR: ("lr", "float"),
    SEED: ("seed", "int"),
    DEVICE: ("device", "choice"),
    MAX_MINUTES: ("max_minutes", "float"),
    CONFIG: ("config", "text"),
    OPTIONS: ("options", "options"),
    RESUME: ("resume", "bool"),
}
