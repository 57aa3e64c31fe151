"""From the network's masks to runs: contract, thresholds, missing pixels, memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.errors import DeviceError, ModelError
from engine.models import create_model
from engine.predict import instances as module
from engine.predict.backend import Backend
from engine.predict.instances import InstancePredictor, InstanceTile, TileInstances
from tests.factories_instances import drawn_masks

CPU = Backend("cpu", "fp32", 2)
HEIGHT, WIDTH = 37, 61


class Returns(nn.Module):
    """Returns the same output for every image."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output

    def forward(self, images: list[Tensor]) -> Any:
        return [self.output for _ in images]


def tile(valid: np.ndarray | None = None) -> InstanceTile:
    inside = np.ones((HEIGHT, WIDTH), bool) if valid is None else valid
    return InstanceTile(np.zeros((3, 64, 64), np.float32), inside)


def output(masks: Tensor, scores: list[float], labels: list[int]) -> dict[str, Tensor]:
    return {
        "boxes": torch.zeros(len(scores), 4),
        "labels": torch.tensor(labels),
        "scores": torch.tensor(scores),
        "masks": masks,
    }


def blobs(count: int) -> Tensor:
    """Return probabilities [n, 1, 64, 64] around 0.5."""
    torch.manual_seed(3)
    return torch.rand(count, 1, 64, 64)


def predict(network: nn.Module, item: InstanceTile | None = None) -> TileInstances:
    predictor = InstancePredictor(network, CPU, class_ids=[4, 9], threshold=0.5)
    return predictor([item or tile()])[0]


def test_masks_are_cut_to_the_tile_and_low_scores_are_left_out(monkeypatch) -> None:
    masks = blobs(5)
    monkeypatch.setattr(module, "CHUNK_BYTES", 2 * HEIGHT * WIDTH)  # two masks at a time
    found = predict(Returns(output(masks, [0.9, 0.5, 0.49, 0.7, 0.1], [1, 2, 1, 2, 2])))
    assert found.class_id.tolist() == [4, 9, 9]
    assert found.score.tolist() == pytest.approx([0.9, 0.5, 0.7])
    for mask, number in zip(drawn_masks(found.masks, (HEIGHT, WIDTH)), [0, 1, 3], strict=True):
        assert np.array_equal(mask, (masks[number, 0, :HEIGHT, :WIDTH] > 0.5).numpy())


@pytest.mark.parametrize("form", ["float", "bool", "uint8", "three axes"])
def test_binary_masks_and_masks_without_a_channel_are_understood(form: str) -> None:
    masks = blobs(2)
    given = {
        "float": masks,
        "bool": masks > 0.5,
        "uint8": (masks > 0.5).to(torch.uint8),
        "three axes": masks[:, 0],
    }[form]
    found = predict(Returns(output(given, [0.9, 0.8], [1, 1])))
    wanted = predict(Returns(output(masks, [0.9, 0.8], [1, 1])))
    assert np.array_equal(found.masks.runs, wanted.masks.runs)
    assert len(found.masks) == 2


def test_missing_pixels_are_cut_off_and_what_is_empty_goes() -> None:
    masks = torch.zeros(3, 1, 64, 64)
    masks[0, 0, 5:10, 5:10] = 1
    masks[1, 0, 5:10, 30:40] = 1
    masks[2, 0, 50:60, 5:10] = 1  # below the tile, in its padding
    valid = np.ones((HEIGHT, WIDTH), bool)
    valid[:, :8] = False
    valid[:, 25:] = False
    found = predict(Returns(output(masks, [0.9, 0.8, 0.7], [1, 2, 1])), tile(valid))
    assert found.class_id.tolist() == [4]
    assert found.masks.box.tolist() == [[5, 8, 10, 10]]


def test_no_instances_at_all() -> None:
    found = predict(Returns(output(torch.zeros(0, 1, 64, 64), [], [])))
    assert len(found.masks) == len(found.score) == len(found.class_id) == 0


def test_outputs_that_break_the_contract_are_clear_errors() -> None:
    with pytest.raises(ModelError, match="labels, scores, masks"):
        predict(Returns({"boxes": torch.zeros(0, 4)}))
    with pytest.raises(ModelError, match="labels from 3 to 3, the card has 2 classes"):
        predict(Returns(output(blobs(1), [0.9], [3])))
    with pytest.raises(ModelError, match="labels from 0"):
        predict(Returns(output(blobs(1), [0.9], [0])))


class Hungry(nn.Module):
    """Asks for more memory than any machine has when it gets more than ``limit`` tiles."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        if len(images) > self.limit:
            torch.empty(1 << 60, dtype=torch.uint8)
        return [output(image[:1, None] + 1, [0.9], [1]) for image in images]


def test_out_of_memory_halves_the_batch_and_loses_no_tile() -> None:
    predictor = InstancePredictor(Hungry(1), CPU, class_ids=[1], threshold=0.5)
    found = predictor([tile()] * 5)
    assert [int(one.masks.area_px[0]) for one in found] == [HEIGHT * WIDTH] * 5
    with pytest.raises(DeviceError, match="one tile of 64 px does not fit"):
        InstancePredictor(Hungry(0), CPU, class_ids=[1], threshold=0.5)([tile()])


def test_a_real_network_goes_through() -> None:
    """Mask R-CNN with fresh weights: whatever it finds has pixels, a class and a score."""
    torch.manual_seed(0)
    few = {"proposals": (9, 9), "max_instances": 5, "score_threshold": 0.0}
    network = create_model("mask_rcnn_r50", num_classes=2, in_channels=3, **few)
    predictor = InstancePredictor(network.eval(), CPU, class_ids=[4, 9], threshold=0.0)
    pixels = np.random.default_rng(0).normal(size=(3, 64, 64)).astype(np.float32)
    found = predictor([InstanceTile(pixels, np.ones((60, 50), bool))])[0]
    assert len(found.masks) > 0
    assert (found.masks.area_px > 0).all()
    assert found.masks.box.min() >= 0
    assert (found.masks.box[:, 2:].max(axis=0) <= [60, 50]).all()
    assert set(found.class_id.tolist()) <= {4, 9}
