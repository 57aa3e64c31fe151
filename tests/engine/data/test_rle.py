"""Run lengths of COCO: equal to pycocotools, exact both ways."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as oracle

from engine.data.rle import (
    box_and_area,
    counts_of,
    counts_to_text,
    decode_mask,
    encode_mask,
    paint_record,
    text_to_counts,
)

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")
SHAPES = st.tuples(st.integers(1, 41), st.integers(1, 29))


def random_mask(shape: tuple[int, int], share: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < share


@given(SHAPES, st.sampled_from([0.0, 0.05, 0.5, 0.95, 1.0]), st.integers(0, 999))
@settings(max_examples=120, deadline=None)
def test_text_equals_pycocotools_and_gives_the_mask_back(shape, share, seed):
    mask = random_mask(shape, share, seed)
    record = encode_mask(mask)
    assert record["counts"] == oracle.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
    assert np.array_equal(decode_mask(record), mask)
    assert np.array_equal(oracle.decode(record).astype(bool), mask)


@given(SHAPES, st.tuples(*[st.integers(0, 5)] * 4), st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_a_part_is_encoded_as_the_whole_mask(shape, margins, seed):
    top, left, bottom, right = margins
    part = random_mask(shape, 0.6, seed)
    whole = np.pad(part, ((top, bottom), (left, right)))
    record = encode_mask(part, shape_px=whole.shape, row=top, col=left)
    assert record == encode_mask(whole)
    if part.any():
        box, area = box_and_area(part, top, left)
        assert box == oracle.toBbox(record).astype(int).tolist() and area == whole.sum()


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=30))
def test_counts_of_any_size_come_back(counts):
    assert text_to_counts(counts_to_text(np.array(counts))).tolist() == counts


def test_hand_worked_columns():
    mask = np.array([[0, 1, 1], [0, 1, 0]], dtype=bool)  # columns 00 11 10: 2 zeros, 3 ones, 1 zero
    assert counts_of(encode_mask(mask)).tolist() == [2, 3, 1]
    assert counts_of({"size": [2, 3], "counts": [2, 3, 1]}).tolist() == [2, 3, 1]


def test_painting_adds_to_what_is_there():
    out = np.zeros((3, 4), dtype=bool)
    out[0, 0] = True
    paint_record(encode_mask(np.eye(3, 4, 1, dtype=bool)), out)
    assert out.sum() == 4 and out[0, 0]


@pytest.mark.parametrize(
    "record",
    [
        {"size": [2, 3], "counts": [2, 3]},
        {"size": [2, 3], "counts": [2, -1, 5]},
        {"size": [2, 3], "counts": "~~~"},
        {"size": [2, 3], "counts": "P"},
    ],
)
def test_broken_records_are_refused(record):
    with pytest.raises(ValueError, match="run lengths"):
        decode_mask(record)
