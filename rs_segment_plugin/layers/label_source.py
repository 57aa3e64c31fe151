"""Label layers for the engine: their file where it tells all, else a copy; classes and colours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsCoordinateTransformContext,
    QgsFeatureRequest,
    QgsFeatureSource,
    QgsFeedback,
    QgsFields,
    QgsProviderRegistry,
    QgsSingleSymbolRenderer,
    QgsSymbol,
    QgsVectorLayer,
)

from ..messages import tr
from .polygon_file import LAYER_NAME, write_polygons

PLAIN_ENDINGS = (".gpkg", ".shp", ".geojson", ".json", ".fgb")
MAX_CLASSES = 254
# Fields of our own results; they are styled by the number, and labelled with the name.
RESULT_ID, RESULT_CLASS = "class_id", "class_name"


@dataclass(frozen=True)
class LabelSource:
    """Polygons for the engine.

    Attributes:
        name: Name of the layer.
        path: File that the engine can read itself; empty if the polygons must be written first.
        layer: Layer of the file.
        source: Where the polygons come from, for the copy in another thread.
        field: Field to keep in the copy; empty for none.
    """

    name: str
    path: str
    layer: str
    source: QgsFeatureSource
    field: str = ""

    def file(
        self,
        copy: str,
        transform_context: QgsCoordinateTransformContext,
        feedback: Optional[QgsFeedback] = None,
    ) -> Tuple[str, str]:
        """Return file and layer for the engine; writes the GeoPackage ``copy`` if needed.

        Raises:
            QgsProcessingException: If the copy cannot be written, or there are no polygons.
        """
        if self.path:
            return self.path, self.layer
        fields = (self.field,) if self.field else ()
        write_polygons(self.source, copy, transform_context, feedback, fields=fields)
        return copy, LAYER_NAME


def label_source(
    source: QgsFeatureSource, layer: Optional[QgsVectorLayer], field: str = "", *, part: bool
) -> LabelSource:
    """Describe polygons for the engine; call it in the layer's thread.

    Args:
        source: The polygons as Processing sees them.
        layer: Their layer, if there is one.
        field: Field that the engine needs.
        part: Whether only some features of the layer are meant, for example the selected ones.
    """
    path, name = ("", "") if part or layer is None else plain_file(layer, field)
    title = layer.name() if layer is not None else source.sourceName()
    return LabelSource(title, path, name, source, field)


def plain_file(layer: QgsVectorLayer, field: str = "") -> Tuple[str, str]:
    """Return file and layer name where the file says the same as the layer, else empty texts.

    A layer with edits that are not saved, a filter, another CRS than its file, a computed
    class field, or a source that is no plain file must be written first.
    """
    provider = layer.dataProvider()
    if layer.providerType() != "ogr" or provider is None or layer.isModified():
        return "", ""
    parts = QgsProviderRegistry.instance().decodeUri("ogr", layer.source())
    path = str(parts.get("path") or "")
    special = any(parts.get(key) for key in ("openOptions", "authcfg", "vsiPrefix", "subset"))
    if special or layer.subsetString() or provider.crs() != layer.crs():
        return "", ""
    if not path.lower().endswith(PLAIN_ENDINGS) or not Path(path).is_file():
        return "", ""
    if field and not _is_stored(layer.fields(), field):
        return "", ""
    return str(Path(path).absolute()), str(parts.get("layerName") or "")


def _is_stored(fields: QgsFields, name: str) -> bool:
    """Return whether a field lies in the file: neither computed nor joined."""
    index = fields.lookupField(name)
    stored = getattr(QgsFields, "FieldOrigin", QgsFields).OriginProvider
    return index >= 0 and fields.fieldOrigin(index) == stored


def class_text(value: Any) -> str:
    """Return a class value as the engine names it, an empty text for a missing one."""
    if value is None or (hasattr(value, "isNull") and value.isNull()):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def count_classes(layer: QgsVectorLayer, field: str, limit: int = 200_000) -> Dict[str, int]:
    """Return the classes of a field with their number of polygons, sorted by name.

    The empty text counts polygons without a class. Looks at ``limit`` polygons at most.
    """
    index = layer.fields().lookupField(field)
    if index < 0:
        return {}
    request = QgsFeatureRequest().setSubsetOfAttributes([index]).setLimit(limit)
    request.setFlags(QgsFeatureRequest.Flag.NoGeometry)
    counts: Dict[str, int] = {}
    for feature in layer.getFeatures(request):
        name = class_text(feature.attribute(index))
        counts[name] = counts.get(name, 0) + 1
        if len(counts) > MAX_CLASSES + 1:
            break
    return dict(sorted(counts.items()))


def class_colors(layer: QgsVectorLayer, field: str, class_name: str = "") -> Dict[str, str]:
    """Return the colours that a layer's style gives to the classes, as ``#rrggbb``.

    Args:
        layer: Label layer.
        field: Class field; only a style by this field tells colours of its classes.
        class_name: Name of the single class where there is no field.
    """
    renderer = layer.renderer()
    if not field and class_name and isinstance(renderer, QgsSingleSymbolRenderer):
        return {class_name: renderer.symbol().color().name()}
    if not isinstance(renderer, QgsCategorizedSymbolRenderer):
        return {}
    attribute = renderer.classAttribute().strip('"')
    if attribute == RESULT_ID and field == RESULT_CLASS:
        return {item.label(): item.symbol().color().name() for item in renderer.categories()}
    return dict(_category_colors(renderer)) if attribute == field else {}


def _category_colors(renderer: QgsCategorizedSymbolRenderer) -> Iterator[Tuple[str, str]]:
    for category in renderer.categories():
        symbol: Optional[QgsSymbol] = category.symbol()
        value = category.value()
        values: Iterable[Any] = value if isinstance(value, (list, tuple)) else [value]
        for item in values:
            if class_text(item) and symbol is not None:
                yield class_text(item), symbol.color().name()


def color_words(colors: Dict[str, str]) -> List[str]:
    """Return colours as the job takes them, ``NAME=#rrggbb``."""
    return [f"{name}={color}" for name, color in colors.items()]


def likely_class_field(layer: QgsVectorLayer) -> str:
    """Return the field that most likely holds the class, an empty text if none does."""
    renderer = layer.renderer()
    if isinstance(renderer, QgsCategorizedSymbolRenderer):
        field = renderer.classAttribute().strip('"')
        if field == RESULT_ID and layer.fields().lookupField(RESULT_CLASS) >= 0:
            return RESULT_CLASS
        if layer.fields().lookupField(field) >= 0:
            return str(field)
    names = {field.name().lower(): field.name() for field in layer.fields()}
    for word in (RESULT_CLASS, "class", "klass", "label", "category", "type", RESULT_ID):
        if word in names:
            return str(names[word])
    return ""


def missing_class_text(counts: Dict[str, int]) -> str:
    """Return a sentence about polygons without a class, an empty text if there are none."""
    if not counts.get(""):
        return ""
    return tr("{count} polygons have no class and are left out.").format(count=counts[""])
