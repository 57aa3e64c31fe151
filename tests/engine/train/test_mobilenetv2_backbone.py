"""Weights of MobileNetV2 under timm's names compute what they computed under torchvision's."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import nn
from torchvision.models import mobilenet_v2

from engine.models.blocks.backbones import timm_pyramid

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "make_mobilenetv2_backbone.py"
LAST_LAYERS = (3, 6, 13, 17)  # of torchvision's features at strides 4, 8, 16 and 32


def load_script():
    spec = importlib.util.spec_from_file_location("make_mobilenetv2_backbone", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def reference() -> nn.Module:
    """Torchvision's network with statistics that matter."""
    torch.manual_seed(3)
    network = mobilenet_v2(weights=None).eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(std=0.1)
            layer.running_var.uniform_(0.5, 2.0)
            layer.bias.data.normal_(std=0.1)
    return network


@torch.no_grad()
def test_maps_are_those_of_torchvision_and_take_normalised_images() -> None:
    script, network = load_script(), reference()
    copy = timm_pyramid(script.BACKBONE).eval()
    script.copy_in_order(copy, network.state_dict())
    x = torch.rand(1, 3, 64, 96) * 2 - 1
    expected, maps = x, []
    for number, layer in enumerate(network.features):
        expected = layer(expected)
        if number in LAST_LAYERS:
            maps.append(expected)
    for found, wanted in zip(copy(x), maps, strict=True):
        torch.testing.assert_close(found, wanted)
    # The first layer takes (raw - mean) / std afterwards; away from the border nothing changes.
    mean, std = torch.tensor([90.0, 100.0, 80.0]), torch.tensor([50.0, 40.0, 60.0])
    bands = [SimpleNamespace(mean=float(m), std=float(s)) for m, s in zip(mean, std, strict=True)]
    script.take_normalised_images(copy, SimpleNamespace(bands=bands))
    raw = (x + 1) * 127.5
    normalised = (raw - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    stem = copy.bn1(copy.conv_stem(normalised))
    torch.testing.assert_close(
        stem[..., 1:, 1:], network.features[0](x)[..., 1:, 1:], atol=1e-4, rtol=1e-4
    )
