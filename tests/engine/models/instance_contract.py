"""What every instance network must do; one subclass per network."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.models import create_model

CLASSES = 3

# Small networks of each family: everything is there, little of each.
SMALL_SOLO: dict[str, Any] = {
    "backbone": "resnet18",
    "neck_width": 32,
    "grids": [12, 10, 8, 6, 4],
    "tower_width": 32,
    "tower_depth": 2,
    "feature_width": 32,
    "kernel_width": 32,
    "score_threshold": 0.005,
    "keep_threshold": 0.001,
}
SMALL_RCNN: dict[str, Any] = {
    "backbone": "resnet18",
    "width": 32,
    "hidden": 64,
    "rois_per_image": 24,
    "proposals": [64, 32],
    "score_threshold": 0.01,
}


def trainable_m(network: nn.Module) -> float:
    """Number of trainable parameters in millions."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad) / 1e6


def counted(name: str, **options: Any) -> nn.Module:
    """A network without memory, to be counted."""
    with torch.device("meta"):
        return create_model(name, **options)


def disc_target(height: int, width: int, discs: list[tuple[int, int, int, int]]) -> dict[str, Any]:
    """Targets of discs (row, column, radius, label)."""
    rows, cols = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    masks = torch.stack([(rows - r) ** 2 + (cols - c) ** 2 <= q * q for r, c, q, _ in discs])
    boxes = [(c - q, r - q, c + q + 1, r + q + 1) for r, c, q, _ in discs]
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32),
        "labels": torch.tensor([label for *_, label in discs]),
        "masks": masks.to(torch.uint8),
    }


def no_target(height: int, width: int) -> dict[str, Tensor]:
    """Targets of an image without objects."""
    return {
        "boxes": torch.zeros((0, 4)),
        "labels": torch.zeros(0, dtype=torch.int64),
        "masks": torch.zeros((0, height, width), dtype=torch.uint8),
    }


def check_instances(found: dict[str, Tensor], height: int, width: int) -> None:
    """Shapes, ranges and order of the instances of one image."""
    n = found["scores"].shape[0]
    assert found["boxes"].shape == (n, 4) and found["labels"].shape == (n,)
    assert found["masks"].shape == (n, 1, height, width)
    assert found["labels"].dtype == torch.int64
    if n == 0:
        return
    assert int(found["labels"].min()) >= 1 and int(found["labels"].max()) <= CLASSES
    assert found["scores"].diff().le(0).all() and 0 < float(found["scores"].max()) <= 1
    assert (found["boxes"][:, 2:] > found["boxes"][:, :2]).all()
    assert float(found["masks"].min()) >= 0 and float(found["masks"].max()) <= 1


class InstanceContract:
    """Base of the tests of one network."""

    name: str
    options: ClassVar[dict[str, Any]] = {}
    bands = 4
    idle: ClassVar[tuple[str, ...]] = ()  # parameters that no gradient can reach

    @pytest.fixture(scope="class")
    @classmethod
    def network(cls) -> nn.Module:
        torch.manual_seed(0)
        network = create_model(cls.name, num_classes=CLASSES, in_channels=cls.bands, **cls.options)
        _wake(network)
        if hasattr(network, "rpn"):  # all anchors count, those of the coarsest level too
            network.rpn.fg_bg_sampler.batch_size_per_image = 4096
        return network

    def test_batch_of_one_trains_and_gradients_reach_every_parameter(
        self, network: nn.Module
    ) -> None:
        torch.manual_seed(1)
        network.train()
        network.zero_grad()
        target = disc_target(61, 67, [(20, 20, 12, 1), (40, 45, 15, 3)])
        losses = network([torch.randn(self.bands, 61, 67)], [target])
        total = sum(losses.values())
        assert total.ndim == 0 and total.isfinite()
        total.backward()
        missing = [n for n, p in network.named_parameters() if not _reached(n, p)]
        assert [n for n in missing if not n.startswith(self.idle or "-")] == []

    def test_images_without_objects_have_a_finite_loss(self, network: nn.Module) -> None:
        torch.manual_seed(2)
        network.train()
        images = [torch.randn(self.bands, 40, 64), torch.randn(self.bands, 64, 33)]
        losses = network(images, [no_target(40, 64), no_target(64, 33)])
        assert all(bool(loss.isfinite()) for loss in losses.values())
        assert float(losses["loss_mask"].detach()) == 0.0
        sum(losses.values()).backward()

    def test_saved_and_loaded_network_finds_the_same(self, network: nn.Module, tmp_path) -> None:
        path = tmp_path / "weights.safetensors"
        save_file({k: v.contiguous().clone() for k, v in network.state_dict().items()}, path)
        other = create_model(self.name, num_classes=CLASSES, in_channels=self.bands, **self.options)
        other.load_state_dict(load_file(path))
        images = [torch.randn(self.bands, 40, 61), torch.randn(self.bands, 37, 64)]
        network.eval()
        other.eval()
        with torch.no_grad():
            first, second = network(images), other(images)
        for image, a, b in zip(images, first, second, strict=True):
            check_instances(a, *image.shape[-2:])
            assert all(torch.equal(a[key], b[key]) for key in a)

    def test_training_without_fitting_targets_is_refused(self, network: nn.Module) -> None:
        network.train()
        image = torch.randn(self.bands, 32, 32)
        with pytest.raises(ValueError, match="target"):
            network([image])
        beyond = disc_target(32, 32, [(16, 16, 6, CLASSES + 1)])
        with pytest.raises(ValueError, match=f"labels run from {CLASSES + 1}"):
            network([image], [beyond])


@torch.no_grad()
def _wake(network: nn.Module) -> None:
    """Give residual branches that start at zero some weight, so that gradients pass."""
    for name, parameter in network.named_parameters():
        if name.endswith("weight") and parameter.ndim == 1 and not parameter.any():
            parameter.fill_(0.5)


def _reached(name: str, parameter: nn.Parameter) -> bool:
    if parameter.grad is None or not parameter.grad.isfinite().all():
        return False
    return name.endswith("bias") or bool(parameter.grad.abs().max() > 0)
