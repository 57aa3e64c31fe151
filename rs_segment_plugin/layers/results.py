"""Results of a run as layers: styled from the GeoPackage, in a group of their raster."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any, Deque, Dict, List, Mapping, Optional

from qgis.core import (
    QgsFeedback,
    QgsLayerTreeGroup,
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingLayerPostProcessorInterface,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)

from ..messages import tr

GROUP_NAME = "RS Segment"
LAYER_NAMES = {"semantic": "classes", "instance": "instances"}
_OUTPUT = "OUTPUT"
_RASTERS = (("SCORE_RASTER", "Scores"), ("CLASS_RASTER", "Classes"))


def results_group(project: QgsProject, raster_name: str) -> QgsLayerTreeGroup:
    """Return the group "RS Segment" > raster name, made on top of the tree if needed."""
    root = project.layerTreeRoot()
    parent = root.findGroup(GROUP_NAME) or root.insertGroup(0, GROUP_NAME)
    for child in parent.children():
        if isinstance(child, QgsLayerTreeGroup) and child.name() == raster_name:
            return child
    return parent.insertGroup(0, raster_name)


def move_to_group(project: QgsProject, layer: QgsMapLayer, raster_name: str) -> None:
    """Move a layer of the project into the group of its raster."""
    node = project.layerTreeRoot().findLayer(layer.id())
    if node is None:
        return
    group = results_group(project, raster_name)
    if node.parent() is group:
        return
    group.insertChildNode(_position(group, layer), node.clone())
    node.parent().removeChildNode(node)


def _position(group: QgsLayerTreeGroup, layer: QgsMapLayer) -> int:
    """Polygons go to the top of the group, rasters below them."""
    return 0 if isinstance(layer, QgsVectorLayer) else len(group.children())


def apply_style(layer: QgsMapLayer) -> bool:
    """Apply the style that was written with the result; whether there was one."""
    if not isinstance(layer, QgsVectorLayer):
        return False
    _, found = layer.loadDefaultStyle()
    return bool(found)


class ResultStyler(QgsProcessingLayerPostProcessorInterface):
    """Styles and groups a result after Processing has added it to the project."""

    def __init__(self, raster_name: str) -> None:
        super().__init__()
        self._raster_name = raster_name

    def postProcessLayer(
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: Optional[QgsFeedback]
    ) -> None:
        """Style the layer and move it into the group of its raster."""
        apply_style(layer)
        project = layer.project() or context.project()
        if project is not None:
            move_to_group(project, layer, self._raster_name)


# Processing keeps no reference to post-processors, and drops the algorithm before it needs them.
_STYLERS: Deque[ResultStyler] = deque(maxlen=64)


def register_results(
    context: QgsProcessingContext, results: Mapping[str, Any], raster_name: str
) -> None:
    """Tell Processing how to load the results: which layer of the file, styled and grouped."""
    details = context.layersToLoadOnCompletion()
    named = {str(value).split("|", 1)[0]: str(value) for value in results.values()}
    wanted = {}
    for source, detail in details.items():
        styler = ResultStyler(raster_name)
        _STYLERS.append(styler)
        detail.setPostProcessor(styler)
        wanted[named.get(str(Path(source).absolute()), source)] = detail
    if wanted:
        context.setLayersToLoadOnCompletion(wanted)


def add_results(
    results: Mapping[str, Any], *, raster_name: str, model_title: str, project: QgsProject
) -> List[QgsMapLayer]:
    """Add the outputs of a run to the project, styled and grouped; call it in the GUI thread.

    Args:
        results: What ``rssegment:segment`` returned.
        raster_name: Name of the segmented layer, for the group.
        model_title: Name of the model, for the polygon layer.
        project: Where the layers go.

    Returns:
        The layers that could be loaded, polygons first.
    """
    group = results_group(project, raster_name)
    layers: List[QgsMapLayer] = []
    for key, title in _RASTERS:
        if results.get(key):
            layers.append(QgsRasterLayer(str(results[key]), f"{tr(title)} · {model_title}"))
    if results.get(_OUTPUT):
        layers.append(QgsVectorLayer(str(results[_OUTPUT]), model_title, "ogr"))
    added: List[QgsMapLayer] = []
    for layer in layers:
        if not layer.isValid():
            continue
        apply_style(layer)
        project.addMapLayer(layer, False)
        group.insertLayer(0, layer)
        added.insert(0, layer)
    return added


def result_paths(results: Mapping[str, Any]) -> Dict[str, str]:
    """Return the files of the results by output name, without layer names."""
    names = (_OUTPUT, *(key for key, _ in _RASTERS))
    return {name: str(results[name]).split("|", 1)[0] for name in names if results.get(name)}
