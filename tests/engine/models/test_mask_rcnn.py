"""Mask R-CNN: the counts of HQ-ISNet's tables, the high-resolution pyramid, the contract."""

from __future__ import annotations

import pytest
import torch

from engine.errors import ModelError
from engine.models import create_model
from engine.models.blocks.detection_necks import HighResolutionNeck

from .instance_contract import SMALL_RCNN, InstanceContract, counted, disc_target, trainable_m

pytestmark = pytest.mark.networks


class TestMaskRcnn(InstanceContract):
    name = "mask_rcnn"
    options = SMALL_RCNN


class TestMaskRcnnHrfpn(InstanceContract):
    name = "mask_rcnn"
    options = {**SMALL_RCNN, "backbone": "hrnet_w18_small"}  # noqa: RUF012


@pytest.mark.parametrize("name", ["mask_rcnn", "hq_isnet"])
def test_half_precision_trains_and_finds(name: str) -> None:
    torch.manual_seed(0)
    network = create_model(name, num_classes=2, **{**SMALL_RCNN, "backbone": "hrnet_w18_small"})
    image, target = torch.randn(3, 64, 64), disc_target(64, 64, [(30, 28, 14, 2)])
    with torch.autocast("cpu", torch.bfloat16):
        losses = network.train()([image], [target])
        sum(losses.values()).backward()
        network.eval()
        with torch.no_grad():
            (found,) = network([image])
            maps = network.backbone(torch.randn(1, 3, 64, 64))
            _, encoded = network.rpn.head(list(maps.values()))
    assert all(bool(x.isfinite()) for x in losses.values())
    assert {found[k].dtype for k in ("boxes", "scores", "masks")} == {torch.float32}
    assert {x.dtype for x in encoded} == {torch.float32}  # else proposals are rounded to pixels


@pytest.mark.parametrize(
    ("name", "classes", "printed_m"),
    [
        ("mask_rcnn_r50", 1, 43.75),
        ("mask_rcnn_r101", 1, 62.74),
        ("mask_rcnn_r50", 10, 43.80),
        ("mask_rcnn_r101", 10, 62.79),
        ("mask_rcnn_hrfpn_w18", 1, 29.71),
        ("mask_rcnn_hrfpn_w32", 1, 49.50),
        ("mask_rcnn_hrfpn_w40", 1, 65.75),
    ],
)
def test_parameters(name: str, classes: int, printed_m: float) -> None:
    network = counted(name, num_classes=classes, freeze=True)
    assert trainable_m(network) == pytest.approx(printed_m, rel=1e-3)


def test_sizes_of_the_high_resolution_pyramid() -> None:
    with torch.device("meta"):
        neck = HighResolutionNeck((18, 36, 72, 144))
        maps = [torch.zeros(1, 18 * 2**i, 152 // 2**i, 256 // 2**i) for i in range(4)]
        sizes = [tuple(x.shape[-2:]) for x in neck(maps)]
    assert sizes == [(152, 256), (76, 128), (38, 64), (19, 32), (9, 16)]


def test_the_high_resolution_pyramid_averages() -> None:
    neck = HighResolutionNeck((2, 4, 8, 16), 3)
    torch.nn.init.dirac_(neck.mix.weight)
    torch.nn.init.zeros_(neck.mix.bias)
    for layer in neck.outputs:
        torch.nn.init.dirac_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    torch.manual_seed(0)
    maps = [torch.randn(1, 2 * 2**i, 16 // 2**i, 16 // 2**i) for i in range(4)]
    levels = neck(maps)
    for level, x in enumerate(levels):
        side = 2**level
        blocks = maps[0].reshape(1, 2, 16 // side, side, 16 // side, side).mean(dim=(3, 5))
        assert torch.allclose(x[:, :2], blocks, atol=1e-6)


@pytest.mark.parametrize("options", [{"resize_px": [600]}, {"no_such_option": 1}])
def test_wrong_options_are_a_model_error(options) -> None:
    with torch.device("meta"), pytest.raises(ModelError, match="mask_rcnn_r50"):
        create_model("mask_rcnn_r50", num_classes=2, **options)
