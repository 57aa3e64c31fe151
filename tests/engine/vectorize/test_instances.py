"""Polygons of objects: exact outlines, parts and holes, each object by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize

from engine.geo.features import FeatureBatch
from engine.geo.grid import Grid
from engine.geo.mask_runs import MaskRuns, masks_of_boxes, masks_of_crops
from engine.vectorize import instances as module
from engine.vectorize.instances import instance_features
from engine.vectorize.stream import VectorOptions
from tests.factories_instances import drawn_masks

SHAPE = (70, 90)
ROTATED = Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(2, -1)
GRID = Grid(*SHAPE, ROTATED, "EPSG:32633")


def random_masks(seed: int, count: int) -> MaskRuns:
    """Return masks of noise: many parts, holes and corners that touch; they overlap, too."""
    random = np.random.default_rng(seed)
    sides = random.integers(1, 25, (count, 2))
    corners = random.integers(0, 60, (count, 2)) % (np.array(SHAPE) - sides)
    crops = [random.random(s) < random.choice([0.4, 0.7, 0.95]) for s in sides]
    pixels = np.concatenate([c.ravel() for c in crops]).astype(np.uint8)
    return masks_of_crops(pixels, np.column_stack([corners, corners + sides]).astype(np.int32))[0]


def features(
    masks: MaskRuns, options: VectorOptions | None = None, grid: Grid = GRID
) -> FeatureBatch:
    """Return all features in one batch."""
    ids = np.arange(len(masks), dtype=np.int32)
    score = (ids / max(1, len(ids))).astype(np.float32)
    found = list(instance_features(masks, ids, score, grid, options or VectorOptions()))
    names = ("wkb", "class_id", "score", "area_m2", "perimeter_m")
    return FeatureBatch(*(np.concatenate([getattr(b, n) for b in found]) for n in names))


def painted(polygon: Any, grid: Grid = GRID) -> np.ndarray:
    return rasterize([polygon], out_shape=SHAPE, transform=grid.transform).astype(bool)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 30))
def test_every_object_covers_its_own_pixels(seed: int, count: int) -> None:
    masks = random_masks(seed, count)
    found = features(masks)
    polygons = shapely.from_wkb(found.wkb)
    assert found.class_id.tolist() == list(range(len(masks)))
    assert shapely.is_valid(polygons).all()
    assert (shapely.get_type_id(polygons) == shapely.GeometryType.MULTIPOLYGON).all()
    assert shapely.area(polygons) == pytest.approx(2.0 * masks.area_px, rel=1e-9)
    for polygon, mask in zip(polygons, drawn_masks(masks, SHAPE), strict=True):
        assert np.array_equal(painted(polygon), mask)


def test_ring_has_a_hole_and_measures_of_both_outlines() -> None:
    crop = np.ones((12, 10), np.uint8)
    crop[3:6, 3:7] = 0
    masks, _ = masks_of_crops(crop.ravel(), np.array([[20, 30, 32, 40]], np.int32))
    plane = Grid(*SHAPE, Affine(2.0, 0, 0, 0, -1.0, 0), "")
    found = features(masks, grid=plane)
    assert found.area_m2.tolist() == [2.0 * (120 - 12)]
    assert found.perimeter_m.tolist() == [2 * (12 + 20) + 2 * (3 + 8)]
    outline = shapely.from_wkb(found.wkb)[0].geoms[0]
    assert outline.exterior.bounds == (60.0, -32.0, 80.0, -20.0)
    assert [hole.bounds for hole in outline.interiors] == [(66.0, -26.0, 74.0, -23.0)]


def test_result_does_not_depend_on_how_the_canvas_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = random_masks(5, 25)
    options = VectorOptions(simplify_m=3.0)
    wanted = [features(masks), features(masks, options)]
    monkeypatch.setattr(module, "CANVAS_PX", 150)
    monkeypatch.setattr(module, "CANVAS_WIDTH_PX", 40)
    for found, other in zip([features(masks), features(masks, options)], wanted, strict=True):
        assert shapely.equals(shapely.from_wkb(found.wkb), shapely.from_wkb(other.wkb)).all()


def test_simplified_and_squared_objects_are_those_of_the_object_alone() -> None:
    masks = random_masks(9, 12)
    for options in (VectorOptions(simplify_m=4.0), VectorOptions(square=True)):
        together = shapely.from_wkb(features(masks, options).wkb)
        assert shapely.is_valid(together).all()
        for number, polygon in enumerate(together):
            alone = features(masks.take(np.array([number])), options)
            assert shapely.equals(polygon, shapely.from_wkb(alone.wkb)[0])


def test_staircase_becomes_a_straight_edge() -> None:
    crop = np.tril(np.ones((20, 20), np.uint8))
    masks, _ = masks_of_crops(crop.ravel(), np.array([[3, 4, 23, 24]], np.int32))
    outline = shapely.from_wkb(features(masks, VectorOptions(simplify_m=2.5)).wkb)[0]
    assert shapely.get_num_coordinates(outline) <= 6


def test_small_objects_are_left_out() -> None:
    masks = masks_of_boxes(np.array([[0, 0, 2, 2], [10, 10, 20, 20]], np.int32))
    found = features(masks, VectorOptions(min_area_m2=20.0))
    assert found.class_id.tolist() == [1]
    assert not list(
        instance_features(
            masks.take(np.zeros(0, np.int64)),
            np.zeros(0, np.int32),
            np.zeros(0, np.float32),
            GRID,
            VectorOptions(),
        )
    )
