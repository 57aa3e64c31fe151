"""Every family of instance networks learns: three discs in one image, to mask IoU above 0.9."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.models import create_model

from .instance_contract import disc_target

pytestmark = [pytest.mark.slow, pytest.mark.networks]

SIDE_PX = 96
DISCS = [(24, 24, 21, 1), (70, 30, 22, 2), (48, 72, 21, 3)]
SOLO = {
    "backbone": "resnet18",
    "neck_width": 64,
    "grids": [12, 10, 8, 6, 4],
    "tower_width": 64,
    "tower_depth": 2,
    "feature_width": 32,
    "kernel_width": 32,
}
RCNN = {
    "backbone": "resnet18",
    "width": 64,
    "hidden": 128,
    "rois_per_image": 32,
    "proposals": [256, 256],  # fewer, and one object's neighbours crowd out another
}


def disc_image(target: dict[str, Tensor]) -> Tensor:
    """Noise with discs, each class brighter in its own band."""
    image = torch.randn(3, SIDE_PX, SIDE_PX) * 0.1
    for mask, label in zip(target["masks"], target["labels"].tolist(), strict=True):
        image[label - 1] += 2.0 * mask
    return image


def learn(network: nn.Module, image: Tensor, target: dict[str, Tensor], steps: int) -> None:
    """Adam with linear warm-up and decay; statistics of normalisations are fixed half-way."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=1.0)
    network.train()
    for step in range(steps):
        if step == steps // 2:
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        optimiser.param_groups[0]["lr"] = 2e-3 * min((step + 1) / 10, 1.02 - step / steps)
        optimiser.zero_grad()
        torch.stack(list(network([image], [target]).values())).sum().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 35.0)
        optimiser.step()


@pytest.mark.parametrize(
    ("name", "options", "steps"),
    [
        ("solov2", SOLO, 50),
        ("facenet", SOLO, 50),
        ("mask_rcnn", RCNN, 140),
        ("solo", {**SOLO, "tower_width": 64, "tower_depth": 3}, 60),
        ("mask_scoring_rcnn", RCNN, 100),
        ("point_rend", RCNN, 100),
        ("cascade_mask_rcnn", RCNN, 100),
        ("htc", RCNN, 100),
        ("hq_isnet", {**RCNN, "backbone": "hrnet_w18_small"}, 100),
    ],
)
def test_three_discs_are_learnt(name: str, options: dict[str, Any], steps: int) -> None:
    torch.manual_seed(0)
    target = disc_target(SIDE_PX, SIDE_PX, DISCS)
    image = disc_image(target)
    network = create_model(name, num_classes=3, **options)
    learn(network, image, target, steps)
    with torch.no_grad():
        (found,) = network.eval()([image])
    masks = found["masks"][:, 0] > 0.5
    for truth, label in zip(target["masks"] > 0, target["labels"].tolist(), strict=True):
        same = masks[found["labels"] == label]
        assert same.shape[0] >= 1
        iou = (same[0] & truth).sum() / (same[0] | truth).sum()
        assert float(iou) > 0.9
    sure = found["labels"][found["scores"] > 0.5]
    assert sorted(sure.tolist()) == [1, 2, 3]  # each once, nothing else
