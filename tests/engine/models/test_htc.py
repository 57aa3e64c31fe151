"""Hybrid task cascade: counts, class maps by hand, interleaving, semantic branch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from engine.models import create_model
from engine.models.blocks.semantic_branch import SemanticBranch, class_maps, semantic_loss

from .instance_contract import (
    SMALL_RCNN,
    InstanceContract,
    counted,
    disc_target,
    trainable_m,
)

pytestmark = pytest.mark.networks


class TestHtc(InstanceContract):
    name = "htc"
    options = SMALL_RCNN


@pytest.mark.parametrize(("name", "megabytes"), [("htc_r50", 639), ("htc_r101", 791)])
def test_size_is_the_printed_one(name: str, megabytes: int) -> None:
    """Weights of four bytes, and as much again for the momentum of trainable ones."""
    network = counted(name, num_classes=1, freeze=True, idle_first_bridge=True)
    every = sum(p.numel() for p in network.parameters()) / 1e6
    assert 4 * (every + trainable_m(network)) == pytest.approx(megabytes, rel=1e-3)


def test_without_semantic_branch_it_is_the_cascade_with_bridges() -> None:
    plain = counted("htc_r50", num_classes=1, semantic=False)
    cascade = counted("cascade_mask_rcnn_r50", num_classes=1, mask_flow="v2")
    assert set(plain.state_dict()) == set(cascade.state_dict())


def test_class_maps_by_hand() -> None:
    masks = torch.zeros((2, 16, 20), dtype=torch.uint8)
    masks[0, 0:8, 0:8] = 1  # small
    masks[1, 0:16, 0:16] = 1  # large
    target = {"labels": torch.tensor([2, 1]), "masks": masks}
    (drawn,) = class_maps([target], [(16, 20)], 8)
    assert drawn.tolist() == [[2, 1, 0], [1, 1, 0]]


def test_semantic_loss_leaves_out_the_padding() -> None:
    logits = torch.zeros((1, 2, 2, 3))
    logits[0, 1, :, 2] = 50.0  # wrong, but beyond the image
    maps = [torch.zeros((2, 2), dtype=torch.int64)]
    assert float(semantic_loss(logits, maps)) == pytest.approx(0.693147, abs=1e-5)


def test_semantic_branch_works_at_stride_8() -> None:
    branch = SemanticBranch(3, 8)
    sides = ((16, 24), (8, 12), (4, 6), (2, 3), (1, 2))
    embedding, logits = branch([torch.randn(2, 8, *side) for side in sides])
    assert embedding.shape == (2, 8, 8, 12)
    assert logits.shape == (2, 4, 8, 12)


@pytest.mark.parametrize(("name", "draws"), [("cascade_mask_rcnn", 3), ("htc", 6)])
def test_masks_learn_from_the_refined_boxes(name: str, draws: int, monkeypatch: Any) -> None:
    torch.manual_seed(0)
    network = create_model(name, num_classes=2, **SMALL_RCNN).train()
    heads = network.roi_heads
    candidates, learnt = [], []
    sample, mask_loss = heads.sample, heads._mask_loss

    def recorded_sample(stage: int, boxes: list, targets: list) -> Any:
        candidates.append((stage, boxes))
        return sample(stage, boxes, targets)

    def recorded_loss(stage: int, features: Any, regions: Any, *rest: Any) -> Any:
        learnt.append(regions.boxes[0])
        return mask_loss(stage, features, regions, *rest)

    monkeypatch.setattr(heads, "sample", recorded_sample)
    monkeypatch.setattr(heads, "_mask_loss", recorded_loss)
    target = disc_target(64, 64, [(30, 28, 14, 2)])
    network([torch.randn(3, 64, 64)], [target])
    assert len(candidates) == draws
    if name == "htc":
        stages = [stage for stage, _ in candidates]
        assert stages == [0, 0, 1, 1, 2, 2]
        for index in (1, 3):  # refined by this stage; the next stage begins with the same
            assert candidates[index][1] is candidates[index + 1][1]
        known = torch.cat([candidates[1][1][0], target["boxes"]])
        assert (learnt[0][:, None] == known[None]).all(dim=2).any(dim=1).all()


@torch.no_grad()
def test_the_scene_is_added_to_every_region() -> None:
    torch.manual_seed(0)
    network = create_model("htc", num_classes=2, **SMALL_RCNN).eval()
    heads = network.roi_heads
    features = dict(network.backbone(torch.randn(1, 3, 64, 64)))
    features["semantic"] = torch.full((1, 32, 8, 8), 3.0)
    boxes = [torch.tensor([[8.0, 8.0, 40.0, 48.0]])]
    for pool, plain in ((heads.pool_boxes, heads.box_pool), (heads.pool_masks, heads.mask_pool)):
        seen = pool(features, boxes, [(64, 64)])
        alone = plain(features, boxes, [(64, 64)])
        assert torch.allclose(seen, alone + 3.0, atol=1e-5)
