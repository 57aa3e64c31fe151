"""OCRNet, FactSeg and UNetFormer: counts, losses by hand, one invariant each."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch.nn import functional

from engine.errors import ModelError
from engine.models import create_model
from engine.models.blocks.backbones import timm_pyramid
from engine.models.factseg import collaborate
from engine.models.unetformer import GlobalLocalAttention, WeightedSkip

from .network_contract import NetworkContract, count_m

pytestmark = pytest.mark.networks


class TestFactSeg(NetworkContract):
    name = "factseg_r50"


class TestUnetFormer(NetworkContract):
    name = "unetformer_r18"


class TestOcrNet(NetworkContract):
    name = "ocrnet"


@pytest.mark.slow
class TestOcrNetW48(NetworkContract):
    name = "ocrnet_w48"


@pytest.mark.parametrize(
    ("name", "classes", "printed_m"),
    [("ocrnet_w48", 19, 70.37), ("factseg_r50", 16, 33.44), ("unetformer_r18", 6, 11.7)],
)
def test_parameters(name: str, classes: int, printed_m: float) -> None:
    assert count_m(name, num_classes=classes) == pytest.approx(printed_m, rel=0.005)


def test_collaborative_probability_by_hand() -> None:
    foreground = torch.tensor([0.8]).logit().reshape(1, 1, 1, 1)
    classes = torch.tensor([0.5, 0.3, 0.2]).log().reshape(1, 3, 1, 1)
    joint = (0.2 * 0.5, 0.8 * 0.3, 0.8 * 0.2)
    expected = [x / sum(joint) for x in joint]
    assert collaborate(foreground, classes).exp().flatten().tolist() == pytest.approx(expected)
    extreme = collaborate(torch.full((1, 1, 1, 1), -500.0), classes)
    assert extreme.isfinite().all()


def test_only_the_hardest_labelled_pixels_count() -> None:
    with torch.device("meta"):
        network = create_model("factseg_r50", num_classes=2, hard_ratio=0.5)
    foreground = torch.tensor([0.1, 0.4, 0.6, 0.9, 0.01]).logit().reshape(1, 1, 1, 5)
    classes = torch.zeros(1, 2, 1, 5)
    target = torch.tensor([[[1, 1, 1, 1, 255]]])
    loss = network.loss((foreground, classes), target)["loss"]
    assert float(loss) == pytest.approx(-(math.log(0.1) + math.log(0.4)) / 2, rel=1e-5)


def test_inference_of_factseg_follows_the_foreground_branch() -> None:
    torch.manual_seed(0)
    network = create_model("factseg_r50", num_classes=4, in_channels=1).eval()
    images = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        network.foreground.head.bias += 1000
        assert (network(images).argmax(dim=1) > 0).all()
        network.foreground.head.bias -= 2000
        assert (network(images).argmax(dim=1) == 0).all()


def test_loss_of_ocrnet_weighs_the_coarse_logits() -> None:
    with torch.device("meta"):
        network = create_model("ocrnet_w48", num_classes=3)
    torch.manual_seed(0)
    coarse, final = torch.randn(2, 1, 3, 5, 7).unbind()
    target = torch.randint(0, 3, (1, 5, 7))
    expected = functional.cross_entropy(final, target) + 0.4 * functional.cross_entropy(
        coarse, target
    )
    assert float(network.loss((coarse, final), target)["loss"]) == pytest.approx(float(expected))


def test_skip_weights_are_shares() -> None:
    skip = WeightedSkip(8).eval()
    with torch.no_grad():
        skip.weights.copy_(torch.tensor([-1.0, 3.0]))
        x, encoder = torch.randn(1, 64, 3, 4), torch.randn(1, 8, 6, 8)
        assert torch.allclose(skip(x, encoder), skip(x, encoder + 1))
        skip.weights.copy_(torch.tensor([3.0, -1.0]))
        assert torch.allclose(skip(x, encoder), skip(x + 1, encoder), atol=1e-6)


def test_padding_of_windows_is_no_key() -> None:
    torch.manual_seed(0)
    attention = GlobalLocalAttention()
    x = torch.randn(1, 64, 5, 8)
    value = attention.joined(x)[:, 128:]
    with torch.no_grad():
        attention.joined.weight[:128] = 0
        attention.position_bias.zero_()
        mean = value.mean(dim=(2, 3), keepdim=True).expand_as(x)
        assert torch.allclose(attention._in_windows(x), mean, atol=1e-5)


def test_local_backbone_weights_load_with_other_bands(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = timm_pyramid("resnet18", in_channels=3)
    path = tmp_path / "resnet18.safetensors"
    save_file(source.state_dict(), path)
    same = create_model("unetformer_r18", num_classes=2, pretrained=str(path))
    state = same.backbone.state_dict()
    assert all(torch.equal(state[k], v) for k, v in source.state_dict().items())
    five = create_model("unetformer_r18", num_classes=2, in_channels=5, pretrained=str(path))
    assert five.backbone.conv1.weight.shape == (64, 5, 7, 7)
    assert torch.equal(five.backbone.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
    with pytest.raises(ModelError, match="is not '', 'timm' or a"):
        create_model("unetformer_r18", num_classes=2, pretrained=str(tmp_path / "none.pth"))


@pytest.mark.parametrize("prefix", ["", "encoder.", "backbone.", "net.encoder."])
def test_names_of_other_libraries_are_understood(tmp_path: Path, prefix: str) -> None:
    torch.manual_seed(0)
    source = timm.create_model("resnet18").state_dict()
    path = tmp_path / "resnet18.safetensors"
    save_file({prefix + name: value for name, value in source.items()}, path)
    state = create_model("farseg", num_classes=2, pretrained=str(path)).backbone.state_dict()
    assert all(torch.equal(value, source[name]) for name, value in state.items())


def test_a_classifier_on_hrnet_gives_its_backbone(tmp_path: Path) -> None:
    """What timm publishes has widened maps and a classifier, which are left out."""
    torch.manual_seed(0)
    source = timm.create_model("hrnet_w18_small").state_dict()
    path = tmp_path / "hrnet.safetensors"
    save_file({name: value.contiguous() for name, value in source.items()}, path)
    for name in ("fcn_hrnet", "ocrnet"):
        network = create_model(name, num_classes=2, in_channels=4, pretrained=str(path))
        state = network.backbone.state_dict()
        changed = {k for k, v in state.items() if not torch.equal(v, source[k])}
        assert changed == {"conv1.weight"}
    parts = {"coarse": "fcn_hrnet", "fine": "fcn_hrnet"}
    both = create_model("c2fnet", num_classes=3, pretrained=str(path), **parts)
    for part in (both.coarse, both.fine):
        assert torch.equal(part.backbone.conv2.weight, source["conv2.weight"])
    with pytest.raises(ModelError, match="not of this backbone"):
        create_model("fcn_hrnet", num_classes=2, backbone="hrnet_w18", pretrained=str(path))


@pytest.mark.parametrize("name", ["farseg", "unetformer_r18", "semantic_fpn"])
def test_weights_of_a_deeper_backbone_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "resnet34.safetensors"
    save_file(timm.create_model("resnet34").state_dict(), path)
    with pytest.raises(ModelError, match=r"deeper backbone: \d+ tensors .* 'layer1\.2\."):
        create_model(name, num_classes=2, pretrained=str(path))
