"""What can be said about the parameters of ``rssegment:segment`` before the run starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict

from qgis.core import QgsProcessingContext, QgsProviderRegistry, QgsRasterLayer

from ..engine_api import EngineError, find_model
from ..messages import tr, with_hint
from .parameters import BANDS, OUTPUT, OVERLAP, RASTER, TILE
from .segment_parameters import CLASS_RASTER, EXTENT, SCORE_RASTER

if TYPE_CHECKING:
    from .segment import SegmentAlgorithm

MEMORY_OUTPUTS = ("memory:", "ogr:", "postgis:", "spatialite:")


def check_segment(
    algorithm: SegmentAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> str:
    """Return what is wrong and what to do, an empty text if nothing is."""
    layer = algorithm.parameterAsRasterLayer(parameters, RASTER, context)
    bands = algorithm.parameterAsInts(parameters, BANDS, context)
    return (
        _check_model(algorithm.model_name(parameters, context), bands)
        or _check_bands(layer, bands)
        or _check_extent(algorithm, parameters, context, layer)
        or _check_tile(algorithm, parameters, context)
        or _check_outputs(algorithm, parameters, context)
    )


def _check_model(model: str, bands: Any) -> str:
    if not model:
        return with_hint(tr("No model is chosen."), tr("Choose a model or a model folder."))
    try:
        card = find_model(model).card
    except EngineError as error:
        return with_hint(error.message, error.hint)
    if card is not None and bands and len(bands) != len(card.bands):
        message = tr("{n} bands are chosen, the model needs {m}: {names}")
        names = ", ".join(band.name for band in card.bands)
        return message.format(n=len(bands), m=len(card.bands), names=names)
    return ""


def _check_bands(layer: Any, bands: Any) -> str:
    if not isinstance(layer, QgsRasterLayer) or not layer.bandCount():
        return ""
    wrong = [band for band in bands if not 1 <= band <= layer.bandCount()]
    if not wrong:
        return ""
    message = tr("The raster has no band {band}, only 1 to {count}.")
    return message.format(band=wrong[0], count=layer.bandCount())


def _check_extent(
    algorithm: SegmentAlgorithm,
    parameters: Dict[str, Any],
    context: QgsProcessingContext,
    layer: Any,
) -> str:
    if parameters.get(EXTENT) in (None, "") or not isinstance(layer, QgsRasterLayer):
        return ""
    extent = algorithm.parameterAsExtent(parameters, EXTENT, context, layer.crs())
    if extent.isNull() or not (extent.width() > 0 and extent.height() > 0):
        return with_hint(tr("The extent has no area."), tr("Choose another extent."))
    if not layer.extent().isEmpty() and not layer.extent().intersects(extent):
        return with_hint(
            tr("The extent does not touch the raster."),
            tr("Choose an extent inside the raster, and check the CRS of both."),
        )
    return ""


def _check_tile(
    algorithm: SegmentAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> str:
    if parameters.get(TILE) in (None, "") or parameters.get(OVERLAP) in (None, ""):
        return ""
    tile_px = algorithm.parameterAsInt(parameters, TILE, context)
    overlap_px = algorithm.parameterAsInt(parameters, OVERLAP, context)
    if tile_px and overlap_px >= tile_px:
        message = tr("The overlap of {overlap} px is not smaller than the tile of {tile} px.")
        return message.format(overlap=overlap_px, tile=tile_px)
    return ""


def _check_outputs(
    algorithm: SegmentAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> str:
    for name, endings, kind in (
        (OUTPUT, (".gpkg",), "GeoPackage"),
        (CLASS_RASTER, (".tif", ".tiff"), "GeoTIFF"),
        (SCORE_RASTER, (".tif", ".tiff"), "GeoTIFF"),
    ):
        path = _chosen_path(parameters.get(name), context)
        if not path or path == "TEMPORARY_OUTPUT":
            continue
        if path.startswith(MEMORY_OUTPUTS) or not path.lower().endswith(endings):
            message = tr("{name} '{path}' is not a {kind}.").format(name=name, path=path, kind=kind)
            return with_hint(message, tr("End its name in {ending}.").format(ending=endings[0]))
        shown = _layer_that_shows(path, context)
        if shown:
            message = tr("{path} is shown by the layer '{layer}'.")
            return with_hint(
                message.format(path=path, layer=shown),
                tr("Choose another name, or remove the layer from the project first."),
            )
    return ""


def _chosen_path(value: Any, context: QgsProcessingContext) -> str:
    """Return the path of a destination as the user gave it, empty if none was given."""
    sink = getattr(value, "sink", None)
    if sink is not None:
        value = sink.valueAsString(context.expressionContext())[0]
    return value.split("|", 1)[0] if isinstance(value, str) else ""


def _layer_that_shows(path: str, context: QgsProcessingContext) -> str:
    """Return the name of a layer of the project that has this file open, else an empty text."""
    project = context.project()
    if project is None:
        return ""
    wanted = _comparable(path)
    registry = QgsProviderRegistry.instance()
    for layer in project.mapLayers().values():
        if layer.providerType() not in ("ogr", "gdal"):
            continue
        found = registry.decodeUri(layer.providerType(), layer.source()).get("path") or ""
        if found and _comparable(found) == wanted:
            return str(layer.name())
    return ""


def _comparable(path: str) -> str:
    return os.path.normcase(Path(path).absolute())
