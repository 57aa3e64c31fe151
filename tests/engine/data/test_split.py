"""Ground blocks: no pixel is shared, and no training pixel is near another role."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.split import TEST, TRAIN, UNUSED, VALIDATION, paint_roles, random_block_roles


def test_by_hand() -> None:
    blocks = np.array([[TRAIN, TRAIN], [TRAIN, TEST]], np.uint8)
    roles = paint_roles((7, 8), blocks, block_px=4, buffer_px=1)
    t, u, e = TRAIN, UNUSED, TEST
    assert roles.tolist() == [
        [t, t, t, t, t, t, t, t],
        [t, t, t, t, t, t, t, t],
        [t, t, t, t, t, t, t, t],
        [t, t, t, u, u, u, u, u],
        [t, t, t, u, e, e, e, e],
        [t, t, t, u, e, e, e, e],
        [t, t, t, u, e, e, e, e],
    ]


@settings(max_examples=30)
@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    block=st.integers(1, 13),
    buffer=st.integers(0, 6),
    data=st.data(),
)
def test_training_pixels_keep_their_distance(
    height: int, width: int, block: int, buffer: int, data: st.DataObject
) -> None:
    shape = (-(-height // block), -(-width // block))
    ids = st.sampled_from([UNUSED, TRAIN, VALIDATION, TEST])
    flat = data.draw(st.lists(ids, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))
    blocks = np.array(flat, np.uint8).reshape(shape)
    roles = paint_roles((height, width), blocks, block_px=block, buffer_px=buffer)
    asked = np.kron(blocks, np.ones((block, block), np.uint8))[:height, :width]
    rows, cols = np.indices(roles.shape)
    for row, col in zip(*np.nonzero(roles == TRAIN), strict=True):
        near = (np.abs(rows - row) <= buffer) & (np.abs(cols - col) <= buffer)
        assert (asked[near] == TRAIN).all()
    # Nothing but training pixels near another role was changed.
    changed = roles != asked
    assert (asked[changed] == TRAIN).all() and (roles[changed] == UNUSED).all()
    if buffer == 0:
        assert not changed.any()


def test_blocks_must_cover_the_scene() -> None:
    with pytest.raises(ValueError, match="needs"):
        paint_roles((9, 9), np.full((2, 2), TRAIN, np.uint8), block_px=4, buffer_px=0)


def test_random_roles_have_exact_counts_and_follow_the_seed() -> None:
    roles = random_block_roles((5, 8), validation=0.1, test=0.2, seed=3)
    assert [(roles == r).sum() for r in (TRAIN, VALIDATION, TEST)] == [28, 4, 8]
    assert np.array_equal(roles, random_block_roles((5, 8), validation=0.1, test=0.2, seed=3))
    assert not np.array_equal(roles, random_block_roles((5, 8), validation=0.1, test=0.2, seed=4))
    with pytest.raises(ValueError, match="none for training"):
        random_block_roles((1, 2), validation=0.5, test=0.5, seed=0)
