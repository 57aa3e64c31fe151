"""QGIS styles (QML, read by QGIS 3.22 and later) made from the classes of a model card."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from ..zoo.card import ClassInfo

FILL_ALPHA = 110
"""Opacity of polygons, of 255: the image stays visible below."""
OUTLINE_RATIO = 0.6
"""Brightness of outlines relative to the fill."""
OUTLINE_MM = 0.3

_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
_POLYGON_GEOMETRY = "2"


def class_layer_qml(classes: Sequence[ClassInfo]) -> str:
    """Return the style of a polygon layer: one category per class, by ``class_id``.

    Fills are half transparent in the colour of the class, outlines are darker. The legend
    shows the names of the classes, also for a single one.

    Args:
        classes: Classes in the order of the legend.
    """
    root = _root()
    renderer = ElementTree.SubElement(
        root,
        "renderer-v2",
        {
            "type": "categorizedSymbol",
            "attr": "class_id",
            "symbollevels": "0",
            "enableorderby": "0",
            "forceraster": "0",
        },
    )
    categories = ElementTree.SubElement(renderer, "categories")
    symbols = ElementTree.SubElement(renderer, "symbols")
    for index, info in enumerate(classes):
        entry = {
            "symbol": str(index),
            "value": str(info.id),
            "type": "long",
            "label": info.name,
            "render": "true",
        }
        ElementTree.SubElement(categories, "category", entry)
        _add_symbol(symbols, str(index), info.color)
    ElementTree.SubElement(root, "layerGeometryType").text = _POLYGON_GEOMETRY
    return _text(root)


def class_raster_qml(classes: Sequence[ClassInfo]) -> str:
    """Return the style of a class raster: opaque colours, background classes transparent.

    Args:
        classes: Classes in the order of the legend.
    """
    root = _root()
    pipe = ElementTree.SubElement(root, "pipe")
    renderer = ElementTree.SubElement(
        pipe,
        "rasterrenderer",
        {"type": "paletted", "band": "1", "opacity": "1", "alphaBand": "-1", "nodataColor": ""},
    )
    palette = ElementTree.SubElement(renderer, "colorPalette")
    for info in classes:
        entry = {
            "value": str(info.id),
            "color": info.color,
            "alpha": "0" if info.background else "255",
            "label": info.name,
        }
        ElementTree.SubElement(palette, "paletteEntry", entry)
    ElementTree.SubElement(pipe, "rasterresampler", {"maxOversampling": "2"})
    return _text(root)


def _root() -> ElementTree.Element:
    return ElementTree.Element("qgis", {"styleCategories": "Symbology", "version": "3.22.0"})


def _text(root: ElementTree.Element) -> str:
    ElementTree.indent(root)
    return _DOCTYPE + ElementTree.tostring(root, encoding="unicode") + "\n"


def _add_symbol(symbols: ElementTree.Element, name: str, color: str) -> None:
    """Add a fill symbol in a colour ``#rrggbb``."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    dark = [round(part * OUTLINE_RATIO) for part in (red, green, blue)]
    symbol = ElementTree.SubElement(
        symbols,
        "symbol",
        {"type": "fill", "name": name, "alpha": "1", "clip_to_extent": "1", "force_rhr": "0"},
    )
    layer = ElementTree.SubElement(
        symbol, "layer", {"class": "SimpleFill", "enabled": "1", "pass": "0", "locked": "0"}
    )
    options = ElementTree.SubElement(layer, "Option", {"type": "Map"})
    values = {
        "color": f"{red},{green},{blue},{FILL_ALPHA}",
        "style": "solid",
        "outline_color": f"{dark[0]},{dark[1]},{dark[2]},255",
        "outline_style": "solid",
        "outline_width": str(OUTLINE_MM),
        "outline_width_unit": "MM",
        "joinstyle": "miter",
    }
    for key, value in values.items():
        ElementTree.SubElement(options, "Option", {"name": key, "type": "QString", "value": value})
