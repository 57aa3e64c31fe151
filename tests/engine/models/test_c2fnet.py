"""C2FNet: aggregation worked by hand, localisation, frozen coarse network, any two networks."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from engine.errors import ModelError
from engine.models import create_model
from engine.models.blocks.second_look import (
    aggregate,
    class_mask,
    count_in_windows,
    cut_patches,
    locate,
    paste_mean,
    raise_probabilities,
    window_starts,
)
from engine.models.c2fnet import C2FNet, Look

from .network_contract import NetworkContract, count_m, striped_target

pytestmark = pytest.mark.networks
SMALL_LOOK = {"patch_px": 32, "stride_px": 32, "top_n": 2}


class TestC2FNet(NetworkContract):
    name = "c2fnet_w18"
    traceable = False
    options: ClassVar = {"small_classes": [1, 2, 3], "look": SMALL_LOOK}

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _sees_something(cls, network: nn.Module) -> None:
        with torch.no_grad():  # the untrained coarse network shall find windows
            network.coarse.head[-1].bias[1] += 0.01  # type: ignore[union-attr,index,operator]


class TestFcnHrnetW18(NetworkContract):
    name = "fcn_hrnet_w18"


@pytest.mark.parametrize(("name", "printed_m"), [("fcn_hrnet_w18", 9.64), ("fcn_hrnet_w48", 65.86)])
def test_parameters(name: str, printed_m: float) -> None:
    assert count_m(name, num_classes=16) == pytest.approx(printed_m, abs=0.005)


# --- aggregation

SMALL = torch.tensor([False, False, True, True])
HAND = {
    "A": ((0.5, 0.2, 0.25, 0.05), 0.8, (0.5, 0.2, 1.05, 0.05)),
    "B": ((0.3, 0.05, 0.6, 0.05), 0.1, (1.2, 0.05, 0.6, 0.05)),
    "C": ((0.1, 0.1, 0.7, 0.1), 0.9, (0.1, 0.1, 0.7, 0.1)),
    "D": ((0.8, 0.1, 0.05, 0.05), 0.2, (0.8, 0.1, 0.05, 0.05)),
    "E": ((0.02, 0.01, 0.96, 0.01), 0.4, (0.62, 0.01, 0.96, 0.01)),
    "exactly half": ((0.5, 0.2, 0.25, 0.05), 0.5, (0.5, 0.2, 0.75, 0.05)),
}


def _pixel(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values).reshape(1, -1, 1, 1)


@pytest.mark.parametrize("case", HAND)
def test_aggregation_by_hand(case: str) -> None:
    coarse, small, expected = HAND[case]
    raised = raise_probabilities(_pixel(coarse), torch.full((1, 1, 1), small), SMALL)
    assert raised.flatten().tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("case", "softmax"),
    [("A", (0.2432, 0.1802, 0.4215, 0.1551)), ("B", (0.4583, 0.1451, 0.2515, 0.1451))],
)
def test_softmax_by_hand(case: str, softmax: tuple[float, ...]) -> None:
    coarse, small, _ = HAND[case]
    logits = aggregate(_pixel(coarse).log(), torch.full((1, 1, 1), small), SMALL)
    assert logits.softmax(dim=1).flatten().tolist() == pytest.approx(softmax, abs=1e-4)


def test_the_literal_equation_cannot_reject() -> None:
    coarse, small, _ = HAND["B"]
    raised = raise_probabilities(_pixel(coarse), torch.full((1, 1, 1), small), SMALL, "literal")
    assert raised.flatten().tolist() == pytest.approx((0.3, 0.05, 1.5, 0.05))
    assert int(raised.argmax(dim=1)) == 2


def test_the_published_code_adds_to_all_small_logits() -> None:
    out = aggregate(torch.zeros(1, 4, 1, 1), torch.full((1, 1, 1), 0.3), SMALL, mode="paddlers")
    assert out.flatten().tolist() == pytest.approx([0, 0, 0.3, 0.3])


@given(seed=st.integers(0, 200))
@settings(max_examples=30, deadline=None)
def test_aggregation_invariants(seed: int) -> None:
    torch.manual_seed(seed)
    logits = torch.randn(1, 4, 7, 5) * 2
    truth = torch.rand(1, 7, 5) < 0.4
    before = SMALL[logits.argmax(dim=1)]
    agreeing = aggregate(logits, before.float(), SMALL, normalisation="sum")
    assert torch.equal(agreeing, logits)
    for normalisation in ("sum", "softmax"):
        oracle = aggregate(logits, truth.float(), SMALL, normalisation=normalisation)  # type: ignore[arg-type]
        after = SMALL[oracle.argmax(dim=1)]
        assert (after == truth).sum() >= (before == truth).sum()
        assert (after == truth).all()
    probability = torch.rand(1, 7, 5)
    both = [
        aggregate(logits, probability, SMALL, normalisation=n).argmax(dim=1)  # type: ignore[arg-type]
        for n in ("sum", "softmax")
    ]
    assert torch.equal(*both)


# --- localisation


@pytest.mark.parametrize(
    ("length", "expected"),
    [(8, [0]), (9, [0, 1]), (16, [0, 4, 8]), (17, [0, 4, 8, 9]), (19, [0, 4, 8, 11])],
)
def test_the_last_window_is_moved_to_the_border(length: int, expected: list[int]) -> None:
    assert window_starts(length, 8, 4) == expected


@given(
    height=st.integers(6, 20),
    width=st.integers(6, 20),
    stride=st.integers(1, 6),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_counts_equal_a_loop(height: int, width: int, stride: int, seed: int) -> None:
    torch.manual_seed(seed)
    heat = torch.rand(2, height, width) < 0.3
    counts = count_in_windows(heat, 6, stride)
    rows, cols = window_starts(height, 6, stride), window_starts(width, 6, stride)
    by_loop = [
        [[int(image[r : r + 6, c : c + 6].sum()) for c in cols] for r in rows] for image in heat
    ]
    assert counts.tolist() == by_loop


def test_the_top_window_holds_the_whole_blob_and_only_positives_are_taken() -> None:
    heat = torch.zeros((2, 512, 512), dtype=torch.bool)
    heat[1, 200:210, 300:310] = True
    windows = locate(heat, patch_px=128, stride_px=32, top_n=32)
    image, row, col = windows[0].tolist()
    assert image == 1 and row <= 200 and row + 128 >= 210 and col <= 300 and col + 128 >= 310
    patches = cut_patches(heat, windows, 128)
    assert patches[0].sum() == 100
    assert (patches.sum(dim=(1, 2)) > 0).all()
    counts = patches.sum(dim=(1, 2)).tolist()
    assert counts == sorted(counts, reverse=True)
    assert len(windows) == int((count_in_windows(heat, 128, 32) > 0).sum()) < 32


def test_ties_come_in_raster_order_and_top_n_is_per_image() -> None:
    heat = torch.ones((2, 8, 8), dtype=torch.bool)
    windows = locate(heat, patch_px=4, stride_px=4, top_n=3)
    assert windows.tolist() == [[i, r, c] for i in (0, 1) for r, c in ((0, 0), (0, 4), (4, 0))]


def test_patches_go_back_where_they_were_and_overlaps_are_averaged() -> None:
    x = torch.rand(2, 9, 11)
    windows = locate(torch.ones_like(x, dtype=torch.bool), patch_px=4, stride_px=3, top_n=None)
    mean = paste_mean(cut_patches(x, windows, 4), windows, x.shape)
    assert torch.allclose(mean, x)
    two = torch.tensor([[0, 0, 0], [0, 0, 2]])
    mean = paste_mean(torch.tensor([1.0, 3.0]).view(2, 1, 1).expand(2, 4, 4), two, x.shape)
    assert mean[0, 0, :7].tolist() == [1, 1, 2, 2, 3, 3, 0] and not mean[1].any()


# --- the network


class Colours(nn.Module):
    """Coarse network whose logits are the image; fine network that looks at one band."""

    def __init__(self, band: int | None = None) -> None:
        super().__init__()
        self.band = band
        self.scale = nn.Parameter(torch.ones(()))
        self.norm = nn.BatchNorm2d(4)
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        if self.training:
            images = self.norm(images)
        if self.band is None:
            return images * self.scale
        one = images[:, self.band] * self.scale
        return torch.stack((-one, one), dim=1)

    def loss(self, outputs: Tensor, target: Tensor, ignore_index: int = 255) -> dict[str, Tensor]:
        return {"loss": functional.cross_entropy(outputs, target, ignore_index=ignore_index)}


def _network(stage: str = "fine", band: int = 3, **look: Any) -> C2FNet:
    options = Look(**{"patch_px": 16, "stride_px": 8, "top_n": 4, **look})
    return C2FNet(
        Colours(),
        Colours(band),
        num_classes=4,
        small_classes=[2, 3],
        look=options,
        stage=stage,  # type: ignore[arg-type]
    )


def test_without_small_objects_the_fine_network_is_not_called() -> None:
    network = _network().eval()
    images = torch.rand(2, 4, 37, 61)
    images[:, 0] += 5
    with torch.no_grad():
        assert torch.equal(network(images), network.coarse(images))
    assert network.fine.calls == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("top_n", [1, 2, 100])
def test_overlapping_windows_and_their_order_change_nothing_twice(top_n: int) -> None:
    torch.manual_seed(0)
    images = torch.randn(1, 4, 37, 29)
    network = _network(infer_stride_px=5, top_n=top_n).eval()
    with torch.no_grad():
        coarse = network.first_look(images)
        small = torch.stack((-images[:, 3], images[:, 3]), dim=1).softmax(dim=1)[:, 1]
        by_hand = aggregate(coarse, small, SMALL, normalisation="sum")
        assert torch.allclose(network(images), by_hand, atol=1e-4)


def test_only_pixels_in_windows_with_small_objects_change() -> None:
    network = _network(band=1).eval()
    images = torch.zeros(1, 4, 37, 61)
    images[:, 0] = 5
    images[:, 1] = 10 * (torch.rand(1, 37, 61) < 0.5)  # the fine network says small here
    images[:, 0] += images[:, 1]
    images[0, 2, 20, 18] = 40  # one small object for the coarse network
    with torch.no_grad():
        changed = network(images).argmax(dim=1) != images.argmax(dim=1)
    rows, cols = changed[0].nonzero(as_tuple=True)
    assert rows.numel() > 0
    assert 16 <= int(rows.min()) <= int(rows.max()) < 32
    assert 16 <= int(cols.min()) <= int(cols.max()) < 32


@pytest.mark.parametrize("zoom", [1, 2, 3, 4])
def test_zoom_keeps_the_place_of_patches_and_labels(zoom: int) -> None:
    torch.manual_seed(0)
    images = functional.one_hot(torch.randint(0, 4, (1, 24, 20)), 4).movedim(-1, 1) * 20.0
    images = images.repeat_interleave(8, -1).repeat_interleave(8, -2)[..., :40, :36]
    network = _network(band=3, zoom=zoom).train()
    outputs = network(images)
    assert outputs.fine.shape[-2:] == (16 * zoom, 16 * zoom)
    target = images.argmax(dim=1)
    target[:, 0] = 255
    labels = network._fine_labels(outputs.windows, target, 255)
    assert labels.shape == (len(outputs.windows), 16 * zoom, 16 * zoom)
    first = cut_patches(target, outputs.windows, 16)
    expected = torch.where(first == 255, 255, (first >= 2).long())
    assert torch.equal(labels[:, ::zoom, ::zoom], expected)
    network.eval()
    with torch.no_grad():
        assert network(images).shape == (1, 4, 40, 36)


def test_frozen_coarse_network_does_not_change_in_ten_steps() -> None:
    torch.manual_seed(0)
    network = _network("fine").train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    for _ in range(10):
        images = torch.randn(1, 4, 37, 61)
        loss = network.loss(network(images), torch.randint(0, 4, (1, 37, 61)))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert not any(k.startswith("coarse.") for k in changed)
    assert {"fine.scale", "fine.norm.running_mean"} <= changed


def test_stages_train_what_they_say() -> None:
    images, target = torch.randn(2, 4, 24, 24), torch.randint(0, 4, (2, 24, 24))
    for stage, trained in (
        ("coarse", {"coarse"}),
        ("fine", {"fine"}),
        ("joint", {"coarse", "fine"}),
    ):
        network = _network(stage).train()
        network.loss(network(images), target)["loss"].backward()
        reached = {k.split(".")[0] for k, p in network.named_parameters() if p.grad is not None}
        assert reached == trained
    network = _network("coarse").eval()
    network(images)
    assert network.fine.calls == 0  # type: ignore[union-attr]


def test_a_batch_without_windows_has_a_loss_of_zero_that_can_be_followed() -> None:
    network = _network("fine").train()
    images = torch.zeros(1, 4, 20, 20)
    images[:, 0] = 1
    loss = network.loss(network(images), torch.zeros((1, 20, 20), dtype=torch.int64))["loss"]
    loss.backward()
    assert float(loss.detach()) == 0.0


def test_a_better_fine_network_raises_the_accuracy_of_small_objects() -> None:
    torch.manual_seed(0)
    truth = torch.zeros((1, 64, 64), dtype=torch.int64)
    truth[0, 10:16, 10:16] = 2
    truth[0, 40:44, 30:38] = 3
    images = functional.one_hot(truth, 4).movedim(-1, 1) * 2.0 + torch.randn(1, 4, 64, 64)
    oracle = torch.where(truth >= 2, 9.0, -9.0)
    images = torch.cat((images, oracle.unsqueeze(1)), dim=1)
    network = C2FNet(
        Colours(),
        Colours(4),
        num_classes=4,
        small_classes=[2, 3],
        look=Look(patch_px=16),
        stage="fine",
    ).eval()
    with torch.no_grad():
        coarse = network.first_look(images)[:, :4]
        fine = network.second_look(images, coarse)
    for class_id in (2, 3):
        assert _iou(fine, truth, class_id) > _iou(coarse, truth, class_id)


def _iou(logits: Tensor, truth: Tensor, class_id: int) -> float:
    found, real = logits.argmax(dim=1) == class_id, truth == class_id
    return float((found & real).sum() / (found | real).sum())


def test_any_two_networks_of_the_zoo() -> None:
    network = create_model(
        "c2fnet",
        num_classes=3,
        in_channels=2,
        coarse="semantic_fpn_r50",
        fine={"name": "farseg_r50", "relation": "none"},
        small_classes=[2],
        look=SMALL_LOOK,
    ).train()
    images = torch.randn(1, 2, 40, 36)
    losses = network.loss(network(images), striped_target(1, 40, 36, 3))
    assert losses["loss"].isfinite()


@pytest.mark.parametrize(
    "options",
    [
        {"small_classes": []},
        {"small_classes": [0, 1, 2]},
        {"small_classes": [7]},
        {"look": {"zoom": 5}},
        {"look": {"mode": "both"}},
        {"look": {"patch": 3}},
        {"stage": "third"},
        {"coarse": "no_such_network"},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        count_m("c2fnet", num_classes=3, **options)


def test_class_mask() -> None:
    assert class_mask(4, [3, 1], torch.device("cpu")).tolist() == [False, True, False, True]
