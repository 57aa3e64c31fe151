"""Baselines: the contract, any size, no dead parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file

from engine.errors import ModelError
from engine.models import create_model
from engine.models.baselines import PaddedNetwork

from .network_contract import NetworkContract, count_m, parameters_m

pytestmark = pytest.mark.networks


@pytest.mark.slow
class TestUnetWithDice(NetworkContract):
    name = "unet"
    options: ClassVar[dict[str, Any]] = {"encoder": "resnet18", "dice_weight": 0.5}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fcn_r50", "unet_r50", "deeplabv3plus_r50"])
def test_logits_have_the_size_of_the_images(name: str) -> None:
    network = create_model(name, num_classes=2, in_channels=1).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 1, 37, 61)).shape == (1, 2, 37, 61)


def test_parameters_of_fcn() -> None:
    # 23.51 M of ResNet-50 without its classifier, and the head 3 x 3 x 2048 x 512 + 2 x 512
    # + 512 x 21 + 21.
    head = (9 * 2048 * 512 + 2 * 512 + 512 * 21 + 21) / 1e6
    assert count_m("fcn_r50", num_classes=21) == pytest.approx(23.508 + head, abs=0.001)


@pytest.mark.slow
def test_parameters_of_segformer() -> None:
    # Xie et al., "SegFormer", 2021, table 1a: 13.7 M for B1.
    network = create_model("segformer_b1", num_classes=150)
    assert parameters_m(network) == pytest.approx(13.7, rel=0.01)


def test_segformer_is_a_transformer_unless_an_encoder_is_named() -> None:
    # Table 1a again: 3.8 M for B0, which is what the name alone builds.
    assert parameters_m(create_model("segformer", num_classes=150)) == pytest.approx(3.8, rel=0.02)


def test_padding_does_not_change_a_network_that_looks_at_one_pixel() -> None:
    inner = torch.nn.Conv2d(3, 4, 1)
    network, images = PaddedNetwork(inner, least_px=128), torch.randn(2, 3, 37, 161)
    with torch.no_grad():
        assert torch.allclose(network(images), inner(images), atol=1e-6)


def test_sides_that_fit_are_not_padded() -> None:
    seen: list[torch.Size] = []

    class Watch(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(images.shape)
            return images

    network = PaddedNetwork(Watch(), least_px=64)
    for height, width in ((64, 96), (65, 20)):
        assert network(torch.zeros(1, 1, height, width)).shape[-2:] == (height, width)
    assert seen[0][-2:] == (64, 96) and seen[1][-2:] == (96, 64)


def test_local_encoder_weights(tmp_path: Path) -> None:
    options = {"encoder": "mobilenet_v2", "decoder_channels": [8, 8, 8, 8, 8]}
    torch.manual_seed(0)
    source = create_model("unet", num_classes=2, **options)
    path = tmp_path / "encoder.safetensors"
    save_file(source.net.encoder.state_dict(), path)
    copy = create_model("unet", num_classes=2, pretrained=str(path), **options)
    for name, value in source.net.encoder.state_dict().items():
        assert torch.equal(copy.net.encoder.state_dict()[name], value)
    with pytest.raises(ModelError, match="cannot be read"):
        create_model("unet", num_classes=2, pretrained=str(tmp_path / "none"), **options)


@pytest.fixture
def resnet18_file(tmp_path: Path) -> Path:
    """Weights as torchvision has them: three bands, with a classifier."""
    torch.manual_seed(1)
    path = tmp_path / "resnet18.safetensors"
    save_file(torchvision.models.resnet18().state_dict(), path)
    return path


@pytest.mark.parametrize(
    ("name", "encoder"), [("fcn", "resnet18"), ("linknet", "resnet18"), ("fpn", "tu-resnet18")]
)
def test_weights_of_other_libraries_and_bands(resnet18_file: Path, name: str, encoder: str) -> None:
    source = load_file(resnet18_file)
    network = create_model(
        name, num_classes=2, in_channels=4, encoder=encoder, pretrained=str(resnet18_file)
    )
    state = {k.removeprefix("model."): v for k, v in network.net.encoder.state_dict().items()}
    assert torch.equal(state["layer4.1.conv2.weight"], source["layer4.1.conv2.weight"])
    assert torch.equal(state["bn1.running_var"], source["bn1.running_var"])
    # timm repeats the bands and keeps the sum of a constant image's response.
    first = state["conv1.weight"]
    assert first.shape == (64, 4, 7, 7)
    assert torch.allclose(first[:, 3], first[:, 0])
    assert torch.allclose(first[:, :3], source["conv1.weight"] * 3 / 4)


def test_weights_of_another_backbone_are_refused(resnet18_file: Path) -> None:
    with pytest.raises(ModelError, match="not of this backbone"):
        create_model("unet", num_classes=2, encoder="resnet34", pretrained=str(resnet18_file))


def test_only_the_word_timm_asks_timm_for_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.models.blocks import pretrained

    asked: list[tuple[str, bool]] = []
    build = timm.create_model

    def record(name: str, *, pretrained: bool) -> torch.nn.Module:
        asked.append((name, pretrained))
        network: torch.nn.Module = build(name, pretrained=False)
        return network

    monkeypatch.setattr(pretrained.timm, "create_model", record)
    create_model("fcn", num_classes=2, encoder="resnet18")
    assert asked == []
    create_model("fcn", num_classes=2, encoder="resnet18", pretrained="timm")
    assert asked == [("resnet18", True)]
    with pytest.raises(ModelError, match="timm has no weights"):
        create_model("unet", num_classes=2, encoder="mit_b0", pretrained="timm")
