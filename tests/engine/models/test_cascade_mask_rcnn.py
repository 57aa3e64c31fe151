"""Cascade Mask R-CNN: counts, losses by hand, what a stage learns from."""

from __future__ import annotations

import pytest
import torch

from engine.models import create_model
from engine.models.blocks.cascade_roi_heads import CascadeRoiHeads, Regions, box_losses
from engine.models.blocks.mask_heads import MaskCascade
from engine.models.blocks.rcnn_parts import RcnnOptions

from .instance_contract import (
    SMALL_RCNN,
    InstanceContract,
    counted,
    disc_target,
    no_target,
    trainable_m,
)

pytestmark = pytest.mark.networks


class TestCascadeMaskRcnn(InstanceContract):
    name = "cascade_mask_rcnn"
    options = SMALL_RCNN


@pytest.mark.parametrize(
    ("name", "options", "printed_m"),
    [
        ("cascade_mask_rcnn_r50", {}, 76.80),
        ("cascade_mask_rcnn_r101", {}, 95.79),
        ("cascade_mask_rcnn_r50", {"mask_flow": "v2", "idle_first_bridge": True}, 76.80 + 0.1974),
        ("cascade_mask_rcnn_r101", {"mask_flow": "v2"}, 95.79 + 0.1316),
    ],
)
def test_parameters(name: str, options: dict, printed_m: float) -> None:
    network = counted(name, num_classes=1, freeze=True, **options)
    assert trainable_m(network) == pytest.approx(printed_m, rel=1e-3)


def test_bridges_are_a_66th_of_a_million_each() -> None:
    plain = trainable_m(counted("cascade_mask_rcnn_r50", num_classes=1))
    two = trainable_m(counted("cascade_mask_rcnn_r50", num_classes=1, mask_flow="v2"))
    assert two - plain == pytest.approx(2 * (256 * 256 + 256) / 1e6, abs=1e-9)


def test_box_losses_by_hand() -> None:
    regions = Regions(
        boxes=[torch.zeros(2, 4), torch.zeros(1, 4)],
        matched=[torch.zeros(2, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)],
        labels=[torch.tensor([1, 0]), torch.tensor([0])],
        encoded=[torch.zeros(2, 4), torch.zeros(1, 4)],
    )
    encoded = torch.tensor([[0.5, -2.0, 0.0, 1.0], [9.0, 9.0, 9.0, 9.0], [9.0, 9.0, 9.0, 9.0]])
    of_classes, of_boxes = box_losses(torch.zeros(3, 2), encoded, regions)
    assert float(of_classes) == pytest.approx(0.693147, abs=1e-6)
    assert float(of_boxes) == pytest.approx((0.125 + 1.5 + 0.0 + 0.5) / 3)  # beta is 1


@pytest.fixture(scope="module")
def heads() -> CascadeRoiHeads:
    torch.manual_seed(0)
    return CascadeRoiHeads(2, MaskCascade(2), RcnnOptions(rois_per_image=8))


def test_stages_ask_for_more_overlap(heads: CascadeRoiHeads) -> None:
    target = disc_target(64, 64, [(32, 32, 15, 2)])
    true = target["boxes"][0]
    boxes = torch.stack([true + torch.tensor([shift, 0.0, shift, 0.0]) for shift in (0.0, 6, 8.5)])
    ious = (31 - torch.tensor([0.0, 6, 8.5])) / (31 + torch.tensor([0.0, 6, 8.5]))
    for stage, least in enumerate((0.5, 0.6, 0.7)):
        regions = heads.sample(stage, [boxes], [target])
        drawn = set(regions.boxes[0][regions.labels[0] == 2][:, 0].tolist())
        allowed = set(boxes[ious >= least][:, 0].tolist())
        assert drawn and drawn <= allowed


def test_an_image_without_objects_gives_background_only(heads: CascadeRoiHeads) -> None:
    regions = heads.sample(0, [torch.tensor([[0.0, 0.0, 9.0, 9.0]])], [no_target(64, 64)])
    assert regions.labels[0].tolist() == [0]


def test_suppression_is_per_class(heads: CascadeRoiHeads) -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 11], [30, 30, 40, 40]])
    scores = torch.tensor([[0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.9, 0.04, 0.06]])
    found = heads._best(boxes, scores)
    assert found["labels"].tolist() == [1, 2, 2]
    assert found["scores"].tolist() == pytest.approx([0.8, 0.1, 0.06])


def test_wrong_flow_is_refused() -> None:
    with torch.device("meta"), pytest.raises(Exception, match="mask flow 'v3'"):
        create_model("cascade_mask_rcnn_r50", num_classes=1, mask_flow="v3")
