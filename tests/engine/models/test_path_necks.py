"""Pyramids of FACENet's table 8: shapes, counts, fusion by hand."""

from __future__ import annotations

import pytest
import torch

from engine.models.blocks.detection_necks import group_norm
from engine.models.blocks.path_necks import WeightedFusion, named_neck

NAMES = ("fpn", "pafpn", "bifpn", "hrfpn")
MAPS = (256, 512, 1024, 2048)


@pytest.mark.parametrize("name", NAMES)
def test_five_levels_and_every_parameter_learns(name: str) -> None:
    torch.manual_seed(0)
    neck = named_neck(name, (8, 16, 32, 64), 16)
    assert neck.width == 16
    sides = ((24, 40), (12, 20), (6, 10), (3, 5))
    maps = [torch.randn(1, c, *s) for c, s in zip((8, 16, 32, 64), sides, strict=True)]
    levels = neck(maps)
    assert [tuple(x.shape[1:]) for x in levels[:4]] == [(16, *side) for side in sides]
    assert levels[4].shape[2:] == ((1, 2) if name == "hrfpn" else (2, 3))
    sum((x * torch.randn_like(x)).sum() for x in levels).backward()
    assert [n for n, p in neck.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # laterals 3840 · 256 + 4 · 256, outputs 4 · (9 · 256² + 256)
        ("fpn", 984_064 + 4 * 590_080),
        # the same and six more 3×3
        ("pafpn", 984_064 + 10 * 590_080),
        # one lateral more; per pass 8 fusions of 9 · 256 + 256² + 256 + 2 · 256 and 19 weights
        ("bifpn", 984_064 + 524_544 + 3 * (8 * 68_608 + 19)),
        # one 1×1 over all maps, five 3×3
        ("hrfpn", 3840 * 256 + 256 + 5 * 590_080),
    ],
)
def test_parameters(name: str, parameters: int) -> None:
    with torch.device("meta"):
        neck = named_neck(name, MAPS)
    assert sum(p.numel() for p in neck.parameters()) == parameters


def test_group_norm_takes_one_pixel_and_keeps_the_papers_groups() -> None:
    assert [group_norm(width).num_groups for width in (512, 256, 128)] == [32, 32, 32]
    for width in (4, 30, 32, 64):
        assert group_norm(width).train()(torch.randn(1, width, 1, 1)).isfinite().all()


def test_an_unknown_neck_is_refused() -> None:
    with pytest.raises(ValueError, match="neck 'nas'"):
        named_neck("nas", MAPS)


@torch.no_grad()
def test_fusion_weighs_by_what_it_learnt() -> None:
    """Weights 3, 1 and -2: three quarters, one quarter, nothing."""
    fusion = WeightedFusion(3, 4)
    fusion.weights.copy_(torch.tensor([3.0, 1.0, -2.0]))
    fusion.depthwise.weight.zero_()
    fusion.depthwise.weight[:, :, 1, 1] = 1.0
    torch.nn.init.dirac_(fusion.pointwise.weight)
    fusion.pointwise.bias.zero_()
    fusion.norm = torch.nn.Identity()
    maps = [torch.full((1, 4, 3, 5), value) for value in (4.0, 8.0, 100.0)]
    expected = torch.nn.functional.silu(torch.tensor(5.0))
    assert torch.allclose(fusion(maps), expected.expand(1, 4, 3, 5), atol=1e-3)


def test_the_bottom_up_path_reaches_the_coarsest_level() -> None:
    """In PAFPN the finest map moves the coarsest level; in FPN it cannot."""
    moved = {}
    for name in ("fpn", "pafpn", "bifpn"):
        torch.manual_seed(0)
        neck = named_neck(name, (4, 4, 4, 4), 8)
        maps = [torch.randn(1, 4, 32 // 2**i, 32 // 2**i) for i in range(4)]
        with torch.no_grad():
            first = neck(maps)[4]
            maps[0] = maps[0] + 1
            moved[name] = not torch.equal(first, neck(maps)[4])
    assert moved == {"fpn": False, "pafpn": True, "bifpn": True}
