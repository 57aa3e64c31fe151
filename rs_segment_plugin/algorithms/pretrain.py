"""``rssegment:pretrain``: weights of a backbone from images without labels."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterRasterLayer,
)

from .. import engine_api
from ..engine_api import list_networks
from ..layers.raster_source import RasterSource
from ..messages import tr, with_hint
from .base import TRAINING, About, EngineAlgorithm, checked_job
from .inputs import take_raster
from .parameters import (
    BANDS,
    INTEGER,
    NETWORK,
    OUTPUT,
    RASTER,
    RECIPE_FIELDS,
    SECONDS,
    TILE,
    Parameter,
    choice,
    file_destination,
    folder,
    number,
    recipe,
    string,
    with_help,
)
from .train import SAVE_S

ALGORITHM_ID = "rssegment:pretrain"
IMAGES = "IMAGES"
METHOD = "METHOD"
METHODS = ("moco_v2",)
QUEUE = "QUEUE"
SPANS = {"train": (0.0, 98.0), "publish": (98.0, 100.0)}
FIELDS = {
    **RECIPE_FIELDS,
    NETWORK: ("network", "text"),
    METHOD: ("method", "choice"),
    BANDS: ("bands", "numbers"),
    TILE: ("tile_px", "int"),
    QUEUE: ("queue", "int"),
}


class PretrainAlgorithm(EngineAlgorithm):
    """Lets a backbone learn from images without labels."""

    _raster: Optional[RasterSource]

    def about(self) -> About:
        """Return the texts of the algorithm."""
        return About(
            name="pretrain",
            title=tr("Pre-train on images without labels"),
            group=TRAINING,
            summary=tr("Learns the weights of a network's backbone from unlabelled images."),
            help=tr(
                "Learns from many images without labels (MoCo v2): crops of the same image are "
                "made alike, crops of different ones apart. The weights are a start for training "
                "with few labels: choose the file under 'Start from' in Train model.\n\n"
                "This takes long; a graphics card is advised."
            ),
            tags=("pretraining", "self-supervised", "contrastive", "moco", "backbone"),
        )

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        """Declare parameters and outputs."""
        for definition in pretrain_parameters():
            self.addParameter(definition)
        self.addOutput(QgsProcessingOutputNumber(SECONDS, tr("Seconds")))

    def problem(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> str:
        """Return what is wrong with the values and what to do."""
        if bool(parameters.get(RASTER)) == bool(parameters.get(IMAGES)):
            return with_hint(
                tr("Either a folder of images or a raster is needed."),
                tr("Choose one of the two."),
            )
        try:
            checked_job(engine_api.PretrainJob, self._fields(parameters, context, "raster"))
        except QgsProcessingException as error:
            return str(error)
        return ""

    def _fields(
        self, parameters: Dict[str, Any], context: QgsProcessingContext, raster: str
    ) -> Dict[str, Any]:
        return {
            **self.fields_of(FIELDS, parameters, context),
            "images": self.parameterAsString(parameters, IMAGES, context) or raster,
            "output": self.destination(parameters, OUTPUT, context),
            "overwrite": True,
        }

    def prepareAlgorithm(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> bool:
        """Take what is needed from the layer, in its thread."""
        self._raster = None
        if parameters.get(RASTER):
            self._raster = take_raster(self, parameters, RASTER, context, feedback)
            if not self._raster.gdal:
                raise QgsProcessingException(
                    with_hint(
                        tr("'{name}' is not a raster file.").format(name=self._raster.name),
                        tr("Save the layer as a GeoTIFF first."),
                    )
                )
        return True

    def processAlgorithm(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        """Build the job and run it on the engine."""
        raster = self._raster.gdal if self._raster is not None else ""
        job = checked_job(engine_api.PretrainJob, self._fields(parameters, context, raster))
        result = self.run_engine("pretrain", job.to_dict(), feedback, SPANS, save_s=SAVE_S)
        if not result.outputs:
            return {}
        return {OUTPUT: job.output, SECONDS: result.seconds}


def pretrain_parameters() -> List[QgsProcessingParameterDefinition]:
    """Return all parameters in the order of the dialog, with their help."""
    network = string(NETWORK, tr("Network"), list_networks()[0].name)
    hints = [info.name for info in list_networks()]
    network.setMetadata({"widget_wrapper": {"value_hints": hints}})
    basic: List[Parameter] = [
        (folder(IMAGES, tr("Folder of images")), tr("Images of any number, without labels.")),
        (
            QgsProcessingParameterRasterLayer(RASTER, tr("Raster"), optional=True),
            tr("A large raster instead of a folder."),
        ),
        (network, tr("Name of the network whose backbone learns.")),
        (
            file_destination(OUTPUT, tr("Weights"), "safetensors"),
            tr("File to start a training from."),
        ),
    ]
    expert: List[Parameter] = [
        (choice(METHOD, tr("Method"), METHODS), tr("How it learns.")),
        (string(BANDS, tr("Bands")), tr("Band numbers of the raster. Empty: all except alpha.")),
        (
            number(TILE, tr("Crop size (px)"), INTEGER, 16, 4096, 224),
            tr("Side of an image crop in pixels."),
        ),
        (
            number(QUEUE, tr("Keys in the dictionary"), INTEGER, 0, 1 << 24),
            tr("Empty or 0: the recipe's."),
        ),
        *recipe(),
    ]
    return with_help(basic, expert)
