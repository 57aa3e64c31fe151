"""Classes of two layers are matched by name, and what cannot be matched is said."""

from __future__ import annotations

import numpy as np
import pytest

from engine.errors import LabelError
from engine.evaluate.class_names import class_texts, shared_classes


def test_spelling_does_not_matter() -> None:
    names, found, truth = shared_classes(["Paved_Road", "roof"], ["paved road", "Roof", "roof"])
    assert names == ["paved road", "Roof"]
    assert found.tolist() == [0, 1]
    assert truth.tolist() == [0, 1, 1]


def test_classes_of_one_side_only_are_kept() -> None:
    names, found, truth = shared_classes(["a", "b"], ["b", "c"])
    assert (names, found.tolist(), truth.tolist()) == (["a", "b", "c"], [0, 1], [1, 2])


def test_a_side_without_classes_takes_the_single_one_of_the_other() -> None:
    names, found, truth = shared_classes(["roof", "roof"], None)
    assert (names, found.tolist(), truth.tolist()) == (["roof"], [0, 0], [])
    assert shared_classes(None, None)[0] == ["object"]


def test_what_cannot_be_matched_is_said() -> None:
    with pytest.raises(LabelError, match=r"2 classes \(a, b\), the true ones have none"):
        shared_classes(["a", "b"], None)
    with pytest.raises(LabelError, match="predicted roof; true house") as caught:
        shared_classes(["roof"], ["house"])
    assert "rename" in caught.value.hint


def test_values_become_texts_and_missing_ones_are_counted() -> None:
    assert class_texts(np.array([1.0, 2.0]), "x") == ["1", "2"]
    assert class_texts(np.array([3, 4]), "x") == ["3", "4"]
    with pytest.raises(LabelError, match="2 of 4 polygons of layer 'x' have no class"):
        class_texts(np.array(["a", None, " ", "b"], object), "layer 'x'")
    with pytest.raises(LabelError, match="1 of 2"):
        class_texts(np.array([1.0, np.nan]), "x")
