"""``rssegment:train``: chips become a model of the zoo."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List, Optional

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputFile,
    QgsProcessingOutputHtml,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFolderDestination,
)

from .. import engine_api
from ..engine_api import EngineError, find_model, list_networks, user_zoo
from ..messages import tr
from ..network_texts import network_lines
from .base import TRAINING, About, EngineAlgorithm, processing_error
from .parameters import (
    CHIPS,
    DATASET,
    INTEGER,
    METRICS,
    NETWORK,
    OUTPUT,
    PRECISION,
    PRECISIONS,
    RECIPE_FIELDS,
    REPORT,
    ROOT,
    SECONDS,
    Parameter,
    choice,
    dataset,
    folder,
    number,
    recipe,
    string,
    switch,
    with_help,
)

ALGORITHM_ID = "rssegment:train"
INIT = "INIT"
PRESET = "PRESET"
PRESETS = ("quick", "balanced", "best")
MODEL_ID = "MODEL_ID"
TITLE = "TITLE"
WEIGHTS_LICENSE = "WEIGHTS_LICENSE"
DATA_LICENSE = "DATA_LICENSE"
PROCESSES = "DEVICES"
WORKERS = "WORKERS"
FINISH = "FINISH"
OVERWRITE = "OVERWRITE"
SAVE_S = 30.0
SPANS = {"chips": (0.0, 10.0), "train": (10.0, 97.0), "publish": (97.0, 100.0)}
FIELDS = {
    **RECIPE_FIELDS,
    CHIPS: ("chips", "text"),
    DATASET: ("dataset", "text"),
    ROOT: ("root", "text"),
    NETWORK: ("network", "text"),
    PRESET: ("preset", "choice"),
    PRECISION: ("precision", "choice"),
    PROCESSES: ("devices", "int"),
    WORKERS: ("workers", "int"),
    MODEL_ID: ("model_id", "text"),
    TITLE: ("title", "text"),
    WEIGHTS_LICENSE: ("weights_license", "text"),
    DATA_LICENSE: ("data_license", "text"),
    FINISH: ("finish", "bool"),
    OVERWRITE: ("overwrite", "bool"),
}


class TrainAlgorithm(EngineAlgorithm):
    """Trains a network on chips and publishes it as a model folder."""

    def about(self) -> About:
        """Return the texts of the algorithm."""
        return About(
            name="train",
            title=tr("Train model"),
            group=TRAINING,
            summary=tr("Trains a network on chips; the result is a model to segment with."),
            help=tr(
                "Trains a network on a folder of chips (see Make training chips) and writes a "
                "model folder: weights, card, report with curves. The model is chosen by its name "
                "in Segment raster afterwards.\n\n"
                "Start from an existing model to fine-tune it, for example on corrected results. "
                "The preset says how long to train: quick gives a first impression, best is for "
                "a computer with a graphics card.\n\n"
                "A cancelled training can be continued: run it again with the same output and "
                "'Continue an interrupted run'. With 'Publish the best so far' it ends at once "
                "and keeps what it has learnt.\n\n"
                "Networks that give every pixel a class:\n{semantic}\n\n"
                "Networks that find single objects:\n{instance}"
            ).format(semantic=_networks("semantic"), instance=_networks("instance")),
            tags=("training", "deep learning", "fine-tune", "network", "model", "learn"),
        )

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        """Declare parameters and outputs."""
        for definition in train_parameters():
            self.addParameter(definition)
        self.addOutput(QgsProcessingOutputString(MODEL_ID, tr("Id of the model")))
        self.addOutput(QgsProcessingOutputHtml(REPORT, tr("Report")))
        self.addOutput(QgsProcessingOutputFile(METRICS, tr("Metrics")))
        self.addOutput(QgsProcessingOutputNumber(SECONDS, tr("Seconds")))

    def problem(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> str:
        """Return what is wrong with the values and what to do."""
        try:
            self._job(parameters, context)
        except QgsProcessingException as error:
            return str(error)
        return ""

    def processAlgorithm(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        """Build the job and run it on the engine."""
        job = self._job(parameters, context)
        result = self.run_engine("train", job.to_dict(), feedback, SPANS, save_s=SAVE_S)
        if not result.outputs:
            return {}
        return {
            OUTPUT: result.outputs.get("model", job.output),
            MODEL_ID: str(result.details.get("model_id", "") or Path(job.output).name),
            REPORT: result.outputs.get("report", ""),
            METRICS: result.outputs.get("metrics", ""),
            SECONDS: result.seconds,
        }

    def _job(
        self, parameters: Dict[str, Any], context: QgsProcessingContext
    ) -> engine_api.TrainJob:
        """Return the checked job.

        Raises:
            QgsProcessingException: With the engine's message and hint.
        """
        fields = self.fields_of(FIELDS, parameters, context)
        try:
            fields["init"] = _init(self.parameterAsString(parameters, INIT, context))
            fields["output"] = self.destination(parameters, OUTPUT, context) or _own_folder(fields)
            return engine_api.TrainJob.from_dict(fields)
        except EngineError as error:
            raise processing_error(error) from None


def _init(start: str) -> str:
    """Return the folder of a model, or the file of weights, that training starts from.

    Raises:
        ModelError: If it is neither a model nor a file.
    """
    if not start or Path(start).is_file():
        return start
    return str(find_model(start).folder.absolute())


def _own_folder(fields: Dict[str, Any]) -> str:
    """Return the model's folder among the user's models, after its id, title or network."""
    names = (fields.get(name, "") for name in ("model_id", "title", "network", "init"))
    name = next((Path(text).name for text in names if text), "model")
    return str(user_zoo() / model_id_of(name))


def model_id_of(title: str) -> str:
    """Return an id for a title: lower-case letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_") or "model"


def _networks(task: str) -> str:
    """Return the networks of a task as a list: titles, names for the parameter, good at."""
    return "\n".join(f"- {line}" for line in network_lines(task))


def train_parameters() -> List[QgsProcessingParameterDefinition]:
    """Return all parameters in the order of the dialog, with their help."""
    return with_help(_basic(), [*dataset(), *_expert(), *recipe(), *_card()])


def _basic() -> List[Parameter]:
    names = [network.name for network in list_networks()]
    network = string(NETWORK, tr("Network"))
    network.setMetadata({"widget_wrapper": {"value_hints": names}})
    output = QgsProcessingParameterFolderDestination(
        OUTPUT, tr("Model folder"), optional=True, createByDefault=False
    )
    return [
        (folder(CHIPS, tr("Chips")), tr("Folder that Make training chips wrote.")),
        (
            network,
            tr("Name of a network, for example unet. Empty: that of the model to start from."),
        ),
        (
            string(INIT, tr("Start from")),
            tr("Id or folder of a model to fine-tune, or a .safetensors file of weights."),
        ),
        (
            choice(PRESET, tr("Preset"), PRESETS, "balanced"),
            tr("How long to train: quick, balanced or best."),
        ),
        (string(TITLE, tr("Title of the model")), tr("Name for people.")),
        (output, tr("Folder to make. Empty: among your own models, after id or title.")),
    ]


def _expert() -> List[Parameter]:
    return [
        (
            string(MODEL_ID, tr("Id of the model")),
            tr("Empty: the name of the model folder."),
        ),
        (
            choice(PRECISION, tr("Precision"), PRECISIONS),
            tr("Number format of the network; auto takes the fastest sound one."),
        ),
        (
            number(PROCESSES, tr("Processes"), INTEGER, 1, 1024, 1),
            tr("Graphics cards, or processes on the processor, that train together."),
        ),
        (
            number(WORKERS, tr("Reading processes"), INTEGER, -1, 256),
            tr("Processes that read chips. Empty or -1: automatic."),
        ),
        (
            switch(FINISH, tr("Publish the best so far")),
            tr("With 'Continue': end an interrupted training at once and write its model."),
        ),
        (
            switch(OVERWRITE, tr("Replace an existing model")),
            tr("The model folder, and what an interrupted training left, may be replaced."),
        ),
    ]


def _card() -> List[Parameter]:
    return [
        (string(WEIGHTS_LICENSE, tr("Licence of the weights")), tr("As the card states it.")),
        (string(DATA_LICENSE, tr("Licence of the data")), tr("As the card states it.")),
    ]
