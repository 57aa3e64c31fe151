"""Classes of labels: texts of values, ids, colours."""

from __future__ import annotations

import numpy as np
import pytest

from engine.data.class_list import (
    class_text,
    make_class_list,
    palette_color,
    parse_colors,
    sorted_names,
)
from engine.errors import LabelError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"), (np.float64(2), "2"), (1.5, "1.5"), (np.int64(7), "7"), (None, ""),
        (float("nan"), ""), (np.datetime64("NaT"), ""), (" roof ", "roof"), ("", ""),
        (True, "True"),
    ],
)  # fmt: skip
def test_texts(value, text):
    assert class_text(value) == text


def test_numbers_are_sorted_as_numbers():
    assert sorted_names(["10", "9", "roof", "", "-1", "Roof"]) == ["-1", "9", "10", "Roof", "roof"]


def test_ids_and_colours():
    found = make_class_list(
        ["b", "a"], background=True, colors={"a": "#010203"}, drawn={"a": "#ffffff", "b": "#0a0b0c"}
    )
    assert [(c.id, c.name, c.color, c.background) for c in found.classes] == [
        (0, "background", "#000000", True),
        (1, "b", "#0a0b0c", False),
        (2, "a", "#010203", False),
    ]
    assert found.ids_of(["a", "", "b", "background", "c"]).tolist() == [2, 255, 1, 0, 255]
    sparse = make_class_list(["a"], background=False, colors={}, drawn={})
    assert [c.id for c in sparse.classes] == [1] and sparse.background == 255


def test_polygons_drawn_as_background_are_background():
    names = ["background", "roof"]
    found = make_class_list(names, background=True, colors={}, drawn={})
    assert [c.id for c in found.classes] == [0, 1] and found.ids_of(["background"]).tolist() == [0]


@pytest.mark.parametrize(
    ("names", "message"),
    [([], "no class"), ([str(i) for i in range(255)], "255 different"), (["a", "a"], "twice")],
)
def test_lists_that_do_not_work(names, message):
    with pytest.raises(LabelError, match=message):
        make_class_list(names, background=True, colors={}, drawn={})


def test_colours_differ_and_names_may_hold_signs():
    assert parse_colors(["a=b=#FF0000"]) == {"a=b": "#ff0000"}
    colors = [palette_color(i) for i in range(254)]
    assert len(set(colors[:60])) == 60
    assert all(len(c) == 7 and int(c[1:], 16) >= 0 for c in colors)
