"""Classes of labels: from values of a field to ids, names and colours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import LabelError
from ..zoo.card import ClassInfo
from .chip_folder import IGNORE_INDEX

BACKGROUND_NAME, BACKGROUND_COLOR = "background", "#000000"
PALETTE = (
    *("#e6550d", "#3182bd", "#31a354", "#fdd049", "#756bb1", "#e7298a", "#17becf"),
    *("#8c564b", "#bcbd22", "#636363", "#fa9fb5", "#1b4f72", "#a1d99b", "#c7a76c"),
)
_GOLDEN_TURN = 0.618034


def class_text(value: Any) -> str:
    """Return a value of a class field as text: ``1`` for 1.0, empty for a missing one."""
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return ""
    if isinstance(value, np.datetime64 | np.timedelta64) and np.isnat(value):
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


@dataclass(frozen=True)
class ClassList:
    """The classes of a folder of chips.

    Attributes:
        classes: Classes in the order of their ids.
        background: Id of ground outside all polygons: 0, or 255 (unknown).
    """

    classes: tuple[ClassInfo, ...]
    background: int

    def ids_of(self, texts: Iterable[str]) -> NDArray[np.int64]:
        """Return the class ids of values; 255 for values that are no class."""
        by_name = {c.name: c.id for c in self.classes}
        return np.array([by_name.get(text, IGNORE_INDEX) for text in texts], np.int64)


def make_class_list(
    names: Sequence[str], *, background: bool, colors: Mapping[str, str], drawn: Mapping[str, str]
) -> ClassList:
    """Return classes with ids from 1 and, if wanted, the background with id 0.

    Args:
        names: Names in the order of the ids.
        background: Whether ground outside all polygons is a class.
        colors: Colours that were asked for, by name.
        drawn: Colours of the style of the layer, by name.

    Raises:
        LabelError: If there is no class, or a name twice, or more than fit into a mask.
    """
    if background:  # polygons that were drawn as background are background
        names = [name for name in names if name != BACKGROUND_NAME]
    if not names:
        raise LabelError("the labels hold no class", "check the class field and its values")
    if len(names) >= IGNORE_INDEX:
        raise LabelError(
            f"the class field has {len(names)} different values, 254 fit into a mask",
            "choose another field, or name the classes to keep",
        )
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise LabelError(f"class {twice[0]!r} is named twice", "name each class once")
    classes = [
        ClassInfo(i, name, colors.get(name, drawn.get(name, palette_color(i - 1))))
        for i, name in enumerate(names, 1)
    ]
    if not background:
        return ClassList(tuple(classes), IGNORE_INDEX)
    shade = colors.get(BACKGROUND_NAME, BACKGROUND_COLOR)
    first = ClassInfo(0, BACKGROUND_NAME, shade, background=True)
    return ClassList((first, *classes), 0)


def sorted_names(texts: Iterable[str]) -> list[str]:
    """Return the different texts in order, numbers by their value; empty ones are left out."""

    def key(text: str) -> tuple[bool, float, str]:
        try:
            return False, float(text), text
        except ValueError:
            return True, 0.0, text

    return sorted({text for text in texts if text}, key=key)


def parse_colors(items: Iterable[str]) -> dict[str, str]:
    """Return ``{name: "#rrggbb"}`` of items ``NAME=#rrggbb``."""
    return {name: color.lower() for name, _, color in (item.rpartition("=") for item in items)}


def palette_color(index: int) -> str:
    """Return a colour that differs from those of the other classes; the first 14 are chosen."""
    if index < len(PALETTE):
        return PALETTE[index]
    hue = index * _GOLDEN_TURN % 1.0 * 6.0
    channels = (abs(hue - 3) - 1, 2 - abs(hue - 2), 2 - abs(hue - 4))
    values = (round(60 + 170 * min(max(value, 0.0), 1.0)) for value in channels)
    return "#" + "".join(f"{value:02x}" for value in values)
