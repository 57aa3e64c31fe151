"""Squaring: drawn buildings come back with their corners."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import CRS
from rasterio import features
from shapely import affinity

from engine.geo.grid import Grid
from engine.geo.measure import surface_of
from engine.vectorize.stream import Strip, VectorOptions, vectorize

pytestmark = pytest.mark.timeout(900)  # the first call compiles

HALF_METRE = Affine(0.5, 0, 300_000, 0, -0.5, 3_000_000)
UTM = CRS.from_epsg(32645).to_wkt()


def squared(labels, transform=HALF_METRE, crs=UTM, *, ids=(1,), simplify_m=0.0):
    grid = Grid(*labels.shape, transform, crs)
    batches = vectorize(
        lambda: iter([Strip(0, labels, labels)]), grid, ids, VectorOptions(0, simplify_m, True)
    )
    return [p for batch in batches for p in shapely.from_wkb(batch.wkb)]


def draw(shapes_px, size=96):
    """Burn polygons given in (column, row) as class 1."""
    return features.rasterize([(s, 1) for s in shapes_px], (size, size)).astype(np.uint8)


def to_map(shape_px, transform=HALF_METRE):
    return affinity.affine_transform(shape_px, transform.to_shapely())


def iou(a, b):
    return a.intersection(b).area / a.union(b).area


def corner_angles(ring):
    """Return the turning angles of a closed ring in degrees."""
    steps = np.diff(np.asarray(ring.coords), axis=0)
    heading = np.degrees(np.arctan2(steps[:, 1], steps[:, 0]))
    turn = np.diff(np.append(heading, heading[0]))
    return (turn + 180) % 360 - 180


@pytest.mark.parametrize("angle", np.arange(0, 180, 7.5))
def test_a_rotated_rectangle_has_four_right_angles(angle):
    drawn = affinity.rotate(shapely.box(20.3, 30.6, 64.3, 54.6), angle)
    (polygon,) = squared(draw([drawn]))
    assert len(polygon.exterior.coords) == 5
    assert np.abs(np.abs(corner_angles(polygon.exterior)) - 90).max() < 0.01
    assert iou(polygon, to_map(drawn)) > 0.93
    assert polygon.is_valid and polygon.exterior.is_ccw


@pytest.mark.parametrize("angle", [0, 18, 40, 77])
def test_an_l_shape_with_a_courtyard_keeps_its_form(angle):
    plan = shapely.box(20, 20, 70, 45) | shapely.box(20, 45, 45, 75)
    drawn = affinity.rotate(plan - shapely.box(28, 27, 40, 38), angle, origin=(45, 48))
    (polygon,) = squared(draw([drawn]))
    assert len(polygon.exterior.coords) == 7 and len(polygon.interiors) == 1
    assert len(polygon.interiors[0].coords) == 5
    for ring in (polygon.exterior, *polygon.interiors):
        assert np.abs(np.abs(corner_angles(ring)) - 90).max() < 0.01
    assert iou(polygon, to_map(drawn)) > 0.93


def test_right_angles_are_right_on_the_ground_for_long_pixels_and_degrees():
    wgs84 = CRS.from_epsg(4326).to_wkt()
    grid_map = Affine(1e-5, 0, 85.5, 0, -0.5e-5, 55)  # 0.64 m by 0.56 m at 55° north
    grid = Grid(96, 96, grid_map, wgs84)
    height_m, width_m = grid.pixel_size_m
    house_m = affinity.rotate(shapely.box(-12, -8, 12, 8), 25)
    drawn = affinity.affine_transform(house_m, [1 / width_m, 0, 0, 1 / height_m, 48, 48])
    (polygon,) = squared(draw([drawn]), grid_map, wgs84)
    assert len(polygon.exterior.coords) == 5
    points = surface_of(wgs84).points(np.asarray(polygon.exterior.coords))
    steps = np.diff(points, axis=0)
    steps /= np.linalg.norm(steps, axis=1)[:, None]
    cosines = (steps * np.roll(steps, 1, axis=0)).sum(axis=1)
    assert np.degrees(np.abs(np.arcsin(cosines))).max() < 0.01
    assert iou(polygon, to_map(drawn, grid_map)) > 0.93


def test_a_rotated_grid_gives_the_same_house():
    rotated = HALF_METRE @ Affine.rotation(33)
    drawn = affinity.rotate(shapely.box(20, 30, 64, 54), 50)
    (polygon,) = squared(draw([drawn]), rotated)
    assert len(polygon.exterior.coords) == 5
    assert np.abs(np.abs(corner_angles(polygon.exterior)) - 90).max() < 0.01
    assert iou(polygon, to_map(drawn, rotated)) > 0.93


def test_a_round_tank_keeps_its_simplified_outline_or_its_overlap():
    drawn = shapely.Point(48, 48).buffer(30)
    (polygon,) = squared(draw([drawn]))
    assert polygon.is_valid and iou(polygon, to_map(drawn)) >= 0.8


def test_regions_with_a_common_border_keep_it():
    labels = draw([affinity.rotate(shapely.box(20, 20, 70, 60), 20)])
    labels[(labels == 1) & (np.arange(96) > 45)] = 2
    polygons = squared(labels, ids=(1, 2))
    assert shapely.coverage_is_valid(polygons)
    assert polygons[0].intersection(polygons[1]).length > 10


def test_small_and_thin_regions_survive():
    labels = np.zeros((40, 40), np.uint8)
    labels[3, 3] = labels[10, 5:30] = 1
    labels[20:22, 8] = labels[22, 9] = labels[23, 10] = 1
    labels[30:34, 30:34] = 1
    polygons = squared(labels)
    assert len(polygons) == 6
    assert all(p.is_valid and p.area > 0 for p in polygons)
    assert any(p.equals(to_map(shapely.box(30, 30, 34, 34))) for p in polygons)


def test_random_blobs_stay_valid():
    rng = np.random.default_rng(4)
    labels = (rng.random((80, 80)) < 0.35).astype(np.uint8)
    polygons = squared(labels)
    assert shapely.is_valid(polygons).all()
    assert all(p.exterior.is_ccw for p in polygons)
