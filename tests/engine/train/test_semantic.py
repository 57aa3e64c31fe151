"""The training loop: learns, averages, and continues after a stop as if nothing had happened."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.errors import JobCancelled, ModelError
from engine.models import create_model
from engine.models.contracts import SemanticNetwork
from engine.protocol import Event, Progress
from engine.train.checkpoints import TENSORS_NAME, read_average, read_state
from engine.train.semantic import (
    BEST_NAME,
    LoopOptions,
    SemanticTrainer,
    averaged,
    rate_factor,
    update_average,
)


class Tiny(SemanticNetwork):
    """Two layers with a normalisation, so that buffers matter, too."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.head = nn.Conv2d(6, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.encoder(images))


def batches(step: int) -> tuple[Tensor, Tensor]:
    """Bright pixels are class 1; the batch depends on the step only."""
    generator = torch.Generator().manual_seed(step)
    images = torch.randn(2, 1, 9, 13, generator=generator)
    return images, (images[:, 0] > 0.3).long()


def accuracy(network: nn.Module) -> dict[str, float]:
    network.eval()
    images, target = batches(10_000)
    with torch.no_grad():
        return {"miou": float((network(images).argmax(1) == target).float().mean())}


OPTIONS = LoopOptions(
    steps=60,
    learning_rate=0.05,
    warmup_steps=5,
    average_decay=0.9,
    validate_every=10,
    checkpoint_every=7,
    bf16=False,
)


def trainer(folder: Path, options: LoopOptions = OPTIONS) -> SemanticTrainer:
    torch.manual_seed(0)
    return SemanticTrainer(Tiny(), batches, options, folder=folder, validate=accuracy)


def quiet(_: Event) -> None:
    """Take an event and drop it."""


def never() -> bool:
    return False


def _losses(folder: Path) -> list[tuple[float, float, float]]:
    return [(h["step"], h["loss"], h["miou"]) for h in read_state(folder).history]


def test_it_learns(tmp_path: Path) -> None:
    events: list[Event] = []
    state = trainer(tmp_path).run(events.append, never)
    assert state.step == 60 and state.history[-1]["miou"] > 0.95
    assert state.history[-1]["loss"] < 0.3 * state.history[0]["loss"]
    assert events[-1] == Progress("train", 60, 60, "step")


def test_killed_training_continues_with_the_same_numbers(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    trainer(whole).run(quiet, never)

    class Killed(Exception):
        pass

    def kill(event: Event) -> None:
        if isinstance(event, Progress) and event.done == 31:  # three steps after a checkpoint
            raise Killed

    with pytest.raises(Killed):
        trainer(cut).run(kill, never)
    assert read_state(cut).step == 28
    trainer(cut).run(quiet, never)
    assert _losses(whole) == _losses(cut)
    average = read_average(whole)
    assert torch.equal(
        average["head.weight"], load_file(whole / TENSORS_NAME)["average.head.weight"]
    )
    first, second = load_file(whole / TENSORS_NAME), load_file(cut / TENSORS_NAME)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert torch.equal(
        load_file(whole / BEST_NAME)["head.weight"], load_file(cut / BEST_NAME)["head.weight"]
    )


def test_cancel_keeps_what_was_done(tmp_path: Path) -> None:
    answers = iter([False] * 12 + [True])
    with pytest.raises(JobCancelled):
        trainer(tmp_path).run(quiet, lambda: next(answers))
    assert read_state(tmp_path).step == 12


def test_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    trainer(tmp_path, LoopOptions(2, bf16=False, metric="miou")).run(quiet, never)
    other = create_model("pixel_linear", num_classes=2, in_channels=1)
    with pytest.raises(ModelError, match="does not fit"):
        SemanticTrainer(other, batches, OPTIONS, folder=tmp_path)


def test_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / TENSORS_NAME).write_bytes(b"\x10")
    with pytest.raises(ModelError, match="does not fit"):
        trainer(tmp_path)
    with pytest.raises(ModelError, match="cannot be read"):
        read_state(tmp_path)


def test_rate_goes_up_then_down_a_cosine() -> None:
    options = LoopOptions(steps=110, warmup_steps=10)
    factors = [rate_factor(step, options) for step in range(111)]
    assert factors[0] == pytest.approx(0.1) and factors[9] == pytest.approx(1.0)
    assert factors[60] == pytest.approx(0.5) and factors[110] == pytest.approx(0.0, abs=1e-12)
    assert factors[35] == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    assert all(a >= b for a, b in pairwise(factors[10:]))


def test_encoder_learns_at_its_own_rate_and_vectors_do_not_decay(tmp_path: Path) -> None:
    loop = trainer(tmp_path)
    ratio = {id(p): g["lr_ratio"] for g in loop.optimizer.param_groups for p in g["params"]}
    decay = {id(p): g["weight_decay"] for g in loop.optimizer.param_groups for p in g["params"]}
    network = loop.network
    assert ratio[id(network.encoder[0].weight)] == 0.3 and ratio[id(network.head.weight)] == 1.0
    assert decay[id(network.head.weight)] > 0 and decay[id(network.head.bias)] == 0


def test_average_by_hand_and_buffers_are_copied() -> None:
    network = Tiny()
    average = {k: torch.zeros_like(v) for k, v in network.state_dict().items()}
    with torch.no_grad():
        network.head.bias.copy_(torch.tensor([1.0, -2.0]))
        network.encoder[1].num_batches_tracked.fill_(7)
    update_average(average, network, 0.75)
    update_average(average, network, 0.75)
    assert average["head.bias"].tolist() == pytest.approx([0.4375, -0.875])
    assert int(average["encoder.1.num_batches_tracked"]) == 7


def test_averaged_weights_are_taken_back() -> None:
    network = Tiny()
    own = {k: v.clone() for k, v in network.state_dict().items()}
    with averaged(network, {k: torch.zeros_like(v) for k, v in own.items()}):
        assert float(network.head.weight.detach().abs().sum()) == 0
    assert all(torch.equal(v, own[k]) for k, v in network.state_dict().items())
