"""Batches of tiles: scores, flips, and real out-of-memory errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.errors import DeviceError, ModelError
from engine.predict.backend import Backend, choose_backend
from engine.predict.semantic import SemanticPredictor, warm_network
from engine.zoo.registry import find_model
from tests.factories_models import write_identity_model

CPU = Backend("cpu", "fp32", 4)


class Hungry(nn.Module):
    """Asks for more memory than any machine has when it gets more than ``limit`` tiles."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.sizes: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.sizes.append(len(images))
        if len(images) > self.limit:
            torch.empty(1 << 60, dtype=torch.uint8)
        return torch.cat([images, -images], dim=1)


class Lopsided(nn.Module):
    """Its score depends on the column, so that flips matter."""

    def forward(self, images: Tensor) -> Tensor:
        columns = torch.linspace(0, 1, images.shape[-1]).expand(
            images.shape[0], 1, *images.shape[2:]
        )
        return torch.cat([columns, torch.zeros_like(columns)], dim=1)


def tiles(count: int) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, 5, 7, 1)).astype(np.float32)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_logits_of_each_tile_come_with_the_classes_last() -> None:
    predictor = SemanticPredictor(Hungry(99), CPU)
    wanted = tiles(3)
    found = predictor(wanted)
    assert predictor.gives_logits
    for tile, logits in zip(wanted, found, strict=True):
        assert logits.shape == (5, 7, 2)
        assert np.array_equal(logits, np.concatenate([tile, -tile], axis=2))


def test_one_logit_is_a_sigmoid() -> None:
    tile = tiles(1)
    logits = SemanticPredictor(nn.Identity(), CPU)(tile)[0]
    assert np.array_equal(logits, np.concatenate([np.zeros_like(tile[0]), tile[0]], axis=2))
    scores = SemanticPredictor(nn.Identity(), CPU, tta=True)(tile)[0]
    assert scores[..., 1] == pytest.approx(sigmoid(tile[0, ..., 0]), abs=1e-6)
    assert scores[..., 0] == pytest.approx(1 - scores[..., 1], abs=1e-6)


def test_out_of_memory_halves_the_batch_for_good_and_loses_no_tile() -> None:
    network = Hungry(1)
    predictor = SemanticPredictor(network, CPU)
    wanted = tiles(5)
    found = predictor(wanted)
    assert network.sizes == [4, 2, 1, 1, 1, 1, 1]
    assert predictor.batch == 1
    for tile, logits in zip(wanted, found, strict=True):
        assert np.array_equal(logits[..., :1], tile)


def test_one_tile_that_does_not_fit_is_a_clear_error() -> None:
    with pytest.raises(DeviceError, match="one tile of 7 px does not fit") as caught:
        SemanticPredictor(Hungry(0), CPU)(tiles(2))
    assert "smaller tile" in caught.value.hint


def test_other_errors_are_not_swallowed() -> None:
    with pytest.raises(RuntimeError, match="channels"):
        SemanticPredictor(nn.Conv2d(3, 2, 1), CPU)(tiles(1))


def test_flips_are_averaged() -> None:
    logits = SemanticPredictor(Lopsided(), CPU)(tiles(1))[0][0]
    plain = sigmoid(logits[:, 0] - logits[:, 1])
    predictor = SemanticPredictor(Lopsided(), CPU, tta=True)
    assert not predictor.gives_logits
    flipped = predictor(tiles(1))[0][0, :, 0]
    assert plain[0] < plain[-1]
    assert flipped == pytest.approx((plain + plain[::-1]) / 2, abs=1e-6)


def test_unknown_devices_are_refused() -> None:
    with pytest.raises(DeviceError, match="'tpu' is unknown"):
        choose_backend("tpu", "auto", 0)
    with pytest.raises(DeviceError, match="is not there"):
        choose_backend("cuda:99", "auto", 0)


def test_networks_stay_warm_and_follow_their_weights(tmp_path: Path) -> None:
    first = warm_network(find_model(str(write_identity_model(tmp_path / "m", 3))), CPU)
    assert warm_network(find_model(str(tmp_path / "m")), CPU) is first
    assert warm_network(find_model(str(write_identity_model(tmp_path / "m", 4))), CPU) is not first
    (tmp_path / "m" / "weights.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="SHA-256"):
        warm_network(find_model(str(tmp_path / "m")), CPU)
