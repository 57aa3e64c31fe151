"""FarSeg: printed counts, the foreground-aware loss worked by hand, the scene relation."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import pytest
import torch
from torch.nn import functional

from engine.errors import ModelError
from engine.models.blocks.fpn import PyramidDecoder
from engine.models.farseg import ForegroundAwareLoss, SceneRelation

from .network_contract import NetworkContract, count_m

pytestmark = pytest.mark.networks


class TestFarSeg(NetworkContract):
    name = "farseg_r50"

    def test_the_annealing_step_is_state(self, network: torch.nn.Module) -> None:
        assert int(network.state_dict()["criterion.step"]) > 0


class TestSemanticFpn(NetworkContract):
    name = "semantic_fpn_r50"


class TestNarrowFarSeg(NetworkContract):
    name = "farseg"
    options: ClassVar[dict[str, Any]] = {"width": 32, "focus": {"gamma": 1.0}}


def test_any_backbone_and_width_the_papers_among_them() -> None:
    options = {"num_classes": 16, "backbone": "resnet50", "width": 256}
    assert count_m("farseg", **options) == count_m("farseg_r50", num_classes=16)
    assert count_m("semantic_fpn", **options) == count_m("semantic_fpn_r50", num_classes=16)
    with pytest.raises(ModelError, match="gamma"):
        count_m("farseg", num_classes=2, focus={"gamma": -1.0})


@pytest.mark.parametrize(
    ("name", "options", "printed_m"),
    [
        ("semantic_fpn_r50", {}, 28.476),
        ("farseg_r50", {"relation": "none"}, 28.476),
        ("farseg_r50", {"relation": "shared"}, 29.597),
        ("farseg_r50", {}, 31.368),
    ],
)
def test_parameters(name: str, options: dict[str, str], printed_m: float) -> None:
    assert count_m(name, num_classes=16, **options) == pytest.approx(printed_m, abs=0.01)


def _logits(probabilities: tuple[float, ...]) -> torch.Tensor:
    """Two-class logits whose class 0 has these probabilities, one pixel each."""
    p = torch.tensor(probabilities, dtype=torch.float64)
    return torch.stack((p, 1 - p)).log().reshape(1, 2, 1, -1).float()


LOGITS = _logits((0.9, 0.5, 0.2))
TRUTH = torch.zeros((1, 1, 3), dtype=torch.int64)
CE = functional.cross_entropy(LOGITS, TRUTH, reduction="none")


@pytest.mark.parametrize(
    ("step", "weighted"),
    [
        (10_000, (0.002106, 0.346456, 2.059383)),
        (25_000, (0.002106, 0.346456, 2.059383)),
        (5_000, (0.053734, 0.519802, 1.834410)),
        (0, (0.105361, 0.693147, 1.609438)),
    ],
)
def test_weighted_losses_by_hand(step: int, weighted: tuple[float, ...]) -> None:
    criterion = ForegroundAwareLoss()
    criterion.step.fill_(step)
    values = (criterion.coefficients(CE) * CE).flatten()
    assert values.tolist() == pytest.approx(weighted, abs=1e-5)
    assert float(values.sum()) == pytest.approx(2.407946, abs=1e-5)


@pytest.mark.parametrize(
    ("annealing", "step", "factor"),
    [
        ("cosine", 2_500, 0.853553),
        ("linear", 2_500, 0.75),
        ("poly", 2_500, 0.75**0.9),
        ("none", 0, 0.0),
        ("poly", 10_001, 0.0),
        ("linear", 12_000, 0.0),
    ],
)
def test_annealing_by_hand(annealing: str, step: int, factor: float) -> None:
    criterion = ForegroundAwareLoss(annealing=annealing)  # type: ignore[arg-type]
    criterion.step.fill_(step)
    assert float(criterion.factor()) == pytest.approx(factor, abs=1e-6)


@pytest.mark.parametrize("step", [0, 3_000, 10_000])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 2.0, 5.0])
def test_the_sum_is_that_of_cross_entropy(step: int, gamma: float) -> None:
    torch.manual_seed(step)
    logits = torch.randn(2, 4, 37, 61) * 3
    target = torch.randint(0, 4, (2, 37, 61))
    target[:, 5:9] = 255
    criterion = ForegroundAwareLoss(gamma=gamma).eval()
    criterion.step.fill_(step)
    total = functional.cross_entropy(logits, target, ignore_index=255, reduction="sum")
    divisor = int((target != 255).sum()) + 2
    assert float(criterion(logits, target)) == pytest.approx(float(total) / divisor, rel=1e-5)


@pytest.mark.parametrize(("gamma", "step"), [(0.0, 10_000), (2.0, 0)])
def test_no_focus_or_no_time_is_plain_cross_entropy(gamma: float, step: int) -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 3, 5, 7, requires_grad=True)
    target = torch.randint(0, 3, (1, 5, 7))
    criterion = ForegroundAwareLoss(gamma=gamma).eval()
    criterion.step.fill_(step)
    (ours,) = torch.autograd.grad(criterion(logits, target) * 36, logits)
    (plain,) = torch.autograd.grad(functional.cross_entropy(logits, target) * 35, logits)
    assert torch.allclose(ours, plain, atol=1e-7)


def test_the_gradient_is_the_coefficient_times_that_of_each_pixel() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 3, 2, 4, requires_grad=True)
    target = torch.randint(0, 3, (1, 2, 4))
    criterion = ForegroundAwareLoss().eval()
    criterion.step.fill_(4_000)
    losses = functional.cross_entropy(logits, target, reduction="none")
    weights = criterion.coefficients(losses.detach())
    (ours,) = torch.autograd.grad(criterion(logits, target), logits)
    for row in range(2):
        for col in range(4):
            (single,) = torch.autograd.grad(losses[0, row, col], logits, retain_graph=True)
            expected = weights[0, row, col] * single[..., row, col] / 9
            assert torch.allclose(ours[..., row, col], expected, atol=1e-7)


def test_certain_pixels_fall_back_to_cross_entropy() -> None:
    logits = torch.tensor([200.0, -200.0]).reshape(1, 2, 1, 1).expand(1, 2, 3, 3)
    criterion = ForegroundAwareLoss(annealing="none")
    assert float(criterion(logits, torch.zeros((1, 3, 3), dtype=torch.int64))) == 0.0


def test_only_training_moves_the_step_and_it_resumes() -> None:
    criterion = ForegroundAwareLoss(annealing_steps=4)
    factors = []
    for _ in range(5):
        factors.append(float(criterion.factor()))
        criterion(LOGITS, TRUTH)
    expected = [0.5 * (1 + math.cos(math.pi * t / 4)) for t in range(5)]
    assert factors == pytest.approx(expected, abs=1e-6)
    resumed = ForegroundAwareLoss(annealing_steps=4)
    resumed.load_state_dict(criterion.state_dict())
    resumed.eval()(LOGITS, TRUTH)
    assert int(resumed.step) == 5


def test_relation_maps_are_one_channel_in_zero_to_one_and_follow_the_scene() -> None:
    torch.manual_seed(0)
    relation = SceneRelation(32, 16).eval()
    pyramid = [torch.randn(1, 16, 8 >> i, 8 >> i) for i in range(4)]
    coarsest = torch.randn(1, 32, 1, 1)
    maps = relation.relation_maps(pyramid, coarsest)
    for gate, x in zip(maps, pyramid, strict=True):
        assert gate.shape == (1, 1, *x.shape[-2:])
        assert gate.min() > 0 and gate.max() < 1
    other = relation.relation_maps(pyramid, coarsest + 1)
    assert all(not torch.allclose(a, b) for a, b in zip(maps, other, strict=True))


@pytest.mark.parametrize("scale_aware", [True, False])
def test_a_scene_of_zeros_halves_the_encoded_pyramid(scale_aware: bool) -> None:
    torch.manual_seed(0)
    relation = SceneRelation(8, 16, scale_aware=scale_aware).eval()
    for project in relation.scene_projections:
        torch.nn.init.zeros_(project[2].weight)
        torch.nn.init.zeros_(project[2].bias)
    pyramid = [torch.randn(1, 16, 4, 4) for _ in range(4)]
    related = relation(pyramid, torch.randn(1, 8, 2, 2))
    for out, encode, x in zip(related, relation.encoders, pyramid, strict=True):
        assert torch.allclose(out, encode(x) / 2)


def test_decoder_brings_all_levels_to_stride_4_and_averages() -> None:
    decoder = PyramidDecoder(16, 8).eval()
    pyramid = [torch.randn(1, 16, 224 >> i, 224 >> i) for i in range(4)]
    with torch.no_grad():
        assert decoder.branches[3](pyramid[3]).shape == (1, 8, 224, 224)
        for branch in decoder.branches:
            for layer in branch:
                if isinstance(layer, torch.nn.Conv2d):
                    torch.nn.init.dirac_(layer.weight)
                if isinstance(layer, torch.nn.BatchNorm2d):
                    layer.eps = 0.0
        levels = [torch.full((1, 16, 8 >> i, 8 >> i), float(i + 1)) for i in range(4)]
        assert torch.allclose(decoder(levels), torch.full((1, 8, 8, 8), 2.5), atol=1e-5)


@pytest.mark.parametrize("options", [{"relation": "both"}, {"annealing": "sine"}, {"gamma": -1}])
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ModelError):
        count_m("farseg_r50", num_classes=3, **options)
