"""The tile plan: strips and panels cover each pixel once, with all tiles that touch it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.predict.plan import TilePlan, plan_tiles


def make_plan(height: int, width: int, tile: int, overlap: int, panel_tiles: int) -> TilePlan:
    """Return a plan whose panels hold about ``panel_tiles`` tiles (memory bound by columns)."""
    plan = plan_tiles(
        (height, width),
        tile_px=tile,
        overlap_px=overlap,
        stride=32,
        column_bytes=(1 << 20) // (min(tile, height) * min(tile, width) * panel_tiles) or 1,
        memory_mib=1,
    )
    return plan


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 900),
    tile=st.integers(2, 64),
    data=st.data(),
)
def test_panels_own_each_column_once_and_see_every_tile(
    height: int, width: int, tile: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, tile - 1))
    plan = make_plan(height, width, tile, overlap, data.draw(st.integers(1, 6)))
    one = plan_tiles((height, width), tile_px=tile, overlap_px=overlap, stride=32, column_bytes=1)
    assert len(one.panels) == 1
    columns = one.panels[0].tile_starts
    position = 0
    for panel in plan.panels:
        assert panel.col_start == position
        position = panel.col_stop
        touching = [
            c for c in columns if c < panel.col_stop and c + plan.tile_px[1] > panel.col_start
        ]
        assert list(panel.tile_starts) == touching
        assert panel.read_start <= panel.col_start
        assert panel.col_stop <= panel.read_stop <= width
    assert position == width
    rows = [plan.strip_rows(i) for i in range(len(plan.row_starts))]
    assert rows[0][0] == 0
    assert rows[-1][1] == height
    assert all(a[1] == b[0] for a, b in itertools.pairwise(rows))


@given(height=st.integers(1, 300), tile=st.integers(2, 64), data=st.data())
def test_first_row_for_finds_all_rows_of_tiles_that_reach_into_a_strip(
    height: int, tile: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, tile - 1))
    plan = plan_tiles((height, 5), tile_px=tile, overlap_px=overlap, stride=1, column_bytes=1)
    index = data.draw(st.integers(0, len(plan.row_starts) - 1))
    start, stop = plan.strip_rows(index)
    reaching = [
        i for i, row in enumerate(plan.row_starts) if row < stop and row + plan.tile_px[0] > start
    ]
    assert plan.first_row_for(index) == reaching[0]
    assert reaching[-1] == index


@pytest.mark.parametrize(
    ("shape", "tile_px", "input_px"),
    [
        ((37, 61), (37, 61), (64, 64)),
        ((1, 600), (1, 256), (32, 256)),
        ((900, 1), (256, 1), (256, 32)),
    ],
)
def test_small_rasters_are_padded_for_the_network_only(
    shape: tuple[int, int], tile_px: tuple[int, int], input_px: tuple[int, int]
) -> None:
    plan = plan_tiles(shape, tile_px=256, overlap_px=64, stride=32, column_bytes=100)
    assert plan.tile_px == tile_px
    assert plan.input_px == input_px


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    tile=st.integers(1, 40),
    data=st.data(),
)
def test_alone_is_where_exactly_one_tile_lies(
    height: int, width: int, tile: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, tile - 1))
    plan = plan_tiles(
        (height, width), tile_px=tile, overlap_px=overlap, stride=1, column_bytes=1 << 30
    )
    tiles = np.zeros((height, width), int)
    for row in plan.row_starts:
        for column in {c for panel in plan.panels for c in panel.tile_starts}:
            tiles[row : row + plan.tile_px[0], column : column + plan.tile_px[1]] += 1
    for panel in plan.panels:
        alone = np.zeros((height, width), bool)
        for index in range(len(plan.row_starts)):
            parts = plan.alone(panel, index)
            for window, (rows, cols) in zip(plan.windows(panel, index), parts, strict=True):
                inside = (
                    slice(window.row_off + rows[0], window.row_off + rows[1]),
                    slice(window.col_off + cols[0], window.col_off + cols[1]),
                )
                assert not alone[inside].any()
                alone[inside] = True
        own = slice(panel.col_start, panel.col_stop)
        assert np.array_equal(alone[:, own], tiles[:, own] == 1)
