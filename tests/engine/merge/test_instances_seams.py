"""With a network without errors, every object comes out whole and once, for any tiles."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from engine.geo.mask_runs import masks_of_crops
from engine.geo.windows import window_starts
from engine.merge.instances import Detections, InstanceMerger, Instances, TileLayout
from tests.factories_instances import drawn_masks, object_scene, tile_detections

scene_of = cache(object_scene)


def layout_of(shape: tuple[int, int], tile_px: int, overlap_px: int) -> TileLayout:
    sides = [min(tile_px, side) for side in shape]
    starts = [
        tuple(window_starts(side, tile_px=tile, overlap_px=min(overlap_px, tile - 1)))
        for side, tile in zip(shape, sides, strict=True)
    ]
    return TileLayout(starts[0], starts[1], (sides[0], sides[1]), shape)


def merged(scene: np.ndarray, layout: TileLayout) -> list[Instances]:
    merger = InstanceMerger(layout)
    rows = range(len(layout.row_starts))
    return [merger.push(tile_detections(scene, layout, row)) for row in rows]


def check_whole(scene: np.ndarray, found: list[Instances]) -> None:
    """Every object is found once, with all its pixels, and with its own class and score."""
    numbers = []
    for step in found:
        for mask, kind, score in zip(
            drawn_masks(step.masks, scene.shape), step.class_id, step.score, strict=True
        ):
            number = int(scene[mask][0])
            assert np.array_equal(mask, scene == number)
            assert kind == 3 + 2 * (number % 3)
            assert score == pytest.approx(0.5 + (number * 37 % 125) / 250)
            numbers.append(number)
    assert sorted(numbers) == [n for n in np.unique(scene).tolist() if n]


@settings(max_examples=15)
@given(
    seed=st.integers(0, 5),
    tile=st.integers(30, 140),
    overlap=st.integers(1, 60),
    offset=st.tuples(st.integers(0, 16), st.integers(0, 16)),
)
def test_objects_are_whole_for_any_tiles(
    seed: int, tile: int, overlap: int, offset: tuple[int, int]
) -> None:
    scene = scene_of(140, 131, 45, largest_px=110, seed=seed)[offset[0] :, offset[1] :]
    found = merged(scene, layout_of(scene.shape, tile, min(overlap, 2 * tile // 3)))
    in_pieces = cut_by_the_offset(scene)
    check_whole(np.where(np.isin(scene, in_pieces), 0, scene), without(found, scene, in_pieces))


def cut_by_the_offset(scene: np.ndarray) -> list[int]:
    """Return objects that the edge of the scene left in several pieces: they may come so."""
    parts = {n: ndimage.label(scene == n, np.ones((3, 3)))[1] for n in np.unique(scene).tolist()}
    return [n for n, count in parts.items() if n and count > 1]


def without(found: list[Instances], scene: np.ndarray, numbers: list[int]) -> list[Instances]:
    kept = []
    for step in found:
        first = [int(scene[m][0]) for m in drawn_masks(step.masks, scene.shape)]
        index = np.flatnonzero(~np.isin(first, numbers)) if first else np.zeros(0, np.int64)
        kept.append(
            Instances(
                step.masks.take(index),
                step.class_id[index],
                step.score[index],
                step.pieces[index],
            )
        )
    return kept


def coarse(found: Detections, layout: TileLayout, random: np.random.Generator) -> Detections:
    """Return detections as a network draws them: rough edges, and no small scraps at seams."""
    window = layout.windows(found.tile)
    crops, boxes, kept = [], [], []
    for number, mask in enumerate(drawn_masks(found.masks, layout.shape_px)):
        row0, col0, row1, col1 = window[number]
        tile = mask[row0:row1, col0:col1]
        if tile.sum() < 30:
            continue
        soft = ndimage.gaussian_filter(tile.astype(float), 1.0, mode="nearest")
        rough = soft + ndimage.gaussian_filter(random.normal(0, 1, tile.shape), 2.0)
        crops.append((rough > 0.5).ravel())
        boxes.append(window[number])
        kept.append(number)
    pixels = np.concatenate([*crops, np.zeros(0, bool)]).astype(np.uint8)
    masks, drawn = masks_of_crops(pixels, np.array(boxes, np.int32).reshape(-1, 4))
    index = np.array(kept, np.int64)[drawn]
    return Detections(masks, found.class_id[index], found.score[index], found.tile[index])


@pytest.mark.parametrize(("tile", "overlap"), [(96, 32), (80, 40), (128, 24)])
def test_rough_masks_still_give_one_object_each(tile: int, overlap: int) -> None:
    """Objects of over 150 pixels in one piece are found once, most of the ground agreeing."""
    random = np.random.default_rng(4)
    scene = scene_of(300, 280, 60, largest_px=160, seed=11)
    layout = layout_of(scene.shape, tile, overlap)
    merger = InstanceMerger(layout)
    drawn = []
    for row in range(len(layout.row_starts)):
        found = merger.push(coarse(tile_detections(scene, layout, row), layout, random))
        drawn += drawn_masks(found.masks, scene.shape)
    numbers = [n for n in np.unique(scene).tolist() if n and (scene == n).sum() > 150]
    overlaps = np.array(
        [[(m & (scene == n)).sum() / (m | (scene == n)).sum() for m in drawn] for n in numbers]
    )
    assert (overlaps.max(axis=1) > 0.6).mean() >= 0.95
    assert ((overlaps > 0.3).sum(axis=1) == 1).mean() >= 0.95
    assert len(drawn) <= 1.1 * len(np.unique(scene))
