"""Soft targets: what the bytes mean, where the loss is least, what an exchange moves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from engine.train.soft_targets import exchange_parts, soft_bytes, soft_loss


def _logits(probability: torch.Tensor) -> torch.Tensor:
    """Return logits ``[1, 2, H, W]`` whose softmax gives the foreground this probability."""
    return torch.stack(((1 - probability).log(), probability.log())).unsqueeze(0)


def test_bytes_span_the_probabilities_and_never_say_unknown() -> None:
    found = soft_bytes(np.array([-0.2, 0.0, 0.5, 1.0, 1.7]))
    assert found.tolist() == [0, 0, 127, 254, 254]


def test_cross_entropy_and_dice_by_hand() -> None:
    logits = _logits(torch.tensor([[0.5, 0.5]]))
    loss = soft_loss(logits, torch.tensor([[[254, 0]]]))
    assert float(loss["cross_entropy"]) == pytest.approx(math.log(2))
    # 1 - (2 * 0.5 + 1) / (0.25 + 0.25 + 1 + 1)
    assert float(loss["dice"]) == pytest.approx(1 - 2 / 2.5)
    assert float(loss["loss"]) == pytest.approx(math.log(2) + 0.2)


@pytest.mark.parametrize("step", [-0.2, -0.05, 0.05, 0.2])
def test_the_loss_is_least_at_the_target(step: float) -> None:
    rng = torch.Generator().manual_seed(3)
    wanted = 0.25 + 0.5 * torch.rand((37, 61), generator=rng)
    target = torch.from_numpy(soft_bytes(wanted.numpy())).long().unsqueeze(0)
    at_target = soft_loss(_logits(wanted), target)["loss"]
    assert soft_loss(_logits(wanted + step), target)["loss"] > at_target


def test_unknown_pixels_do_not_count() -> None:
    target = torch.full((1, 4, 6), 255)
    target[0, :2] = 200
    logits = torch.randn((1, 2, 4, 6), generator=torch.Generator().manual_seed(1))
    changed = logits.clone()
    changed[:, :, 2:] += 5 * torch.randn((1, 2, 2, 6), generator=torch.Generator().manual_seed(2))
    assert torch.equal(soft_loss(logits, target)["loss"], soft_loss(changed, target)["loss"])
    nothing = soft_loss(logits, torch.full_like(target, 255))["loss"]
    assert float(nothing) == 0.0


def test_an_exchange_moves_pixels_and_targets_alike() -> None:
    crops = torch.arange(3).view(3, 1, 1)
    targets = crops.expand(3, 40, 40).contiguous()
    images = targets.unsqueeze(1).expand(3, 2, 40, 40).float()
    mixed, marks = exchange_parts(images, targets, 1.0, np.random.default_rng(5))
    for index in range(3):
        foreign = marks[index] == (index - 1) % 3
        assert torch.equal(~foreign, marks[index] == index)
        rows, cols = foreign.any(1).sum(), foreign.any(0).sum()
        assert foreign.sum() == rows * cols
        assert 10 <= rows <= 28
        assert 10 <= cols <= 28
        assert torch.equal(mixed[index], marks[index].expand(2, 40, 40).float())


def test_no_exchange_leaves_the_batch_as_it_is() -> None:
    images, targets = torch.rand(2, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.int64)
    mixed, marks = exchange_parts(images, targets, 0.0, np.random.default_rng(1))
    assert torch.equal(mixed, images)
    assert torch.equal(marks, targets)
