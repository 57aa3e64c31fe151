"""Mask Scoring R-CNN: counts, overlaps by hand, scores."""

from __future__ import annotations

import pytest
import torch

from engine.models import create_model
from engine.models.blocks.hooked_roi_heads import Positives
from engine.models.mask_scoring_rcnn import MaskIouHead, overlap_targets, share_inside

from .instance_contract import SMALL_RCNN, InstanceContract, counted, trainable_m

pytestmark = pytest.mark.networks


class TestMaskScoringRcnn(InstanceContract):
    name = "mask_scoring_rcnn"
    options = SMALL_RCNN


@pytest.mark.parametrize(
    ("name", "megabytes"), [("mask_scoring_rcnn_r50", 481), ("mask_scoring_rcnn_r101", 633)]
)
def test_size_is_the_printed_one(name: str, megabytes: int) -> None:
    """Weights of four bytes, and as much again for the momentum of trainable ones."""
    network = counted(name, num_classes=1, freeze=True)
    every = sum(p.numel() for p in network.parameters()) / 1e6
    assert 4 * (every + trainable_m(network)) == pytest.approx(megabytes, rel=1e-3)


def test_share_inside_by_hand() -> None:
    masks = torch.zeros((2, 20, 30), dtype=torch.uint8)
    masks[0, 4:8, 10:20] = 1
    masks[1, 0:10, 0:10] = 1
    boxes = torch.tensor([[15.0, 0.0, 30.0, 20.0], [0.0, 0.0, 5.0, 5.0], [20.0, 10.0, 29.0, 19.0]])
    shares = share_inside(masks, boxes, torch.tensor([0, 1, 0]))
    assert shares.tolist() == [0.5, 0.25, 0.0]


def test_overlap_counts_the_object_outside_the_box() -> None:
    masks = torch.zeros((1, 8, 16), dtype=torch.uint8)
    masks[0, :, 4:12] = 1  # 64 pixels, half of them in the box
    boxes = torch.tensor([[0.0, 0.0, 8.0, 8.0]])
    positives = Positives([boxes], [torch.tensor([0])], [torch.tensor([1])])
    truth = torch.zeros((1, 8, 8))
    truth[:, :, 4:] = 1
    logits = torch.where(truth > 0, 9.0, -9.0)
    targets = [{"masks": masks}]
    assert overlap_targets(logits, truth, positives, targets).tolist() == [0.5]
    everything = torch.full_like(logits, 9.0)  # 32 of 64 + 64 - 32
    assert overlap_targets(everything, truth, positives, targets).tolist() == pytest.approx([1 / 3])
    assert overlap_targets(-everything, truth, positives, targets).tolist() == [0.0]


@torch.no_grad()
def test_the_score_is_class_score_times_overlap() -> None:
    torch.manual_seed(0)
    network = create_model("mask_scoring_rcnn", num_classes=2, **SMALL_RCNN).eval()
    image = torch.randn(3, 61, 67)
    last = network.roi_heads.iou_head.linears[-1]
    last.weight.zero_()
    last.bias.fill_(1.0)
    (whole,) = network([image])
    last.bias.copy_(torch.tensor([0.25, 0.75]))
    (weighted,) = network([image])
    assert whole["scores"].numel() > 0
    factors = torch.where(whole["labels"] == 1, 0.25, 0.75)
    expected = (whole["scores"] * factors).sort(descending=True).values
    assert torch.allclose(weighted["scores"], expected)


def test_head_shape() -> None:
    head = MaskIouHead(5, 8, 16)
    assert head(torch.randn(3, 8, 14, 14), torch.randn(3, 28, 28)).shape == (3, 5)
    assert head(torch.randn(0, 8, 14, 14), torch.randn(0, 28, 28)).shape == (0, 5)
