"""Pictures of evaluations: real PNG and SVG, equal for equal input, right where it counts."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from engine.evaluate.coco_eval import instance_report
from engine.evaluate.confusion import ConfusionMatrix
from engine.evaluate.figures import (
    classes_figure,
    confusion_figure,
    curves_figure,
    metrics_figures,
)
from tests.engine.evaluate.coco_cases import random_case


def test_the_cells_of_a_matrix_have_the_color_of_their_share() -> None:
    """Two classes: the first is always right, the second always called the first."""
    picture = np.asarray(Image.open(io.BytesIO(confusion_figure([[7, 0], [5, 0]], ["a", "b"]))))
    colors = picture[..., :3].reshape(-1, 3)
    dark = (np.abs(colors.astype(int) - (8, 48, 107)) < 3).all(axis=1).sum()  # share 1
    light = (np.abs(colors.astype(int) - (247, 251, 255)) < 3).all(axis=1).sum()  # share 0
    assert dark > 2000
    assert 0.7 < dark / light < 1.3


def test_equal_input_gives_equal_bytes_and_svg_holds_the_names() -> None:
    arguments = ([[3, 1], [0, 4]], ["roof", "road & rail"])
    assert confusion_figure(*arguments) == confusion_figure(*arguments)
    svg = confusion_figure(*arguments, picture_format="svg")
    assert svg == confusion_figure(*arguments, picture_format="svg")
    assert b"road &amp; rail" in svg
    with pytest.raises(ValueError, match="gif"):
        confusion_figure(*arguments, picture_format="gif")


def test_all_pictures_of_both_kinds_of_record() -> None:
    matrix = ConfusionMatrix(3)
    matrix.add(np.array([0, 1, 1, 1]), np.array([0, 1, 0, 255]))
    assert set(metrics_figures(matrix.metrics("abc"))) == {"confusion.png", "classes.png"}
    report, _ = instance_report(*random_case(5))
    pictures = metrics_figures(report, "svg")
    assert set(pictures) == {"curves50.svg", "curves75.svg", "classes.svg"}
    assert b"mean of 3" in pictures["curves50.svg"]
    assert b"kind 1" in pictures["classes.svg"]


def test_missing_figures_are_drawn_as_missing() -> None:
    assert "–".encode() in classes_figure(
        [{"name": "a", "iou": None}], ["iou"], picture_format="svg"
    )
    curves = {"recall": [0, 1], "classes": [{"name": "a", "precision50": None}]}
    assert curves_figure(curves).startswith(b"\x89PNG")
