"""A backbone learns what another one sees: hand-set answers, fixed teacher, crops by the step."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import torch

from engine.models.blocks.backbones import timm_pyramid

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "distill_backbone.py"


def load_script():
    spec = importlib.util.spec_from_file_location("distill_backbone", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def small() -> torch.nn.Module:
    torch.manual_seed(5)
    return timm_pyramid("mobilenetv2_035").eval()


@torch.no_grad()
def test_a_student_that_sees_the_same_has_nothing_to_learn() -> None:
    script, student, teacher = load_script(), small(), small()
    network = script.Distiller(student, teacher).eval()
    images = torch.randn(4, 3, 64, 96)
    for layer, maps in zip(network.projections, teacher(images), strict=True):
        spread = maps.var((0, 2, 3), unbiased=False).add(1e-5).sqrt()
        layer.weight.copy_((torch.eye(maps.shape[1]) / spread[:, None])[..., None, None])
        layer.bias.copy_(-maps.mean((0, 2, 3)) / spread)
    assert float(network.loss(network(images), None)["loss"]) < 1e-6
    for layer in network.projections:
        layer.weight.zero_()
        layer.bias.zero_()
    assert 0.9 < float(network.loss(network(images), None)["loss"]) <= 1.0


def test_only_the_student_changes() -> None:
    script, teacher = load_script(), small()
    before = {name: part.clone() for name, part in teacher.state_dict().items()}
    network = script.Distiller(timm_pyramid("resnet18"), teacher).train()
    first = network.loss(network(torch.randn(2, 3, 64, 64)), None)["loss"]
    first.backward()
    assert all(part.grad is not None for part in network.student.parameters())
    assert all(part.grad is None for part in teacher.parameters())
    after = teacher.state_dict()
    assert all(torch.equal(after[name], part) for name, part in before.items())


def test_crops_are_a_function_of_the_step() -> None:
    script = load_script()
    chips = [{"image": torch.randn(3, 40, 61)}, {"image": torch.randn(3, 150, 33)}]
    material = SimpleNamespace(dataset=lambda split: ListOfChips(chips))
    crops = script.Crops(material, crop_px=32, batch=3, seed=1)
    images, _ = crops(7)
    assert images.shape == (3, 3, 32, 32)
    assert torch.equal(images, crops(7)[0])
    assert not torch.equal(images, crops(8)[0])


class ListOfChips(list):
    """Chips as the data set gives them."""

    def whole(self, index: int):
        return self[index]
