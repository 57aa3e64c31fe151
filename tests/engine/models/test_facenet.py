"""FACENet: counts, its modules one by one, the ablation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from engine.models import create_model
from engine.models.blocks.face_fpn import (
    ChannelAttention,
    FaceFpn,
    PyramidPooling,
    SemanticEnhancement,
    SubPixelContext,
)

from .instance_contract import SMALL_SOLO, InstanceContract, counted, disc_target, trainable_m

pytestmark = pytest.mark.networks


class TestFaceNet(InstanceContract):
    name = "facenet"
    options = SMALL_SOLO


def test_parameters() -> None:
    network = counted("facenet_r101", num_classes=15, freeze=True)
    assert trainable_m(network) == pytest.approx(93.28, rel=5e-3)
    assert trainable_m(network) == pytest.approx(93.35, abs=0.01)
    plain = counted("facenet_r101", num_classes=15, sem=False, neck="fpn", dcn=False)
    solo = counted("solov2_r101", num_classes=15)
    assert trainable_m(plain) == trainable_m(solo)


@pytest.mark.parametrize(
    ("options", "added_m"),
    [
        ({"sem": True, "neck": "fpn", "dcn": False}, 0.509),
        ({"sem": False, "neck": "fpn", "dcn": True}, 0.872),
        ({"sem": False, "neck": "face_fpn", "dcn": False}, 30.256 - 3.344),
    ],
)
def test_each_switch_adds_its_module(options, added_m) -> None:
    base = trainable_m(counted("solov2_r50", num_classes=15))
    network = counted("facenet_r50", num_classes=15, **options)
    assert trainable_m(network) - base == pytest.approx(added_m, abs=0.002)


NOTHING: dict[str, Any] = {"sem": False, "neck": "fpn", "dcn": False}


@pytest.mark.parametrize(
    "switches",
    [
        NOTHING,
        {**NOTHING, "sem": True},
        {**NOTHING, "neck": "face_fpn"},
        {**NOTHING, "dcn": True},
        {**NOTHING, "sem": True, "neck": "face_fpn"},
        {},
        {**NOTHING, "neck": "pafpn"},
        {**NOTHING, "neck": "bifpn"},
        {**NOTHING, "neck": "hrfpn"},
    ],
)
def test_every_row_of_the_ablation_trains_a_step(switches: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = create_model("facenet", num_classes=2, **SMALL_SOLO, **switches)
    network.train()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.0025, momentum=0.9)
    image, target = torch.randn(3, 64, 64), disc_target(64, 64, [(30, 28, 14, 2)])
    before = {k: v.detach().clone() for k, v in network.named_parameters()}
    sum(network([image], [target]).values()).backward()
    reached = {k for k, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    nn.utils.clip_grad_norm_(network.parameters(), 35.0)
    optimiser.step()
    after = dict(network.named_parameters())
    assert all(after[k].isfinite().all() for k in before)
    for part in ("neck", "head", "mask_features", "backbone"):
        names = [k for k in reached if k.startswith(part)]
        assert any(not torch.equal(before[k], after[k]) for k in names), part
    assert any("enhance" in k for k in reached) == switches.get("sem", True)
    assert any("predict" in k for k in before) == switches.get("dcn", True)


@pytest.mark.parametrize("options", [{}, {"neck": "bifpn"}])
def test_half_precision_trains_and_finds(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = create_model("facenet", num_classes=2, **SMALL_SOLO, **options)
    image, target = torch.randn(3, 64, 64), disc_target(64, 64, [(30, 28, 14, 2)])
    with torch.autocast("cpu", torch.bfloat16):
        losses = network.train()([image], [target])
    assert all(x.dtype == torch.float32 and x.isfinite() for x in losses.values())
    sum(losses.values()).backward()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        (found,) = network.eval()([image])
    assert {found[k].dtype for k in ("boxes", "scores", "masks")} == {torch.float32}


def test_sub_pixel_context() -> None:
    with torch.device("meta"):
        context = SubPixelContext(2048)
        assert context(torch.zeros(1, 2048, 25, 25)).shape == (1, 256, 50, 50)
    assert sum(p.numel() for p in context.parameters()) == 27_792_640
    small = SubPixelContext(8, 4)
    assert small(torch.randn(1, 8, 5, 7)).shape == (1, 4, 10, 14)


def test_sub_pixel_lateral_keeps_every_value_once() -> None:
    coarse = torch.arange(8 * 5 * 7, dtype=torch.float32).reshape(1, 8, 5, 7)
    shuffled = torch.nn.functional.pixel_shuffle(coarse, 2)
    lateral = torch.nn.Conv2d(2, 2, 1, bias=False)
    torch.nn.init.dirac_(lateral.weight)
    result = lateral(shuffled)
    assert result.shape == (1, 2, 10, 14)
    assert torch.equal(result.flatten().sort().values, coarse.flatten())


def test_semantic_enhancement_without_expansion_is_the_identity() -> None:
    module = SemanticEnhancement(6, 4)
    torch.nn.init.zeros_(module.expand.weight)
    torch.nn.init.zeros_(module.expand.bias)
    x = torch.randn(2, 6, 9, 11)
    assert torch.equal(module(x), x)


def test_pooling_keeps_odd_shapes_and_trains_on_one_image() -> None:
    module = PyramidPooling(32, 8).train()
    assert module(torch.randn(1, 32, 7, 9)).shape == (1, 32, 7, 9)


def test_attention_is_a_weight_per_channel() -> None:
    weights = ChannelAttention(16)(torch.randn(3, 16, 5, 4))
    assert weights.shape == (3, 16, 1, 1)
    assert ((weights > 0) & (weights < 1)).all()


def test_pyramid_shapes() -> None:
    with torch.device("meta"):
        neck = FaceFpn((256, 512, 1024, 2048)).eval()
        sides = (200, 100, 50, 25)
        maps = [torch.zeros(1, c, s, s) for c, s in zip((256, 512, 1024, 2048), sides, strict=True)]
        assert [tuple(x.shape) for x in neck(maps)] == [
            (1, 256, side, side) for side in (*sides, 13)
        ]


@torch.no_grad()
def test_attention_scales_every_level() -> None:
    torch.manual_seed(0)
    neck = FaceFpn((8, 16, 32, 64), 16).eval()
    maps = [torch.randn(1, c, s, s) for c, s in ((8, 16), (16, 8), (32, 4), (64, 2))]
    before = neck(maps)
    for layer in (neck.attention.of_mean, neck.attention.of_max):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.constant_(layer.bias, -50.0)
    assert all(float(x.abs().max()) < 1e-12 for x in neck(maps))
    assert all(float(x.abs().max()) > 0 for x in before)
