"""Tiled validation: independent of the tiling for a network that looks at one pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.models import create_model
from engine.train.validate import (
    class_scores,
    confusion_matrix,
    normalize_batch,
    predict_scores,
    tile_starts,
)
from engine.zoo.card import BandSpec

BANDS = (BandSpec("a", 0.5, 1.0, 3.0, 2.0), BandSpec("b", 1.0, 0.0, 0.0, 1.0))


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(5, 30), st.data())
def test_any_tiling_gives_the_scores_of_the_whole(
    height: int, width: int, tile: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, tile - 3))
    torch.manual_seed(0)
    network = create_model("pixel_linear", num_classes=3, in_channels=2)
    pixels = np.random.default_rng(0).integers(0, 9, (2, height, width), dtype=np.uint8)
    scores = predict_scores(network, pixels, BANDS, tile_px=tile, overlap_px=overlap, bf16=False)
    with torch.no_grad():
        images = normalize_batch(torch.from_numpy(pixels).unsqueeze(0), BANDS)
        whole = network(images).softmax(dim=1)[0].numpy()
    assert np.allclose(scores, whole, atol=1e-5)


def test_normalisation_by_hand() -> None:
    images = torch.tensor([[[[10.0]], [[7.0]]]])
    assert normalize_batch(images, BANDS).flatten().tolist() == [(10 * 0.5 + 1 - 3) / 2, 7.0]


@given(st.integers(1, 300), st.integers(1, 100), st.data())
def test_tiles_cover_everything(length: int, tile: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, tile - 1))
    starts = tile_starts(length, tile, overlap)
    covered = {p for s in starts for p in range(s, min(s + tile, length))}
    assert covered == set(range(length)) and starts[-1] + tile <= max(length, tile)


def test_scores_by_hand() -> None:
    truth = np.array([[0, 0, 1, 1, 1, 255]], np.uint8)
    found = np.array([[0, 1, 1, 1, 0, 1]], np.uint8)
    confusion = confusion_matrix(truth, found, 2)
    assert confusion.tolist() == [[1, 1], [1, 2]]
    scores = class_scores(confusion, ("ground", "roof"))
    assert scores["iou_roof"] == pytest.approx(2 / 4)
    assert scores["iou_ground"] == pytest.approx(1 / 3)
    assert scores["precision_roof"] == scores["recall_roof"] == pytest.approx(2 / 3)
