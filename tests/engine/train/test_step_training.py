"""Training on batches of the caller: learns, averages, continues after a stop bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.errors import JobCancelled, ModelError
from engine.models import create_model
from engine.models.contracts import SemanticNetwork
from engine.protocol import Event, Progress, Report
from engine.train.checkpoint import BEST_NAME, LAST_NAME, read_state
from engine.train.fit import Hardware
from engine.train.recipe import OptimizerRecipe, Recipe
from engine.train.schedule import ScheduleRecipe
from engine.train.step_training import Judge, StepTraining

RECIPE = Recipe(
    network="tiny",
    steps=60,
    epochs=6,
    ema_decay=0.9,
    clip_norm=5.0,
    checkpoint_steps=7,
    optimizer=OptimizerRecipe(lr=0.05),
    schedule=ScheduleRecipe(warmup_steps=5),
)


class Tiny(SemanticNetwork):
    """Two layers with normalisation and dropout: buffers and the random state matter, too."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.drop = nn.Dropout(0.1)
        self.head = nn.Conv2d(6, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.drop(self.encoder(images)))


def batches(step: int) -> tuple[Tensor, Tensor]:
    """Bright pixels are class 1; the batch depends on the step only."""
    generator = torch.Generator().manual_seed(step)
    images = torch.randn(2, 1, 9, 13, generator=generator)
    return images, (images[:, 0] > 0.3).long()


def accuracy(network: nn.Module) -> dict[str, float]:
    network.eval()
    images, target = batches(10_000)
    return {"right": float((network(images).argmax(1) == target).float().mean())}


def training(
    folder: Path, recipe: Recipe = RECIPE, network: nn.Module | None = None
) -> StepTraining:
    torch.manual_seed(0)
    judge = Judge("right", accuracy)
    return StepTraining(network or Tiny(), batches, recipe, folder, judge, Hardware(), seed=4)


class Killed(Exception):
    """The process ends without a word."""


def killed_after(step: int) -> Report:
    def report(event: Event) -> None:
        if isinstance(event, Progress) and event.stage == "train" and event.done == step:
            raise Killed

    return report


def test_it_learns_and_keeps_the_best(tmp_path: Path) -> None:
    events: list[Event] = []
    average = training(tmp_path).run(events.append)
    state = read_state(tmp_path / LAST_NAME)
    judged = [p for p in state.curve if p.series == "val"]
    assert state.finished and state.step == 60
    assert [p.step for p in judged] == [10, 20, 30, 40, 50, 60]
    assert judged[-1].values["right"] > 0.93 > judged[0].values["right"]
    assert state.best == max(p.values["right"] for p in judged)
    assert Progress("train", 60, 60, "steps") in events
    network = Tiny()
    network.load_state_dict(average)
    assert accuracy(network) == pytest.approx(judged[-1].values)
    network.load_state_dict(load_file(tmp_path / BEST_NAME))
    assert accuracy(network)["right"] == pytest.approx(state.best)


def test_killed_training_continues_bit_for_bit(tmp_path: Path) -> None:
    whole = training(tmp_path / "whole").run()
    with pytest.raises(Killed):
        training(tmp_path / "cut").run(killed_after(31))
    assert 0 < read_state(tmp_path / "cut" / LAST_NAME).step < 31
    cut = training(tmp_path / "cut").run()
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())
    names = (LAST_NAME, BEST_NAME)
    for first, second in [[load_file(tmp_path / f / n) for f in ("whole", "cut")] for n in names]:
        assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    first = training(tmp_path).run()
    events: list[Event] = []
    again = training(tmp_path).run(events.append)
    assert not events and all(torch.equal(value, again[name]) for name, value in first.items())


def test_a_network_in_evaluation_mode_is_trained_all_the_same(tmp_path: Path) -> None:
    short = replace(RECIPE, steps=2, epochs=1)
    average = training(tmp_path, short, Tiny().eval()).run()
    assert int(average["encoder.1.num_batches_tracked"]) == 2


def test_without_a_judge_the_last_average_is_the_result(tmp_path: Path) -> None:
    silent = replace(training(tmp_path), judge=None)
    average = silent.run()
    assert not (tmp_path / BEST_NAME).exists()
    saved = load_file(tmp_path / LAST_NAME)
    assert all(torch.equal(saved[f"average.{name}"], value) for name, value in average.items())


def test_cancel_keeps_what_was_done(tmp_path: Path) -> None:
    done: list[Event] = []
    with pytest.raises(JobCancelled):
        training(tmp_path).run(done.append, lambda: Progress("train", 13, 60, "steps") in done)
    assert read_state(tmp_path / LAST_NAME).step == 13


def test_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    short = replace(RECIPE, steps=2, epochs=1)
    training(tmp_path, short).run()
    with pytest.raises(ModelError, match="network 'tiny', not 'other'"):
        training(tmp_path, replace(short, network="other")).run()
    other = create_model("pixel_linear", num_classes=2, in_channels=1)
    with pytest.raises(ModelError, match="does not fit"):
        training(tmp_path, short, other).run()
