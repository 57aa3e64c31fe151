"""Processing provider ``rssegment``; its algorithms stay registered without an engine."""

from __future__ import annotations

from typing import List

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .algorithms.compare import CompareAlgorithm
from .algorithms.evaluate import EvaluateAlgorithm
from .algorithms.import_model import ImportModelAlgorithm
from .algorithms.make_chips import MakeChipsAlgorithm
from .algorithms.pretrain import PretrainAlgorithm
from .algorithms.segment import SegmentAlgorithm
from .algorithms.train import TrainAlgorithm
from .engine_api import resource
from .worker.client import EngineClient
from .worker.environment import EngineEnvironment

PROVIDER_ID = "rssegment"
ALGORITHMS = (
    SegmentAlgorithm,
    MakeChipsAlgorithm,
    TrainAlgorithm,
    EvaluateAlgorithm,
    CompareAlgorithm,
    PretrainAlgorithm,
    ImportModelAlgorithm,
)


class RsSegmentProvider(QgsProcessingProvider):
    """Registers the algorithms and ends the engine when it is removed."""

    def __init__(self, client: EngineClient, environment: EngineEnvironment) -> None:
        super().__init__()
        self._client = client
        self._environment = environment

    def id(self) -> str:
        """Return the id, which never changes."""
        return PROVIDER_ID

    def name(self) -> str:
        """Return the name for people."""
        return "RS Segment"

    def icon(self) -> QIcon:
        """Return the icon for the toolbox."""
        return QIcon(self.svgIconPath())

    def svgIconPath(self) -> str:
        """Return the icon's file."""
        return str(resource("icons", "rs_segment.svg"))

    def loadAlgorithms(self) -> None:
        """Register the algorithms."""
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm(self._client, self._environment))

    def supportsNonFileBasedOutput(self) -> bool:
        """Results are files: GeoPackages and GeoTIFFs."""
        return False

    def defaultVectorFileExtension(self, hasGeometry: bool = True) -> str:
        """Return the ending of temporary vector outputs."""
        return "gpkg"

    def defaultRasterFileExtension(self) -> str:
        """Return the ending of temporary raster outputs."""
        return "tif"

    def supportedOutputVectorLayerExtensions(self) -> List[str]:
        """Return the vector endings that may be chosen."""
        return ["gpkg"]

    def supportedOutputTableExtensions(self) -> List[str]:
        """Return the table endings that may be chosen."""
        return ["gpkg"]

    def supportedOutputRasterLayerExtensions(self) -> List[str]:
        """Return the raster endings that may be chosen."""
        return ["tif", "tiff"]

    def unload(self) -> None:
        """End the engine; QGIS calls this when it closes or the plugin is removed."""
        self._client.close()
