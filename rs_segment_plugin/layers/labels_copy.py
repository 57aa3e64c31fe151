"""A result as labels to correct: an editable copy, styled by class; the original is kept."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Dict, List, Optional

from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsEditorWidgetSetup,
    QgsFeature,
    QgsFillSymbol,
    QgsGeometry,
    QgsProcessingUtils,
    QgsProject,
    QgsProviderRegistry,
    QgsReferencedRectangle,
    QgsRendererCategory,
    QgsVectorLayer,
)

from ..engine_api import EngineError, ModelEntry, find_model, user_zoo
from ..messages import tr
from .label_source import RESULT_CLASS, class_colors
from .polygon_file import LAYER_NAME, write_polygons

MODEL_FIELD = "model_id"
_SPARE_COLORS = ("#e6550d", "#2f7ed8", "#2e9e5b", "#8e5bd0", "#c2416b", "#d9b400", "#17a2b8")


def is_result(layer: Optional[object]) -> bool:
    """Return whether a layer is a result of ours: polygons with class and model."""
    if not isinstance(layer, QgsVectorLayer) or not layer.isValid():
        return False
    names = {field.name() for field in layer.fields()}
    return {RESULT_CLASS, MODEL_FIELD} <= names


def model_of(layer: QgsVectorLayer) -> Optional[ModelEntry]:
    """Return the model that made a result, None if it is not there any more."""
    index = layer.fields().lookupField(MODEL_FIELD)
    ids = layer.uniqueValues(index, 1) if index >= 0 else set()
    try:
        return find_model(str(next(iter(ids)))) if ids else None
    except EngineError:
        return None


def copy_path(layer: QgsVectorLayer) -> Path:
    """Return a free path for the labels: beside the result, or in a folder that is kept."""
    parts = QgsProviderRegistry.instance().decodeUri(layer.providerType(), layer.source())
    file = Path(str(parts.get("path") or "result.gpkg")).absolute()
    folder, passing = file.parent, (tempfile.gettempdir(), QgsProcessingUtils.tempFolder())
    passes = any(folder.is_relative_to(Path(place).absolute()) for place in passing if place)
    if passes or not file.is_file():
        folder = user_zoo().parent / "labels"
        folder.mkdir(parents=True, exist_ok=True)
    path, number = folder / f"{file.stem}_labels.gpkg", 2
    while path.exists():
        path, number = folder / f"{file.stem}_labels_{number}.gpkg", number + 1
    return path


def editable_copy(layer: QgsVectorLayer, project: QgsProject) -> QgsVectorLayer:
    """Add a copy of a result to the project, ready to be edited; call it in the GUI thread.

    The copy has the class as its only field, the colours of the result, and a list of the
    model's classes in its form.

    Raises:
        QgsProcessingException: If the file cannot be written, or there are no polygons.
    """
    path = copy_path(layer)
    write_polygons(layer, str(path), project.transformContext(), fields=(RESULT_CLASS,))
    title = tr("{name} · labels").format(name=layer.name())
    copy = QgsVectorLayer(f"{path}|layername={LAYER_NAME}", title, "ogr")
    colors = _all_colors(layer)
    copy.setRenderer(_renderer(colors))
    _list_classes(copy, list(colors))
    copy.saveStyleToDatabase(LAYER_NAME, "", True, "")
    project.addMapLayer(copy, False)
    project.layerTreeRoot().insertLayer(0, copy)
    copy.startEditing()
    return copy


def _all_colors(layer: QgsVectorLayer) -> Dict[str, str]:
    """Return the classes of the result and of its model with their colours."""
    entry = model_of(layer)
    colors: Dict[str, str] = {}
    if entry is not None and entry.card is not None:
        colors = {c.name: c.color for c in entry.card.classes if not c.background}
    colors.update(class_colors(layer, RESULT_CLASS))
    index = layer.fields().lookupField(RESULT_CLASS)
    names = sorted(str(name) for name in layer.uniqueValues(index) if name)
    for number, name in enumerate(name for name in names if name not in colors):
        colors[name] = _SPARE_COLORS[number % len(_SPARE_COLORS)]
    return colors


def _renderer(colors: Dict[str, str]) -> QgsCategorizedSymbolRenderer:
    categories: List[QgsRendererCategory] = []
    for name, color in colors.items():
        symbol = QgsFillSymbol.createSimple({"color": color, "outline_color": color})
        symbol.setOpacity(0.55)
        categories.append(QgsRendererCategory(name, symbol, name))
    rest = QgsFillSymbol.createSimple({"color": "#999999", "outline_color": "#555555"})
    rest.setOpacity(0.55)
    categories.append(QgsRendererCategory(None, rest, tr("another class")))
    return QgsCategorizedSymbolRenderer(RESULT_CLASS, categories)


def _list_classes(layer: QgsVectorLayer, names: List[str]) -> None:
    """Let people pick the class from a list, with the first one as the default."""
    index = layer.fields().lookupField(RESULT_CLASS)
    if index < 0 or not names:
        return
    values = {"map": [{name: name} for name in names]}
    layer.setEditorWidgetSetup(index, QgsEditorWidgetSetup("ValueMap", values))


def area_layer(box: QgsReferencedRectangle, name: str, project: QgsProject) -> QgsVectorLayer:
    """Add a temporary polygon layer with one box to the project: the ground that was looked at."""
    layer = QgsVectorLayer("Polygon", name, "memory")
    layer.setCrs(box.crs())
    feature = QgsFeature()
    feature.setGeometry(QgsGeometry.fromRect(box))
    layer.dataProvider().addFeature(feature)
    layer.updateExtents()
    symbol = QgsFillSymbol.createSimple({"style": "no", "outline_color": "#2f7ed8"})
    layer.renderer().setSymbol(symbol)
    project.addMapLayer(layer, False)
    project.layerTreeRoot().insertLayer(0, layer)
    return layer
