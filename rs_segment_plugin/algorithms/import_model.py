"""``rssegment:importmodel``: a model folder or zip goes into the user's zoo after a check."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Optional

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputFolder,
    QgsProcessingOutputString,
)

from .. import engine_api
from ..messages import tr, with_hint
from .base import SEGMENTATION, About, EngineAlgorithm, checked_job
from .parameters import OUTPUT, file, switch, with_help

ALGORITHM_ID = "rssegment:importmodel"
SOURCE = "SOURCE"
OVERWRITE = "OVERWRITE"
MODEL_ID = "MODEL_ID"
CARD_NAME = "card.json"


class ImportModelAlgorithm(EngineAlgorithm):
    """Copies a model into the user's zoo."""

    def about(self) -> About:
        """Return the texts of the algorithm."""
        return About(
            name="importmodel",
            title=tr("Import model"),
            group=SEGMENTATION,
            summary=tr("Adds a model folder or zip to your own models."),
            help=tr(
                "Checks a model (card, weights, one pass of its network) and copies it to your "
                "own models, from where it can be chosen by its name. Take the zip, the folder, "
                "or the card.json in the folder."
            ),
            tags=("model", "weights", "zoo", "install", "zip"),
        )

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        """Declare parameters and outputs."""
        source = file(SOURCE, tr("Model"), optional=False)
        overwrite = switch(OVERWRITE, tr("Replace a model with the same id"))
        texts = (
            (source, tr("Zip of a model, its folder, or the card.json in its folder.")),
            (overwrite, tr("One of your own models may be replaced.")),
        )
        for definition in with_help(texts):
            self.addParameter(definition)
        self.addOutput(QgsProcessingOutputString(MODEL_ID, tr("Id of the model")))
        self.addOutput(QgsProcessingOutputFolder(OUTPUT, tr("Model folder")))

    def problem(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> str:
        """Return what is wrong with the values and what to do."""
        source = self._source(parameters, context)
        if not source.exists():
            return tr("{path} does not exist.").format(path=source)
        if source.is_dir() and not (source / CARD_NAME).is_file():
            return with_hint(
                tr("{path} is not a model folder (no card.json).").format(path=source),
                tr("Choose a folder with card.json and weights.safetensors, or a zip of one."),
            )
        return ""

    def _source(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> Path:
        path = Path(self.parameterAsString(parameters, SOURCE, context)).absolute()
        return path.parent if path.name == CARD_NAME else path

    def processAlgorithm(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        """Build the job and run it on the engine."""
        fields = {
            "source": str(self._source(parameters, context)),
            "overwrite": self.parameterAsBool(parameters, OVERWRITE, context),
        }
        job = checked_job(engine_api.ImportModelJob, fields)
        result = self.run_engine("import_model", job.to_dict(), feedback, {})
        if not result.outputs:
            return {}
        folder = next(iter(result.outputs.values()))
        return {OUTPUT: folder, MODEL_ID: Path(folder).name}
