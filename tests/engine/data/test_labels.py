"""Polygons burnt by pixel centres, on grids that are not square or not north-up."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine

from engine.data.labels import rasterize_polygons


@pytest.mark.parametrize(
    "transform",
    [
        Affine(1, 0, 0, 0, -1, 0),
        Affine(2, 0, 500_000, 0, -1, 4_000_000),
        Affine.translation(10, 20) @ Affine.rotation(30) @ Affine.scale(2, -1),
        Affine(1e-6, 0, 85.5, 0, -1e-6, 27.6),
    ],
)
def test_a_block_of_pixels(transform: Affine) -> None:
    corners = [(3, 2), (9, 2), (9, 5), (3, 5)]
    polygon = shapely.Polygon([transform @ corner for corner in corners])
    labels = rasterize_polygons([polygon], transform, (37, 61), class_ids=4)
    expected = np.zeros((37, 61), np.uint8)
    expected[2:5, 3:9] = 4
    assert np.array_equal(labels, expected)


def test_holes_stay_open_and_later_polygons_win() -> None:
    ring = shapely.Polygon(
        [(0, 0), (6, 0), (6, -6), (0, -6)], [[(2, -2), (4, -2), (4, -4), (2, -4)]]
    )
    cover = shapely.box(3, -4, 5, -3)
    labels = rasterize_polygons(
        [ring, cover, shapely.Polygon()], Affine(1, 0, 0, 0, -1, 0), (6, 6), class_ids=[1, 2, 3]
    )
    expected = np.ones((6, 6), np.uint8)
    expected[2:4, 2:4] = 0
    expected[3, 3:5] = 2
    assert np.array_equal(labels, expected)


def test_no_polygon_gives_background() -> None:
    labels = rasterize_polygons([], Affine.identity(), (3, 2), background_id=7)
    assert labels.tolist() == [[7, 7]] * 3


def test_counts_must_agree() -> None:
    with pytest.raises(ValueError, match="1 polygons, but 2"):
        rasterize_polygons([shapely.box(0, 0, 1, 1)], Affine.identity(), (2, 2), class_ids=[1, 2])
