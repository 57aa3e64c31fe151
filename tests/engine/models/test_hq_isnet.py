"""HQ-ISNet: counts, bridges between mask heads, learning."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.models.blocks.mask_heads import MaskCascade

from .instance_contract import SMALL_RCNN, InstanceContract, counted, trainable_m

pytestmark = pytest.mark.networks


class TestHqIsNet(InstanceContract):
    name = "hq_isnet"
    options = {**SMALL_RCNN, "backbone": "hrnet_w18_small"}  # noqa: RUF012


@pytest.mark.parametrize(
    ("name", "megabytes"), [("hq_isnet_w18", 504), ("hq_isnet_w32", 662), ("hq_isnet_w40", 792)]
)
def test_parameters(name: str, megabytes: int) -> None:
    network = counted(name, num_classes=1, idle_first_bridge=True)
    assert trainable_m(network) == pytest.approx(megabytes / 8, rel=1e-3)


def _pair() -> tuple[MaskCascade, MaskCascade]:
    torch.manual_seed(0)
    second = MaskCascade(2, flow="v2")
    first = MaskCascade(2, flow="v1")
    first.load_state_dict({k: v for k, v in second.state_dict().items() if "bridge" not in k})
    return first, second


def test_zeroed_bridges_are_isnet_v1() -> None:
    first, second = _pair()
    x = torch.randn(2, 256, 14, 14)
    with torch.no_grad():
        assert not torch.equal(first(x, 2), second(x, 2))
        for head in second.heads:
            for parameter in head.bridge.parameters() if head.bridge is not None else ():
                parameter.zero_()
        for stage in range(3):
            assert torch.equal(first(x, stage), second(x, stage))


def test_all_stages_are_those_one_by_one() -> None:
    x = torch.randn(1, 256, 14, 14)
    for cascade in _pair():
        with torch.no_grad():
            for stage, logits in enumerate(cascade.all_stages(x)):
                assert torch.equal(logits, cascade(x, stage))
                assert logits.shape == (1, 2, 28, 28)


def test_gradients_of_the_last_stage_reach_the_first_through_the_bridges() -> None:
    for cascade, reached in zip(_pair(), (False, True), strict=True):
        cascade(torch.randn(1, 256, 14, 14), 2).sum().backward()
        first = [p.grad is not None for p in cascade.heads[0].convs.parameters()]
        assert all(first) if reached else not any(first)
        assert all(p.grad is None for p in cascade.heads[0].predictor.parameters())


def test_bridges_cost_what_the_paper_prints() -> None:
    """Table 3: 2.59 G more for 100 regions (1 x 1 with bias and ReLU on 14 x 14, two bridges)."""
    regions, side, width = 100, 14, 256
    counts = []
    for flow in ("v1", "v2"):
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            MaskCascade(1, flow=flow).all_stages(torch.empty(regions, width, side, side))
        counts.append(counter.get_total_flops() / 2)
    values = 2 * regions * width * side**2
    with_bias_and_relu = counts[1] - counts[0] + 2 * values
    assert with_bias_and_relu == pytest.approx(2.589e9, rel=1e-3)


def test_an_unknown_flow_is_refused() -> None:
    with pytest.raises(ValueError, match="flow"):
        MaskCascade(1, flow="v3")  # type: ignore[arg-type]
