"""QGIS styles (QML, read by QGIS 3.22 and later) made from the classes of a model card."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ..zoo.card import ClassInfo

FILL_ALPHA = 110
"""Opacity of polygons, of 255: the image stays visible below."""
OUTLINE_RATIO = 0.6
"""Brightness of outlines relative to the fill."""
OUTLINE_MM = 0.3
GOLDEN_DEGREES = 137.508
"""Step of the hue from feature to feature: multiples of it never come close to each other soon."""
ONE_COLOR = "#808080"

_DOCUMENT = """<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis styleCategories="Symbology" version="3.22.0">
{body}
</qgis>
"""
_CATEGORIZED = """  <renderer-v2 type="categorizedSymbol" attr="class_id" symbollevels="0" \
enableorderby="0" forceraster="0">
    <categories>
{categories}
    </categories>
    <symbols>
{symbols}
    </symbols>
  </renderer-v2>
  <layerGeometryType>2</layerGeometryType>"""
_CATEGORY = """      <category symbol="{index}" value="{id}" type="long" label="{name}" \
render="true"/>"""
_SYMBOL = """      <symbol type="fill" name="{index}" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" enabled="1" pass="0" locked="0">
          <Option type="Map">
{options}
          </Option>{extra}
        </layer>
      </symbol>"""
_SINGLE = """  <renderer-v2 type="singleSymbol" symbollevels="0" enableorderby="0" \
forceraster="0">
    <symbols>
{symbol}
    </symbols>
  </renderer-v2>
  <layerGeometryType>2</layerGeometryType>"""
_PROPERTIES = """
          <data_defined_properties>
            <Option type="Map">
              <Option name="name" type="QString" value=""/>
              <Option name="properties" type="Map">
{properties}
              </Option>
              <Option name="type" type="QString" value="collection"/>
            </Option>
          </data_defined_properties>"""
_PROPERTY = """                <Option name="{name}" type="Map">
                  <Option name="active" type="bool" value="true"/>
                  <Option name="expression" type="QString" value="{expression}"/>
                  <Option name="type" type="int" value="3"/>
                </Option>"""
_OPTION = '            <Option name="{name}" type="QString" value="{value}"/>'
_PALETTED = """  <pipe>
    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">
      <colorPalette>
{entries}
      </colorPalette>
    </rasterrenderer>
    <rasterresampler maxOversampling="2"/>
  </pipe>"""
_ENTRY = '        <paletteEntry value="{id}" color="{color}" alpha="{alpha}" label="{name}"/>'


def class_layer_qml(classes: Sequence[ClassInfo]) -> str:
    """Return the style of a polygon layer: one category per class, by ``class_id``.

    Fills are half transparent in the colour of the class, outlines are darker. The legend
    shows the names of the classes, also for a single one.

    Args:
        classes: Classes in the order of the legend.
    """
    categories = "\n".join(
        _CATEGORY.format(index=index, id=info.id, name=escape(info.name))
        for index, info in enumerate(classes)
    )
    symbols = "\n".join(_symbol(index, info.color) for index, info in enumerate(classes))
    return _DOCUMENT.format(body=_CATEGORIZED.format(categories=categories, symbols=symbols))


def one_by_one_qml() -> str:
    """Return the style of a polygon layer that gives neighbouring features different colours.

    The hue goes round the circle by the golden angle from one feature to the next.
    """
    hue = f"($id * {GOLDEN_DEGREES}) % 360"
    colors = {
        "fillColor": f"color_hsla({hue}, 75, 50, {FILL_ALPHA})",
        "outlineColor": f"color_hsl({hue}, 75, 30)",
    }
    properties = "\n".join(
        _PROPERTY.format(name=name, expression=escape(expression))
        for name, expression in colors.items()
    )
    symbol = _symbol(0, ONE_COLOR, _PROPERTIES.format(properties=properties))
    return _DOCUMENT.format(body=_SINGLE.format(symbol=symbol))


def class_raster_qml(classes: Sequence[ClassInfo]) -> str:
    """Return the style of a class raster: opaque colours, background classes transparent.

    Args:
        classes: Classes in the order of the legend.
    """
    entries = "\n".join(
        _ENTRY.format(
            id=info.id,
            color=info.color,
            alpha=0 if info.background else 255,
            name=escape(info.name),
        )
        for info in classes
    )
    return _DOCUMENT.format(body=_PALETTED.format(entries=entries))


def _symbol(index: int, color: str, extra: str = "") -> str:
    """Return a fill symbol in a colour ``#rrggbb``; ``extra`` goes into its layer."""
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    fill = ",".join(str(part) for part in rgb)
    outline = ",".join(str(round(part * OUTLINE_RATIO)) for part in rgb)
    values = {
        "color": f"{fill},{FILL_ALPHA}",
        "style": "solid",
        "outline_color": f"{outline},255",
        "outline_style": "solid",
        "outline_width": str(OUTLINE_MM),
        "outline_width_unit": "MM",
        "joinstyle": "miter",
    }
    options = "\n".join(_OPTION.format(name=name, value=value) for name, value in values.items())
    return _SYMBOL.format(index=index, options=options, extra=extra)
