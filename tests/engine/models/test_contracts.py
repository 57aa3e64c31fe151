"""The common loss by hand, and the smallest network."""

from __future__ import annotations

import math

import pytest
import torch

from engine.models import create_model
from engine.models.contracts import masked_dice_loss, semantic_loss


def test_cross_entropy_by_hand_and_ignored_pixels_do_not_count() -> None:
    logits = torch.tensor([[0.0, 2.0, 9.0], [math.log(3), 2.0, -9.0]]).view(1, 2, 1, 3)
    target = torch.tensor([[[1, 0, 255]]])
    expected = (-math.log(0.75) - math.log(0.5)) / 2
    assert float(semantic_loss(logits, target)["loss"]) == pytest.approx(expected)


def test_dice_by_hand() -> None:
    # Class 1: probabilities 1, 1, 0 against truth 1, 0, 0, so 2 * 1 / (2 + 1); class 0:
    # 0, 0, 1 against 0, 1, 1, so 2 * 1 / (1 + 2). The fourth pixel is ignored.
    logits = torch.tensor([[-50.0, -50.0, 50.0, 0.0], [50.0, 50.0, -50.0, 0.0]]).view(1, 2, 2, 2)
    target = torch.tensor([[[1, 0], [0, 255]]])
    assert float(masked_dice_loss(logits, target, eps=0.0)) == pytest.approx(1 - 2 / 3)


def test_dice_leaves_out_classes_that_are_not_in_the_target() -> None:
    logits = torch.tensor([50.0, -50.0, -50.0]).view(1, 3, 1, 1).expand(1, 3, 4, 5)
    target = torch.zeros(1, 4, 5, dtype=torch.int64)
    assert float(masked_dice_loss(logits, target)) == pytest.approx(0.0, abs=1e-6)


def test_all_pixels_ignored_gives_zero_and_finite_gradients() -> None:
    logits = torch.randn(2, 3, 4, 5, requires_grad=True)
    loss = semantic_loss(logits, torch.full((2, 4, 5), 255), dice_weight=1.0)["loss"]
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert logits.grad is not None and float(logits.grad.abs().max()) == 0.0


def test_pixel_linear_is_a_linear_function_of_the_pixel() -> None:
    network = create_model("pixel_linear", num_classes=3, in_channels=2)
    images = torch.randn(1, 2, 37, 61)
    with torch.no_grad():
        logits = network(images)
        weight, bias = network.classifier.weight[:, :, 0, 0], network.classifier.bias
        assert torch.allclose(logits[0, :, 5, 7], weight @ images[0, :, 5, 7] + bias, atol=1e-6)
