"""Classes of two sides matched by name, with messages that show both lists."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import LabelError

ONE_CLASS = "object"


def folded(name: str) -> str:
    """Return a name without the differences that do not matter: case, spaces, ``_`` and ``-``."""
    return " ".join(name.replace("_", " ").replace("-", " ").casefold().split())


def class_texts(values: Iterable[Any], where: str) -> list[str]:
    """Return the values of a class field as texts; whole floating numbers lose their ``.0``.

    Raises:
        LabelError: If a value is missing; the message names ``where`` and the count.
    """
    texts = [_text(value) for value in values]
    if missing := texts.count(""):
        raise LabelError(
            f"{missing} of {len(texts)} polygons of {where} have no class",
            "fill in the class field, or choose another one",
        )
    return texts


def _text(value: Any) -> str:
    if value is None or (isinstance(value, (float, np.floating)) and math.isnan(value)):
        return ""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def are_numbers(texts: Iterable[str]) -> bool:
    """Return whether all texts are whole numbers."""
    return all(text.lstrip("-").isdigit() for text in texts)


def shared_classes(
    found: Sequence[str] | None, truth: Sequence[str] | None
) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """Return the classes of two sides and the class index of each of their polygons.

    A side without classes takes the single class of the other one.

    Args:
        found: Class of each found polygon; None if they have none.
        truth: Class of each true polygon; None if they have none.

    Returns:
        Names, those of the truth first, and the indices of both sides; a side without classes
        has an empty array, which means index 0 throughout.

    Raises:
        LabelError: If one side has several classes and the other none, or none are common.
    """
    if found is None or truth is None:
        names = _distinct(found or truth or [])
        if len(names) > 1:
            side, other = ("predicted", "true") if truth is None else ("true", "predicted")
            raise LabelError(
                f"the {side} polygons have {len(names)} classes ({_listed(names)}), "
                f"the {other} ones have none",
                f"name the class field of the {other} layer, or filter the {side} one",
            )
        found_kind, truth_kind = (np.zeros(len(side or ()), np.int64) for side in (found, truth))
        return names or [ONE_CLASS], found_kind, truth_kind
    names = _distinct([*truth, *found])
    place = {folded(name): index for index, name in enumerate(names)}
    found_kind, truth_kind = (
        np.array([place[folded(n)] for n in side], np.int64) for side in (found, truth)
    )
    if len(found_kind) and not np.isin(found_kind, truth_kind).any():
        raise LabelError(
            f"no class is common: predicted {_listed(_distinct(found))}; "
            f"true {_listed(_distinct(truth))}",
            "choose the fields with the same classes, or rename the classes of one layer",
        )
    return names, found_kind, truth_kind


def _distinct(names: Sequence[str]) -> list[str]:
    """Return the different names in the order of the alphabet, spelt as they come first."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(folded(name), name)
    return [first[key] for key in sorted(first)]


def _listed(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(names[:most]) or "none"
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
