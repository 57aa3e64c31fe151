"""Every family of segmentation-models-pytorch with a light encoder: the whole contract."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from engine.models import create_model
from engine.models.baselines import SMP_ARCHITECTURES
from engine.models.blocks.pooled_norm import PooledBatchNorm2d, allow_single_values

from .network_contract import NetworkContract, striped_target

pytestmark = pytest.mark.networks

NARROW = [16, 16, 8, 8, 8]
# Light encoders. Attention of MA-Net on narrow skips has one channel, which may rest.
FAMILIES: dict[str, dict[str, Any]] = {
    "unet": {"encoder": "mobilenet_v2", "decoder_channels": NARROW},
    "unetplusplus": {"encoder": "mobilenet_v2", "decoder_channels": NARROW},
    "fpn": {"encoder": "mobilenet_v2"},
    "linknet": {"encoder": "mobilenet_v2"},
    "manet": {"encoder": "resnet18"},
    "pan": {"encoder": "mobilenet_v2"},
    "pspnet": {"encoder": "mobilenet_v2"},
    "deeplabv3": {"encoder": "mobilenet_v2"},
    "deeplabv3plus": {"encoder": "mobilenet_v2"},
    "upernet": {"encoder": "mobilenet_v2"},
    "segformer": {"encoder": "mit_b0"},
    "dpt": {"encoder": "tu-vit_tiny_patch16_224"},
}
ENCODERS = ("mobilenet_v2", "resnet18", "efficientnet-b0", "tu-mobilenetv3_small_050")
QUICK = ("linknet", "fpn", "deeplabv3plus")


def test_every_family_is_here() -> None:
    assert set(FAMILIES) == set(SMP_ARCHITECTURES)


def _contract(family: str) -> type[NetworkContract]:
    members: dict[str, Any] = {"name": family, "options": FAMILIES[family]}
    if family == "pan":  # its attention has branches of one channel, which may rest on small images
        members["train_px"] = (200, 231)
    made = type(f"Test{family.title()}", (NetworkContract,), members)
    return made if family in QUICK else pytest.mark.slow(made)


for _family in FAMILIES:
    globals()[f"Test{_family.title()}"] = _contract(_family)


class TestFcn(NetworkContract):
    name = "fcn"
    options: ClassVar[dict[str, Any]] = {"encoder": "mobilenet_v2"}


@given(
    family=st.sampled_from(["linknet", "fpn", "fcn"]),
    encoder=st.sampled_from(ENCODERS),
    bands=st.integers(1, 7),
    classes=st.integers(2, 9),
    sides=st.tuples(st.integers(9, 70), st.integers(9, 70)),
)
@settings(max_examples=8, deadline=None)
def test_any_bands_classes_and_size(
    family: str, encoder: str, bands: int, classes: int, sides: tuple[int, int]
) -> None:
    network = create_model(family, num_classes=classes, in_channels=bands, encoder=encoder).eval()
    with torch.no_grad():
        logits = network(torch.randn(1, bands, *sides))
    assert logits.shape == (1, classes, *sides) and logits.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted({*FAMILIES} - {"segformer", "dpt"}))
@pytest.mark.parametrize(("encoder", "bands", "classes"), [("resnet18", 1, 2), (ENCODERS[2], 7, 9)])
def test_a_step_of_training_with_any_bands_and_classes(
    family: str, encoder: str, bands: int, classes: int
) -> None:
    torch.manual_seed(0)
    network = create_model(family, num_classes=classes, in_channels=bands, encoder=encoder).train()
    target = striped_target(2, 64, 96, classes)
    loss = network.loss(network(torch.randn(2, bands, 64, 96)), target)["loss"]
    loss.backward()
    assert loss.isfinite()


# --- one value per channel


def test_a_single_value_is_normalised_by_the_running_statistics() -> None:
    norm = PooledBatchNorm2d(2).train()
    norm.running_mean.copy_(torch.tensor([1.0, -1.0]))
    norm.running_var.copy_(torch.tensor([4.0, 0.25]))
    x = torch.tensor([3.0, 0.0]).reshape(1, 2, 1, 1).requires_grad_()
    y = norm(x)
    assert y.flatten().tolist() == pytest.approx([1.0, 2.0], abs=1e-4)
    assert norm.running_mean.tolist() == [1.0, -1.0] and int(norm.num_batches_tracked) == 0
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == pytest.approx([0.5, 2.0], abs=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_more_values_are_normalised_as_ever(training: bool) -> None:
    torch.manual_seed(0)
    plain = nn.BatchNorm2d(3).train(training)
    network = nn.Sequential(nn.Sequential(nn.BatchNorm2d(3))).train(training)
    allow_single_values(network)
    assert list(network.state_dict()) == [f"0.0.{name}" for name in plain.state_dict()]
    x = torch.randn(2, 3, 5, 7)
    assert torch.equal(network(x), plain(x))
    for ours, theirs in zip(network.buffers(), plain.buffers(), strict=True):
        assert torch.equal(ours, theirs)


def test_parameters_stay_those_that_an_optimiser_holds() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3))
    before = list(network.parameters())
    allow_single_values(network)
    assert all(a is b for a, b in zip(before, network.parameters(), strict=True))
    functional.mse_loss(network.train()(torch.ones(1, 3, 1, 1)), torch.ones(1, 3, 1, 1)).backward()
    assert all(p.grad is not None for p in before)
