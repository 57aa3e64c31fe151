"""Merging of instances: hand-worked joins, a brute-force reference, and streaming."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.geo.mask_runs import masks_of_boxes, masks_of_crops
from engine.merge.instances import (
    Detections,
    InstanceMerger,
    Instances,
    TileLayout,
    join_detections,
)
from engine.merge.instances_pairs import (
    meeting_boxes,
    pixels_in_windows,
    shared_pixels,
    suppress,
)
from engine.merge.instances_warm import warm_up_instances
from tests.factories_instances import drawn_masks

LAYOUT = TileLayout((0, 24), (0, 24), (40, 40), (64, 64))
"""Four tiles of 40 px that share 16 px; cores meet at 32."""

KERNELS = (meeting_boxes, pixels_in_windows, shared_pixels, suppress)

Part = tuple[tuple[int, int], np.ndarray, float, int]


def pixels(*boxes: tuple[int, int, int, int], without: tuple[int, ...] = ()) -> np.ndarray:
    """Return a 64 x 64 mask of boxes (row, column, end row, end column), less one of them."""
    mask = np.zeros((64, 64), bool)
    for row0, col0, row1, col1 in boxes:
        mask[row0:row1, col0:col1] = True
    if without:
        mask[without[0] : without[2], without[1] : without[3]] = False
    return mask


def seen(tile: tuple[int, int], mask: np.ndarray, score: float = 0.9, kind: int = 1) -> Part:
    """Return what a tile sees of a mask: the part inside the tile."""
    row, column = 24 * tile[0], 24 * tile[1]
    window = np.zeros_like(mask)
    window[row : row + 40, column : column + 40] = True
    return tile, mask & window, score, kind


def detections(parts: list[Part]) -> Detections:
    crops = np.concatenate([p[1].ravel() for p in parts]).astype(np.uint8)
    box = np.tile(np.array([0, 0, 64, 64], np.int32), (len(parts), 1))
    masks, kept = masks_of_crops(crops, box)
    assert len(kept) == len(parts), "a detection has no pixel"
    tiles = np.array([p[0] for p in parts], np.int32)
    return Detections(
        masks,
        np.array([p[3] for p in parts], np.int32),
        np.array([p[2] for p in parts], np.float32),
        tiles,
    )


def merge(parts: list[Part], layout: TileLayout = LAYOUT) -> list[Instances]:
    """Push the parts row by row; returns what each push gave."""
    merger = InstanceMerger(layout)
    rows = [[p for p in parts if p[0][0] == row] for row in range(len(layout.row_starts))]
    return [merger.push(detections(row) if row else join_detections([])) for row in rows]


def merged(parts: list[Part]) -> list[tuple[np.ndarray, float, int]]:
    """Return mask, score and class of all objects."""
    return [
        (mask, round(float(score), 4), int(kind))
        for step in merge(parts)
        for mask, score, kind in zip(
            drawn_masks(step.masks, (64, 64)), step.score, step.class_id, strict=True
        )
    ]


def test_object_over_four_tiles_is_one_with_its_hole_and_the_best_score() -> None:
    ring = pixels((10, 10, 60, 60), without=(28, 28, 36, 36))
    parts = [seen((r, c), ring, 0.6 + 0.1 * r + 0.05 * c) for r in (0, 1) for c in (0, 1)]
    ((mask, score, _),) = merged(parts)
    assert np.array_equal(mask, ring)
    assert score == pytest.approx(0.75)


def test_pieces_of_different_classes_are_not_joined() -> None:
    bar = pixels((5, 0, 15, 64))
    found = merged([seen((0, 0), bar, 0.9, 1), seen((0, 1), bar, 0.8, 2)])
    assert sorted((kind, int(mask.sum())) for mask, _, kind in found) == [(1, 400), (2, 400)]


def test_whole_view_replaces_the_piece_of_the_neighbour() -> None:
    house = pixels((5, 28, 15, 52))
    found = merged([seen((0, 0), house, 0.99), seen((0, 1), house, 0.55)])
    assert len(found) == 1
    assert np.array_equal(found[0][0], house)
    assert found[0][1] == pytest.approx(0.55)


def test_touching_objects_stay_apart_across_a_seam() -> None:
    upper, lower = pixels((4, 2, 12, 62)), pixels((12, 2, 20, 62))
    parts = [seen((0, c), m) for c in (0, 1) for m in (upper, lower)]
    found = merged(parts)
    assert [int(mask.sum()) for mask, *_ in found] == [480, 480]
    assert np.array_equal(found[0][0], upper)


def test_two_prongs_in_one_tile_join_through_the_base_in_the_next() -> None:
    upper, lower = pixels((4, 2, 8, 58)), pixels((14, 2, 18, 58))
    fork = upper | lower | pixels((4, 50, 18, 58))
    found = merged([seen((0, 0), upper), seen((0, 0), lower), seen((0, 1), fork)])
    assert len(found) == 1
    assert np.array_equal(found[0][0], fork)


def test_of_two_whole_views_the_owner_stays_even_with_a_lower_score() -> None:
    house = pixels((5, 26, 15, 36))  # centre 31: the left core, which ends at 32
    other = pixels((5, 27, 15, 36))
    found = merged([seen((0, 0), house, 0.6), seen((0, 1), other, 0.9)])
    assert [(int(m.sum()), s) for m, s, _ in found] == [(100, pytest.approx(0.6))]


def test_without_its_owner_a_whole_view_is_not_lost() -> None:
    house = pixels((5, 28, 15, 38))  # centre 33: the right core, but only the left tile saw it
    assert len(merged([seen((0, 0), house, 0.6)])) == 1


def test_sliver_that_the_better_view_does_not_know_is_dropped() -> None:
    """A piece at the edge of one tile in the middle of another that sees nothing there."""
    sliver = pixels((5, 35, 9, 40))
    assert merged([seen((0, 0), sliver, 0.9)]) == []
    at_the_raster_edge = pixels((5, 59, 9, 64))
    assert len(merged([seen((0, 1), at_the_raster_edge, 0.9)])) == 1


def test_masks_that_stop_short_of_the_seam_still_join() -> None:
    """Networks draw masks coarsely: a bar of 60 px ends 1 px before the tile does."""
    bar = pixels((5, 2, 15, 62))
    left, right = bar & pixels((0, 0, 64, 39)), bar & pixels((0, 25, 64, 64))
    found = merged([seen((0, 0), left), seen((0, 1), right)])
    assert len(found) == 1
    assert np.array_equal(found[0][0], bar)


def test_view_that_saw_a_part_only_gives_way_to_the_one_that_goes_beyond() -> None:
    """The left tile knows one of two far parts, and could not see the other."""
    near, far = pixels((5, 28, 15, 36)), pixels((5, 50, 15, 60))
    found = merged([seen((0, 0), near, 0.9), seen((0, 1), near | far, 0.6)])
    assert len(found) == 1
    assert np.array_equal(found[0][0], near | far)


def test_doubles_in_one_tile_leave_the_higher_score() -> None:
    house, shifted = pixels((2, 2, 12, 12)), pixels((3, 2, 13, 12))
    nested = pixels((4, 4, 8, 8))
    found = merged([seen((0, 0), house, 0.7), seen((0, 0), shifted, 0.8), seen((0, 0), nested)])
    assert sorted((int(m.sum()), s) for m, s, _ in found) == [
        (16, pytest.approx(0.9)),
        (100, pytest.approx(0.8)),
    ]


def test_rows_of_tiles_come_in_order() -> None:
    merger = InstanceMerger(LAYOUT)
    with pytest.raises(ValueError, match="row 0 of 2"):
        merger.push(detections([seen((1, 0), pixels((50, 5, 55, 9)))]))
    for _ in range(2):
        merger.push(join_detections([]))
    with pytest.raises(ValueError, match="row 2 of 2"):
        merger.push(join_detections([]))


def test_objects_leave_as_soon_as_no_tile_can_see_them() -> None:
    """Rows below 24 are final after the first row of tiles; what reaches further waits."""
    above, across = pixels((2, 2, 12, 12)), pixels((14, 30, 34, 40))
    steps = merge([seen((0, 0), above), seen((0, 0), across), seen((1, 0), across)])
    assert [len(step) for step in steps] == [1, 1]
    assert np.array_equal(drawn_masks(steps[1].masks, (64, 64))[0], across)


def brute_force(parts: list[Part]) -> set[int]:
    """Keep the best of all pairs whose masks share half of their union, one after another."""
    order = sorted(range(len(parts)), key=lambda k: -parts[k][2])
    kept: list[int] = []
    for k in order:
        _, mask, _, kind = parts[k]
        rivals = [parts[j][1] for j in kept if parts[j][3] == kind]
        if all((mask & r).sum() < 0.5 * (mask | r).sum() for r in rivals):
            kept.append(k)
    return set(kept)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 40))
def test_doubles_are_removed_as_by_brute_force(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    parts = []
    for _ in range(count):
        row, column = random.integers(2, 22, 2)
        height, width = random.integers(3, 14, 2)
        mask = pixels((row, column, min(row + height, 29), min(column + width, 29)))
        mask &= random.random(mask.shape) < 0.9
        mask[row, column] = True
        parts.append(seen((0, 0), mask, float(random.random()), int(random.integers(2))))
    kept = brute_force(parts)
    wanted = sorted((round(parts[k][2], 4), int(parts[k][1].sum())) for k in kept)
    assert sorted((s, int(m.sum())) for m, s, _ in merged(parts)) == wanted


def crowd(rows: int, per_row: int, seed: int) -> tuple[TileLayout, list[Detections]]:
    """Return noisy detections of boxes in a tall raster of three columns of tiles."""
    random = np.random.default_rng(seed)
    starts = tuple(range(0, 96 * rows, 96))
    layout = TileLayout(starts, (0, 96, 192), (128, 128), (starts[-1] + 128, 320))
    corner = random.integers(0, [layout.shape_px[0] - 60, 260], (rows * per_row, 2))
    ends = corner + random.integers(4, 60, corner.shape)
    found = []
    for row, top in enumerate(starts):
        parts = []
        for column, left in enumerate(layout.column_starts):
            window = np.array([top, left, top + 128, left + 128])
            low, high = np.maximum(corner, window[:2]), np.minimum(ends, window[2:])
            inside = (low < high).all(axis=1) & (random.random(len(corner)) < 0.9)
            box = np.column_stack([low, high])[inside].astype(np.int32)
            tile = np.tile(np.array([row, column], np.int32), (len(box), 1))
            score = random.random(len(box)).astype(np.float32)
            kind = (np.flatnonzero(inside) % 2).astype(np.int32)
            parts.append(Detections(masks_of_boxes(box), kind, score, tile))
        found.append(join_detections(parts))
    return layout, found


def rows_of(steps: list[Instances]) -> list[tuple[object, ...]]:
    return sorted(
        (*box, kind, score, area, pieces)
        for step in steps
        for box, kind, score, area, pieces in zip(
            step.masks.box.tolist(),
            step.class_id.tolist(),
            step.score.tolist(),
            step.masks.area_px.tolist(),
            step.pieces.tolist(),
            strict=True,
        )
    )


@pytest.mark.parametrize("seed", range(3))
def test_streaming_gives_what_all_detections_at_once_give(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, found = crowd(12, 30, seed)
    merger = InstanceMerger(layout)
    streamed = [merger.push(row) for row in found]
    whole = InstanceMerger(layout)
    monkeypatch.setattr("engine.merge.instances.finished_below", lambda *_: -1)
    assert all(len(whole.push(row)) == 0 for row in found[:-1])
    monkeypatch.undo()
    at_once = whole.push(found[-1])
    assert sum(map(len, streamed[:6])) > 0
    assert rows_of(streamed) == rows_of([at_once])


def test_memory_does_not_grow_with_the_height() -> None:
    def most_held(rows: int) -> int:
        layout, found = crowd(rows, 30, 1)
        merger, held = InstanceMerger(layout), []
        for row in found:
            merger.push(row)
            held.append(merger.open_bytes)
        assert held[-1] < 100  # nothing is left but the empty arrays
        return max(held)

    assert most_held(60) < 2 * most_held(10)


def test_warming_up_compiles_every_kernel_for_the_types_of_a_run() -> None:
    warm_up_instances()
    before = {kernel: len(kernel.signatures) for kernel in KERNELS}
    assert set(before.values()) == {1}
    merged([seen((0, c), pixels((4, 2, 12, 62))) for c in (0, 1)])
    assert {kernel: len(kernel.signatures) for kernel in KERNELS} == before
