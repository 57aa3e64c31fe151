"""PointRend: points by hand, subdivision, contract."""

from __future__ import annotations

import pytest
import torch

from engine.models import create_model
from engine.models.blocks.hooked_roi_heads import Positives
from engine.models.blocks.point_masks import (
    fine_features,
    sample_points,
    uncertain_cells,
    uncertain_points,
)
from engine.models.point_rend import STEP_POINTS, _truth_at

from .instance_contract import SMALL_RCNN, InstanceContract, counted, trainable_m

pytestmark = pytest.mark.networks


class TestPointRend(InstanceContract):
    name = "point_rend"
    options = SMALL_RCNN


def test_parameters_by_hand() -> None:
    """Mask R-CNN without its mask head, plus coarse head and point head."""
    width, hidden, classes = 256, 1024, 3
    mask_head = 4 * (9 * width**2 + width) + 4 * width**2 + width + (width + 1) * (classes + 1)
    coarse = 4 * width**2 + width + (49 * width + 1) * hidden + (hidden + 1) * hidden
    coarse += (hidden + 1) * 49 * classes
    points = 3 * (width + classes + 1) * width + (width + classes + 1) * classes
    base = trainable_m(counted("mask_rcnn_r50", num_classes=classes))
    network = trainable_m(counted("point_rend_r50", num_classes=classes))
    assert network - base == pytest.approx((coarse + points - mask_head) / 1e6, abs=1e-9)


def test_points_are_shares_of_the_map() -> None:
    """On a ramp that counts columns the value is the position less half a cell."""
    ramp = torch.arange(8.0).expand(1, 1, 4, 8)
    points = torch.tensor([[[0.5, 0.5], [0.25, 0.9], [1 / 16, 0.1]]])
    assert sample_points(ramp, points)[0, 0].tolist() == pytest.approx([3.5, 1.5, 0.0], abs=1e-5)


def test_fine_features_are_those_under_the_box() -> None:
    ramp = torch.arange(16.0).expand(2, 1, 8, 16).clone()
    ramp[1] += 100
    boxes = [torch.zeros((0, 4)), torch.tensor([[8.0, 4.0, 24.0, 12.0]])]
    points = torch.tensor([[[0.0, 0.5], [0.5, 0.5], [1.0, 0.5]]])
    values = fine_features(ramp, boxes, points, 4)
    assert values.shape == (1, 1, 3)
    assert values[0, 0].tolist() == pytest.approx([101.5, 103.5, 105.5], abs=1e-4)
    assert fine_features(ramp, [boxes[0]] * 2, points[:0], 4).shape == (0, 1, 3)


def test_truth_is_the_mask_at_the_point() -> None:
    masks = torch.zeros((2, 20, 30), dtype=torch.uint8)
    masks[1, :, 10:20] = 1
    boxes = torch.tensor([[0.0, 0.0, 30.0, 20.0]])
    positives = Positives([boxes], [torch.tensor([1])], [torch.tensor([1])])
    points = torch.tensor([[[0.1, 0.5], [0.5, 0.2], [0.9, 0.5]]])
    assert _truth_at(points, positives, [{"masks": masks}]).tolist() == [[0.0, 1.0, 0.0]]


def test_training_points_seek_the_outline() -> None:
    torch.manual_seed(0)
    logits = torch.linspace(-8, 8, 28).expand(5, 1, 28, 28)
    points = uncertain_points(logits, 196, candidates=3.0, share=0.75)
    assert points.shape == (5, 196, 2)
    assert float(points.min()) >= 0 and float(points.max()) <= 1
    near = ((points[..., 0] - 0.5).abs() < 0.16).float().mean()
    assert float(near) > 0.75  # a plain draw gives a third


def test_uncertain_cells_by_hand() -> None:
    logits = torch.full((1, 1, 2, 4), 9.0)
    logits[0, 0, 1, 2] = -0.1
    logits[0, 0, 0, 3] = 0.2
    cells, points = uncertain_cells(logits, 2)
    assert cells.tolist() == [[6, 3]]
    assert points.tolist() == [[[0.625, 0.75], [0.875, 0.25]]]
    assert uncertain_cells(logits, 100)[0].shape == (1, 8)


@torch.no_grad()
def test_subdivision_redraws_the_undecided_cells_of_each_grid(monkeypatch) -> None:
    torch.manual_seed(0)
    network = create_model("point_rend", num_classes=2, **SMALL_RCNN).eval()
    heads = network.roi_heads
    features = dict(network.backbone(torch.randn(1, 3, 64, 64)))
    asked = []

    def half(_features, _boxes, _coarse, points):
        """The true mask: the left half of the box, undecided at its edge."""
        asked.append(points)
        logits = 40 * (0.5 - points[..., 0])
        return logits[:, None].expand(-1, 2, -1)

    monkeypatch.setattr(heads, "_points", half)
    found = {"boxes": torch.tensor([[8.0, 8.0, 40.0, 48.0]]), "labels": torch.tensor([2])}
    (drawn,) = heads.add_masks(features, [found], [(64, 64)])
    assert [points.shape[1] for points in asked] == [14 * 14, *[STEP_POINTS] * 4]
    assert float((asked[-1][..., 0] - 0.5).abs().max()) < 0.02  # 3 or 4 columns of 224
    mask = drawn["masks"][0, 0] > 0.5
    assert mask.shape == (224, 224)
    assert mask[:, :112].all() and not mask[:, 112:].any()
