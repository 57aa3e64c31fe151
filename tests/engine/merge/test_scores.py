"""Merging of score tiles: equal to a whole-raster mean, on odd shapes, to the pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.geo.windows import Window, iter_windows, window_starts
from engine.merge.blend import line_length
from engine.merge.scores import LabelRule, ScoreAccumulator, blend_weights


@given(length=st.integers(1, 200), overlap=st.integers(0, 199))
def test_weights_are_symmetric_positive_and_one_in_the_middle(length: int, overlap: int) -> None:
    weights = blend_weights(length, overlap)
    assert weights.shape == (length,)
    assert weights.dtype == np.float32
    assert np.array_equal(weights, weights[::-1])
    assert weights.min() > 0
    assert weights.max() <= 1
    if 2 * overlap < length:
        assert weights[length // 2] == pytest.approx(1.0)


def test_weights_by_hand() -> None:
    # ramp of 2 px: distances .5 and 1.5 of 2 -> sin²(22.5°) and sin²(67.5°)
    expected = [0.1464466, 0.8535534, 1.0, 0.8535534, 0.1464466]
    assert blend_weights(5, 2) == pytest.approx(expected, abs=1e-6)


def merge_whole(
    tiles: list[tuple[Window, np.ndarray]], shape: tuple[int, int, int], tile: int, overlap: int
) -> np.ndarray:
    """Return the weighted mean over the whole raster, the slow and obvious way."""
    sums, total = np.zeros(shape, np.float64), np.zeros(shape[1:], np.float64)
    for window, scores in tiles:
        weight = np.outer(
            blend_weights(window.height, overlap), blend_weights(window.width, overlap)
        )
        rows = slice(window.row_off, window.row_off + window.height)
        cols = slice(window.col_off, window.col_off + window.width)
        sums[:, rows, cols] += scores * weight
        total[rows, cols] += weight
    return sums / total


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 50),
    tile=st.integers(1, 40),
    data=st.data(),
)
def test_strips_equal_the_whole_raster_mean(
    height: int, width: int, tile: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, tile - 1))
    tile_h, tile_w = min(tile, height), min(tile, width)
    rng = np.random.default_rng(height * 1000 + width)
    starts = window_starts(height, tile_px=tile_h, overlap_px=min(overlap, tile_h - 1))
    columns = window_starts(width, tile_px=tile_w, overlap_px=min(overlap, tile_w - 1))
    merged = ScoreAccumulator(3, width, (tile_h, tile_w), overlap)
    tiles, strips = [], []
    for number, row in enumerate(starts):
        for column in columns:
            window = Window(row, column, tile_h, tile_w)
            scores = rng.dirichlet(np.ones(3), (tile_h, tile_w)).astype(np.float32)
            tiles.append((window, scores.transpose(2, 0, 1)))
            merged.add(window, scores)
        stop = starts[number + 1] if number + 1 < len(starts) else height
        strips.append(merged.flush(stop))
    labels = np.concatenate([s[0] for s in strips])
    scores = np.concatenate([s[1] for s in strips])
    mean = merge_whole(tiles, (3, height, width), tile, overlap)
    assert labels.shape == (height, width)
    chosen = np.take_along_axis(mean, labels[None].astype(int), 0)[0]
    assert np.all(chosen >= mean.max(0) - 1e-5)
    assert np.all(np.abs(scores / 254 - chosen) <= 0.5 / 254 + 1e-4)


def test_more_than_255_overlaps_do_not_wrap() -> None:
    merged = ScoreAccumulator(2, 1, (300, 1), 299)
    scores = np.full((300, 1, 2), (0.2, 0.8), np.float32)
    for _ in range(300):
        merged.add(Window(0, 0, 300, 1), scores)
    labels, quantised = merged.flush(300)
    assert np.all(labels == 1)
    assert np.all(quantised == round(0.8 * 254))


def test_pixels_without_a_tile_are_nodata() -> None:
    merged = ScoreAccumulator(2, 7, (3, 3), 0)
    scores = np.full((3, 3, 2), 0.5, np.float32)
    merged.add(Window(0, 3, 3, 3), scores)
    labels, quantised = merged.flush(3)
    assert np.array_equal(labels[0], [255, 255, 255, 0, 0, 0, 255])
    assert np.array_equal(quantised[0], [255, 255, 255, 127, 127, 127, 255])


def test_tile_outside_the_strip_is_refused() -> None:
    merged = ScoreAccumulator(1, 4, (2, 2), 0)
    with pytest.raises(ValueError, match="outside the strip"):
        merged.add(Window(1, 0, 2, 2), np.ones((2, 2, 1), np.float32))


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.0, [0, 1, 2, 0]), (0.3, [2, 1, 2, 1]), (0.5, [0, 1, 2, 0]), (0.65, [0, 1, 0, 0])],
)
def test_threshold_decides_between_foreground_and_background(
    threshold: float, expected: list[int]
) -> None:
    scores = np.array(
        [[[0.6, 0.1, 0.3], [0.1, 0.7, 0.2], [0.4, 0.0, 0.6], [0.5, 0.3, 0.2]]], np.float32
    )
    labels, values = LabelRule((0,), threshold).labels(scores * 2, np.full((1, 4), 2, np.float32))
    assert labels[0].tolist() == expected
    chosen = [scores[0, i, k] for i, k in enumerate(expected)]
    assert values[0].tolist() == [round(254 * float(value)) for value in chosen]


def test_threshold_without_background_leaves_unsure_pixels_out() -> None:
    scores = np.array([[[0.9, 0.1], [0.55, 0.45]]], np.float32)
    labels, values = LabelRule((), 0.6).labels(scores, np.ones((1, 2), np.float32))
    assert labels[0].tolist() == [0, 255]
    assert values[0].tolist() == [round(254 * 0.9), 255]


def test_background_alone_needs_no_score() -> None:
    scores = np.array([[[0.6, 0.4]]], np.float32)
    labels, _ = LabelRule((0, 1), 0.9).labels(scores, np.ones((1, 1), np.float32))
    assert labels.tolist() == [[0]]


@given(
    classes=st.integers(2, 6),
    spread=st.sampled_from([0.01, 3.0, 60.0, 1e4]),
    seed=st.integers(0, 1000),
)
def test_softmax_is_exact_to_single_precision(classes: int, spread: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = (rng.normal(size=(7, 9, classes)) * spread).astype(np.float32)
    powers = np.exp(logits.astype(np.float64) - logits.max(2, keepdims=True))
    exact = powers / powers.sum(2, keepdims=True)
    merged = ScoreAccumulator(classes, 9, (7, 9), 0)
    merged.add(Window(0, 0, 7, 9), logits, logits=True)
    labels, scores = merged.flush(7)
    best = np.take_along_axis(exact, labels[..., None].astype(int), 2)[..., 0]
    assert np.all(best >= exact.max(2) - 1e-6)
    assert np.all(np.abs(scores - 254 * best) <= 0.5 + 254 * 1e-6)


def test_what_lies_beyond_the_tile_is_left_out() -> None:
    merged = ScoreAccumulator(2, 4, (2, 3), 0)
    scores = np.zeros((4, 8, 2), np.float32)
    scores[:2, :3, 1] = 1
    merged.add(Window(0, 1, 2, 3), scores)
    labels, _ = merged.flush(2)
    assert labels.tolist() == [[255, 1, 1, 1]] * 2


def test_windows_and_starts_agree() -> None:
    rows = window_starts(37, tile_px=16, overlap_px=5)
    assert rows == [0, 11, 21]
    assert len(list(iter_windows(37, 61, tile_px=16, overlap_px=5))) == 3 * 6


@given(
    classes=st.integers(1, 7),
    threshold=st.sampled_from([0.0, 0.4, 0.9]),
    background=st.sampled_from([(), (0,)]),
    logits=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_pixels_decided_at_once_are_as_those_that_were_summed(
    classes: int, threshold: float, background: tuple[int, ...], logits: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    height, width, step = 11, 150, 139  # longer than a run of pixels in the kernel
    scores = rng.dirichlet(np.ones(classes), (2, height, width)).astype(np.float32)
    values = np.log(scores + 1e-6) if logits else scores
    found = []
    for early in (False, True):
        rule = LabelRule(background, threshold)
        merged = ScoreAccumulator(classes, step + width, (height, width), 11, rule)
        for column, tile, alone in (
            (0, values[0], ((0, height), (0, step))),
            (step, values[1], ((0, height), (width - step, width))),
        ):
            parts = alone if early else ((0, 0), (0, 0))
            merged.add(Window(0, column, height, width), tile, logits=logits, alone=parts)
        found.append(merged.flush(height))
    (labels, quality), (early_labels, early_quality) = found
    same = labels == early_labels
    assert same.mean() > 0.99  # a score may lie on the threshold but for the last bit
    difference = quality.astype(int) - early_quality.astype(int)
    assert np.abs(difference[same]).max(initial=0) <= 1


@pytest.mark.parametrize("width", [1023, 1024, 1030, 2048, 1500])
def test_lines_keep_away_from_powers_of_two(width: int) -> None:
    length = line_length(width)
    beyond = length % 1024
    assert width <= length <= width + 128
    assert min(beyond, 1024 - beyond) >= 16


def test_a_strip_of_1024_columns_gives_what_a_narrow_one_gives() -> None:
    scores = np.random.default_rng(4).random((5, 1024, 3), np.float32)
    wide = ScoreAccumulator(3, 1024, (5, 1024), 0)
    wide.add(Window(0, 0, 5, 1024), scores)
    sums, total = wide.take(3)
    assert np.array_equal(sums, scores[:3]) and (total == 1).all()
    labels, quality = wide.flush(5)
    assert np.array_equal(labels, scores[3:].argmax(axis=2))
    assert np.array_equal(quality, np.rint(254 * scores[3:].max(axis=2)))
