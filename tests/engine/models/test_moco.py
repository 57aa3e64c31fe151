"""Momentum contrast: the step, the queue, the loss by hand, loading into Hi-ResNet."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from engine.models import create_model
from engine.models.blocks.hi_resnet_backbone import PAPER, HiResNetBackbone
from engine.models.blocks.moco import MomentumContrast


class TwoMaps(nn.Module):
    """A backbone of two small maps."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Conv2d(3, 4, 3, stride=2)
        self.coarse = nn.Conv2d(4, 6, 3, stride=2)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        fine = self.fine(images)
        return [fine, self.coarse(fine)]


def _moco(**options: object) -> MomentumContrast:
    torch.manual_seed(0)
    return MomentumContrast(TwoMaps(), (4, 6), embedding=8, **options)  # type: ignore[arg-type]


def test_key_encoder_follows_exactly_and_gets_no_gradient() -> None:
    moco = _moco(queue_length=8)
    with torch.no_grad():
        for parameter in moco.query_encoder.parameters():
            parameter.add_(torch.randn_like(parameter))
    queries = [p.clone() for p in moco.query_encoder.parameters()]
    keys = [p.clone() for p in moco.key_encoder.parameters()]
    moco(torch.randn(4, 3, 9, 11), torch.randn(4, 3, 9, 11))["loss"].backward()
    for after, key, query in zip(moco.key_encoder.parameters(), keys, queries, strict=True):
        assert torch.equal(after, key.mul(0.999).add(query, alpha=1 - 0.999))
        assert after.grad is None
    assert all(p.grad is not None and p.grad.any() for p in moco.query_encoder.parameters())


def test_the_queue_wraps_and_replaces_the_oldest() -> None:
    moco = _moco(queue_length=6)
    pointers = []
    for step in range(4):
        moco.enqueue(torch.full((2, 8), float(step)))
        pointers.append(int(moco.pointer))
    assert pointers == [2, 4, 0, 2]
    assert moco.queue[:, 0].tolist() == [3, 3, 1, 1, 2, 2]
    with pytest.raises(ValueError, match="no multiple"):
        moco.enqueue(torch.zeros(4, 8))


@pytest.mark.parametrize("temperature", [0.07, 0.2])
def test_loss_by_hand(temperature: float) -> None:
    moco = _moco(queue_length=5, temperature=temperature)
    query = torch.eye(8)[:2]
    moco.queue.copy_(torch.eye(8)[2:7])
    losses = moco.contrast(query, query)
    expected = math.log(1 + 5 * math.exp(-1 / temperature))
    assert float(losses["loss"]) == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert float(losses["top1"]) == 1.0


def test_embeddings_have_length_one() -> None:
    lengths = _moco(queue_length=16).query_encoder(torch.randn(8, 3, 9, 11)).norm(dim=1)
    assert lengths.tolist() == pytest.approx([1] * 8, abs=1e-5)


def test_one_step_draws_the_views_of_an_image_together() -> None:
    moco = _moco(queue_length=8)
    images = torch.randn(8, 3, 9, 11)
    optimizer = torch.optim.SGD(moco.query_encoder.parameters(), lr=0.05)
    key = moco.key_encoder(images)
    before = moco.contrast(moco.query_encoder(images), key)["loss"]
    before.backward()
    optimizer.step()
    assert moco.contrast(moco.query_encoder(images), key)["loss"] < before


@pytest.mark.networks
def test_the_backbone_of_hi_resnet_trains_and_loads(tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = HiResNetBackbone(in_channels=2)
    moco = MomentumContrast(backbone, PAPER.widths, queue_length=4)
    moco(torch.randn(2, 2, 32, 32), torch.randn(2, 2, 32, 32))["loss"].backward()
    path = tmp_path / "moco.safetensors"
    save_file(moco.backbone_state(), path)
    network = create_model("hi_resnet", num_classes=3, in_channels=2, pretrained=str(path))
    loaded = network.backbone.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(loaded[k], v) for k, v in backbone.state_dict().items())
