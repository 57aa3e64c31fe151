"""FACENet and HQ-ISNet with torchvision's detection contract, for any number of bands."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from engine.models import create_model

from .instance_contract import CLASSES, SMALL_RCNN, SMALL_SOLO, check_instances, disc_target

pytestmark = pytest.mark.networks

NETWORKS = [("facenet", SMALL_SOLO), ("hq_isnet", {**SMALL_RCNN, "backbone": "hrnet_w18_small"})]


@pytest.mark.parametrize("bands", [1, 4, 13])
@pytest.mark.parametrize(("name", "options"), NETWORKS)
def test_any_number_of_bands_learns_and_finds(
    name: str, options: dict[str, Any], bands: int
) -> None:
    torch.manual_seed(bands)
    network = create_model(name, num_classes=CLASSES, in_channels=bands, **options)
    first = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    assert first.in_channels == bands
    images = [torch.randn(bands, 61, 67), torch.randn(bands, 40, 50)]
    targets = [
        disc_target(61, 67, [(20, 20, 12, 1), (40, 45, 15, 3)]),
        disc_target(40, 50, [(20, 25, 9, 2)]),
    ]
    losses = network.train()(images, targets)
    assert all(loss.ndim == 0 and bool(loss.isfinite()) for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    # Every band reaches the loss.
    assert first.weight.grad is not None
    assert bool((first.weight.grad.abs().sum((0, 2, 3)) > 0).all())
    with torch.no_grad():
        found = network.eval()(images)
    assert [sorted(item) for item in found] == [["boxes", "labels", "masks", "scores"]] * 2
    for image, item in zip(images, found, strict=True):
        check_instances(item, *image.shape[-2:])
