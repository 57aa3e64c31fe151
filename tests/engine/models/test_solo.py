"""SOLO: count, mask channels by hand, contract."""

from __future__ import annotations

import pytest
import torch

from engine.errors import ModelError
from engine.models import create_model
from engine.models.blocks.solo_losses import SoloOptions

from .instance_contract import SMALL_SOLO, InstanceContract, counted, trainable_m

pytestmark = pytest.mark.networks


class TestSolo(InstanceContract):
    name = "solo"
    options = SMALL_SOLO
    idle = ("head.masks",)  # channels of cells and levels without objects


def test_parameters() -> None:
    network = counted("solo_r101", num_classes=15, freeze=True)
    assert trainable_m(network) == pytest.approx(54.92, rel=1e-3)


def test_options_of_the_caller_win() -> None:
    network = counted("solo_r50", num_classes=2, tower_depth=2)
    assert network.options == SoloOptions(tower_width=256, tower_depth=2)
    with torch.device("meta"), pytest.raises(ModelError, match="solo_r50"):
        create_model("solo_r50", num_classes=2, nms="cubic")


def test_only_the_wanted_channels_are_computed() -> None:
    torch.manual_seed(0)
    network = create_model("solo", num_classes=2, **SMALL_SOLO).eval()
    features = torch.randn(32, 6, 9)
    cells = torch.tensor([5, 0, 63])
    with torch.no_grad():
        every = network.head.masks[2](features[None])[0]
        assert torch.allclose(network._channels(2, features, cells), every[cells], atol=1e-6)


@torch.no_grad()
def test_each_cell_draws_its_own_mask() -> None:
    """Two cells of two levels are made sure of; each instance has the mask of its cell."""
    network = create_model("solo", num_classes=2, **SMALL_SOLO).eval()
    sides = (16, 16, 8, 4, 4)
    features = [torch.zeros(32, side, side) for side in sides]
    features[1][0, :4] = 1.0  # upper quarter
    features[2][1, :, :2] = 1.0  # left quarter
    for level, channel in ((1, 0), (2, 1)):
        layer = network.head.masks[level]
        layer.weight.zero_()
        layer.bias.fill_(-9.0)
        layer.weight[7, channel] = 18.0
    grids = SMALL_SOLO["grids"]
    categories = [torch.full((2, grid, grid), -9.0) for grid in grids]
    categories[1][0].view(-1)[7] = 9.0
    categories[2][1].view(-1)[7] = 8.0
    found = network.instances(categories, features, (16, 16), (61, 64))
    assert found["labels"].tolist() == [1, 2]
    masks = found["masks"][:, 0] > 0.5
    assert masks[0, :14].all() and not masks[0, 18:].any()
    assert masks[1, :, :14].all() and not masks[1, :, 18:].any()
    assert masks.shape == (2, 61, 64)
