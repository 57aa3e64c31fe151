"""Windows cover every pixel once per place, stay inside and have one size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.geo.windows import Window, iter_windows, window_starts


@given(h=st.integers(1, 300), w=st.integers(1, 300), tile=st.integers(1, 128), data=st.data())
def test_windows_cover_every_pixel_never_leave_and_are_equal_in_size(h, w, tile, data):
    overlap = data.draw(st.integers(0, tile - 1).filter(lambda o: (h // (tile - o)) < 60))
    windows = list(iter_windows(h, w, tile_px=tile, overlap_px=overlap))
    hits = np.zeros((h, w), np.int32)
    for window in windows:
        assert window.row_off >= 0 and window.row_end <= h
        assert window.col_off >= 0 and window.col_end <= w
        hits[window.row_off : window.row_end, window.col_off : window.col_end] += 1
    assert hits.min() >= 1
    assert {(window.height, window.width) for window in windows} == {(min(tile, h), min(tile, w))}
    assert len(set(windows)) == len(windows)
    assert windows == sorted(windows)


@given(length=st.integers(1, 5000), tile=st.integers(1, 600), data=st.data())
def test_neighbours_share_at_least_the_overlap_and_no_start_is_superfluous(length, tile, data):
    overlap = data.draw(st.integers(0, tile - 1))
    starts = window_starts(length, tile_px=tile, overlap_px=overlap)
    steps = np.diff(starts)
    assert (steps > 0).all() and (steps[:-1] == tile - overlap).all()
    assert (steps <= tile - overlap).all()
    smallest = 1 if length <= tile else -(-(length - overlap) // (tile - overlap))
    assert len(starts) == smallest


@pytest.mark.parametrize(
    ("length", "tile", "overlap", "expected"),
    [
        (10, 4, 1, [0, 3, 6]),
        (11, 4, 1, [0, 3, 6, 7]),
        (4, 4, 3, [0]),
        (3, 4, 0, [0]),
        (1, 1, 0, [0]),
    ],
)
def test_starts_worked_out_by_hand(length, tile, overlap, expected):
    assert window_starts(length, tile_px=tile, overlap_px=overlap) == expected


@pytest.mark.parametrize(
    ("length", "tile", "overlap"), [(0, 4, 0), (5, 0, 0), (5, 4, 4), (5, 4, -1)]
)
def test_impossible_plans_are_refused(length, tile, overlap):
    with pytest.raises(ValueError, match=r"must be"):
        window_starts(length, tile_px=tile, overlap_px=overlap)


def test_intersection_is_what_both_have():
    assert Window(0, 0, 5, 9).intersection(Window(3, 7, 4, 4)) == Window(3, 7, 2, 2)
    assert Window(0, 0, 5, 9).intersection(Window(5, 0, 1, 9)) is None
