"""Hi-ResNet: printed counts, losses worked by hand, window attention, the variants."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from scipy.ndimage import distance_transform_cdt
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from engine.errors import ModelError
from engine.models import create_model
from engine.models.blocks.attention import (
    AggregationBlock,
    WindowAttention,
    from_windows,
    to_windows,
)
from engine.models.blocks.distance import boundary_distance, taxicab_distance
from engine.models.blocks.edge_aware import NO_CLASS, HiResNetLoss, draw_class, edge_aware
from engine.models.blocks.losses import cross_entropy, generalised_dice
from engine.models.blocks.ocr import ObjectContext

from .network_contract import NetworkContract, count_m

pytestmark = pytest.mark.networks


class TestHiResNet(NetworkContract):
    name = "hi_resnet"

    def test_inference_is_the_sum_of_both_outputs(self, network: torch.nn.Module) -> None:
        images = torch.randn(1, self.bands, 32, 48)
        network.eval()
        with torch.no_grad():
            coarse, refined = network.heads(images)  # type: ignore[operator]
            both = functional.interpolate(
                coarse + refined, size=(32, 48), mode="bilinear", align_corners=True
            )
            assert torch.allclose(network(images), both, atol=1e-5)


class TestSmallHiResNet(NetworkContract):
    name = "hi_resnet_small"


class TestHiResNetBase(NetworkContract):
    name = "hi_resnet_base"


@pytest.mark.slow
class TestHrnetW48(NetworkContract):
    name = "hrnet_w48"
    options: ClassVar = {"refinement": True, "edges": True}


@pytest.mark.parametrize(
    ("name", "options", "classes", "printed_m"),
    [
        ("hrnet_w48", {}, 6, 68.6),
        ("hrnet_w48", {"stage3_blocks": 12}, 6, 96.5),
        ("hrnet_w48", {"stage4_blocks": 12}, 6, 153.3),
        ("hrnet_w48", {"refinement": True}, 7, 75.9),
        ("hi_resnet_base", {}, 6, 46.5),
        ("hi_resnet", {"variant": "v1"}, 6, 50.2),
        ("hi_resnet", {"variant": "v2"}, 6, 22.3),
        ("hi_resnet", {"variant": "v3"}, 6, 26.0),
    ],
)
def test_parameters(name: str, options: dict[str, object], classes: int, printed_m: float) -> None:
    measured = count_m(name, num_classes=classes, **options)
    assert measured == pytest.approx(printed_m, rel=0.003)
    assert math.floor(measured * 10) / 10 == printed_m  # the paper truncates


@pytest.mark.parametrize(("name", "printed_g"), [("hi_resnet_base", 139.3), ("hi_resnet", 190.2)])
def test_multiplications_at_512_px(name: str, printed_g: float) -> None:
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        create_model(name, num_classes=6).eval()(torch.empty(1, 3, 512, 512))
    assert counter.get_total_flops() / 2e9 == pytest.approx(printed_g, rel=0.01)


@pytest.mark.parametrize("width", [48, 96, 192])
def test_parameters_of_the_aggregation_block(width: int) -> None:
    count = sum(p.numel() for p in AggregationBlock(width).parameters())
    assert count == 6 * width**2 + 34 * width


def test_aggregation_block_without_projection_is_the_identity() -> None:
    block = AggregationBlock(48)
    torch.nn.init.zeros_(block.projection.weight)
    x = torch.randn(2, 48, 13, 21)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("partition", ["grid", "block"])
@given(rows=st.integers(1, 4), cols=st.integers(1, 4), side=st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_windows_and_back_is_the_identity(partition: str, rows: int, cols: int, side: int) -> None:
    x = torch.arange(2 * 3 * rows * cols * side * side).reshape(2, 3, rows * side, cols * side)
    windows = to_windows(x, side, partition)  # type: ignore[arg-type]
    assert windows.shape == (2, rows * cols, 3, side * side)
    back = from_windows(windows, *x.shape[-2:], side, partition)  # type: ignore[arg-type]
    assert torch.equal(back, x)


def test_grid_windows_hold_interleaved_pixels() -> None:
    x = torch.arange(16).reshape(1, 1, 4, 4)
    assert to_windows(x, 2, "grid")[0, 0, 0].tolist() == [0, 2, 8, 10]
    assert to_windows(x, 2, "block")[0, 0, 0].tolist() == [0, 1, 4, 5]


@pytest.mark.parametrize("partition", ["grid", "block"])
@pytest.mark.parametrize(("height", "width"), [(8, 12), (7, 9)])
def test_attention_sees_its_window_and_nothing_else(
    partition: str, height: int, width: int
) -> None:
    torch.manual_seed(0)
    side = 4
    attention = WindowAttention(24, side_px=side, partition=partition)  # type: ignore[arg-type]
    x = torch.randn(1, 24, height, width)
    changed = x.clone()
    row, col = 5, 3
    changed[0, :, row, col] += 1
    with torch.no_grad():
        moved = (attention(x) - attention(changed)).abs().amax(dim=(0, 1)) > 1e-7
    rows, cols = -(-height // side), -(-width // side)
    y, x_ = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    if partition == "block":
        same = (y // side == row // side) & (x_ // side == col // side)
    else:
        same = (y % rows == row % rows) & (x_ % cols == col % cols)
    assert torch.equal(moved, same)


def test_padded_pixels_are_no_keys() -> None:
    torch.manual_seed(0)
    attention = WindowAttention(24, side_px=8, partition="block")
    x = torch.randn(1, 24, 3, 5)
    query, key = attention.query_key(x).flatten(2).chunk(2, dim=1)
    value = attention.value(x).flatten(2)
    weights = (query.transpose(1, 2) @ key / 24**0.5).softmax(dim=-1)
    by_hand = (value @ weights.transpose(1, 2)).reshape(1, 24, 3, 5)
    assert torch.allclose(attention(x), by_hand, atol=1e-5)


def test_regions_are_means_of_the_features_where_the_coarse_logits_are_certain() -> None:
    features = torch.tensor([[1.0, 3.0, 5.0, 7.0]]).reshape(1, 1, 2, 2)
    coarse = torch.tensor([[50.0, 50, 0, 0], [0, 0, 0, 50.0]]).reshape(1, 2, 2, 2)
    assert ObjectContext.regions(features, coarse).flatten().tolist() == pytest.approx([2, 7])


# --- losses


def _logits(rows: list[list[float]]) -> torch.Tensor:
    return torch.tensor(rows).log().reshape(1, len(rows), 1, -1)


def test_generalised_dice_by_hand() -> None:
    logits = _logits([[0.9, 0.8, 0.7, 0.4], [0.1, 0.2, 0.3, 0.6]])
    target = torch.tensor([[[0, 0, 0, 1]]])
    assert float(generalised_dice(logits, target)) == pytest.approx(0.390625, abs=1e-6)
    absent = torch.cat((logits, torch.full((1, 1, 1, 4), -100.0)), dim=1)
    assert float(generalised_dice(absent, target)) == pytest.approx(0.390625, abs=1e-6)
    ignored = torch.cat((logits, torch.zeros(1, 2, 1, 3)), dim=-1)
    longer = torch.tensor([[[0, 0, 0, 1, 255, 255, 255]]])
    assert float(generalised_dice(ignored, longer)) == pytest.approx(0.390625, abs=1e-6)


def test_perfect_prediction_has_no_dice_and_no_edge_loss() -> None:
    target = torch.randint(0, 3, (2, 9, 7))
    logits = functional.one_hot(target, 3).movedim(-1, 1) * 200.0
    assert float(generalised_dice(logits, target)) == pytest.approx(0.0, abs=1e-6)
    assert all(float(edge_aware(logits, target, c)) == 0.0 for c in range(3))


def test_label_smoothing_by_hand() -> None:
    logits = _logits([[0.7], [0.2], [0.1]])
    target = torch.zeros((1, 1, 1), dtype=torch.int64)
    ours = float(cross_entropy(logits, target, smoothing=0.1))
    assert ours == pytest.approx(0.516609, abs=1e-6)
    by_eq_4 = -(0.9 * math.log(0.7) + 0.05 * math.log(0.2) + 0.05 * math.log(0.1))
    assert ours == pytest.approx(by_eq_4, abs=1e-6)


def test_distance_of_a_centre_pixel() -> None:
    mask = torch.zeros((5, 5), dtype=torch.bool)
    mask[2, 2] = True
    expected = [[4, 3, 2, 3, 4], [3, 2, 1, 2, 3], [2, 1, 1, 1, 2], [3, 2, 1, 2, 3], [4, 3, 2, 3, 4]]
    assert boundary_distance(mask).tolist() == expected


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_distance_equals_scipy(height: int, width: int, share: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    ours = taxicab_distance(torch.from_numpy(mask)).numpy()
    if mask.all():
        assert not ours.any()
    else:
        assert (ours == distance_transform_cdt(mask, metric="taxicab")).all()


def test_edge_loss_by_hand() -> None:
    target = torch.zeros((1, 5, 5), dtype=torch.int64)
    target[0, 2, 2] = 1
    logits = torch.tensor([0.8, 0.2]).log().reshape(1, 2, 1, 1).expand(1, 2, 5, 5)
    assert float(edge_aware(logits, target, 1, max_distance_px=0)) == pytest.approx(0.3008)
    scaled = float(edge_aware(logits, target, 1, max_distance_px=4))
    assert scaled == pytest.approx(0.3008 / 16)


def test_edge_loss_grows_with_the_distance_of_the_error() -> None:
    target = torch.zeros((1, 40, 40), dtype=torch.int64)
    target[:, :, :10] = 1
    values = []
    for col in (11, 20, 38):
        logits = torch.zeros(1, 2, 40, 40)
        logits[:, 0] = torch.where(target == 1, -20.0, 20.0)
        logits[:, 0, 20, col] = -20.0
        values.append(float(edge_aware(logits, target, 1)))
    assert values[0] < values[1] < values[2]


def test_weights_are_those_of_the_paper() -> None:
    weights = list(HiResNetLoss().weights.values())
    assert weights == pytest.approx([0.3923, 0.3923, 0.2153], abs=1e-4)
    assert weights == pytest.approx(torch.tensor([1, 1, 0.4]).softmax(0).tolist())
    assert list(HiResNetLoss(("dice", "smoothed")).weights.values()) == [0.5, 0.5]


def test_loss_is_the_weighted_sum_over_both_outputs() -> None:
    torch.manual_seed(0)
    target = torch.full((1, 6, 7), 2)
    outputs = [torch.randn(1, 3, 6, 7) for _ in range(2)]
    losses = HiResNetLoss()(outputs, target)
    expected = sum(
        0.3923 * generalised_dice(x, target)
        + 0.3923 * cross_entropy(x, target, smoothing=0.1)
        + 0.2153 * edge_aware(x, target, 2)
        for x in outputs
    )
    assert float(losses["loss"]) == pytest.approx(float(expected), rel=1e-3)


def test_only_present_classes_are_drawn() -> None:
    target = torch.tensor([1, 1, 1, 4, 255])
    drawn = {draw_class(target, 6) for _ in range(40)}
    assert drawn == {1, 4}
    assert draw_class(torch.tensor([255]), 6) == NO_CLASS


# --- loading and options


def test_backbone_weights_load_whatever_the_heads_are(tmp_path: Path) -> None:
    torch.manual_seed(0)
    options = {"in_channels": 2, "variant": "v2"}
    first = create_model("hi_resnet", num_classes=3, **options)
    path = tmp_path / "pretrained.safetensors"
    save_file(first.state_dict(), path)
    second = create_model("hi_resnet", num_classes=5, pretrained=str(path), **options)
    loaded = second.backbone.state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in first.backbone.state_dict().items())
    with pytest.raises(ModelError, match="no weights of this backbone"):
        create_model("hi_resnet_base", num_classes=3, in_channels=2, pretrained=str(path))


@pytest.mark.parametrize("options", [{"variant": "v9"}, {"partition": "rows"}, {"pretrained": "x"}])
def test_wrong_options_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(ModelError):
        count_m("hi_resnet", num_classes=3, **options)
