"""Every runtime computes what torch computes in float32, and says so when it cannot."""

from __future__ import annotations

import copy
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from engine.errors import DeviceError, ModelError
from engine.models import create_model
from engine.predict.backend import Backend
from engine.predict.runtimes import mixed, openvino_cpu, table
from engine.predict.runtimes.check import check_forward, texture
from engine.predict.runtimes.contract import Opening
from engine.predict.runtimes.fold import fold_norms
from engine.predict.semantic import SemanticPredictor

SHAPE = (37, 61, 4)
NEEDS_OPENVINO = pytest.mark.skipif(
    bool(table.missing_packages(table.RUNTIMES["openvino"])), reason="openvino is not installed"
)
NEEDS_ONNX = [
    pytest.mark.slow,  # the export takes seconds
    pytest.mark.skipif(
        bool(table.missing_packages(table.RUNTIMES["onnxruntime"])), reason="no onnxruntime"
    ),
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RS_SEGMENT_CACHE", str(tmp_path / "cache"))
    table._warm.clear()
    return tmp_path / "cache"


def network() -> nn.Module:
    """A small network with what segmentation networks are made of."""
    torch.manual_seed(3)
    layers = nn.Sequential(
        nn.Conv2d(4, 16, 3, stride=2, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, groups=16),
        nn.Conv2d(16, 24, 1),
        nn.Upsample((37, 61), mode="bilinear"),
        nn.Conv2d(24, 3, 3, padding=1),
    )
    return layers.eval().to(memory_format=torch.channels_last)


def opening(precision: str, key: str = "") -> Opening:
    return Opening(network(), "cpu", precision, SHAPE, key)


@pytest.mark.parametrize(
    ("name", "precision", "apart"),
    [
        pytest.param("openvino", "fp32", 1e-4, marks=NEEDS_OPENVINO),
        pytest.param("openvino", "bf16", 0.05, marks=NEEDS_OPENVINO),
        pytest.param("onnxruntime", "fp32", 1e-4, marks=NEEDS_ONNX),
        ("torch", "mixed", 0.02),
        ("torch", "bf16", 0.05),
    ],
)
def test_runtimes_agree_with_torch_in_float32(name: str, precision: str, apart: float) -> None:
    tiles = np.random.default_rng(1).normal(size=(3, *SHAPE)).astype(np.float32)
    wanted = SemanticPredictor(network(), Backend("cpu", "fp32", 2))(tiles)
    found = SemanticPredictor(network(), Backend("cpu", precision, 2, name))(tiles)
    assert len(found) == 3
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == (37, 61, 3)
        assert np.abs(one - other).max() <= apart * other.std()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("openvino", marks=NEEDS_OPENVINO),
        pytest.param("onnxruntime", marks=NEEDS_ONNX),
    ],
)
def test_flips_are_averaged_by_every_runtime(name: str) -> None:
    tiles = np.random.default_rng(2).normal(size=(1, *SHAPE)).astype(np.float32)
    wanted = SemanticPredictor(network(), Backend("cpu", "fp32", 1), tta=True)(tiles)[0]
    found = SemanticPredictor(network(), Backend("cpu", "fp32", 1, name), tta=True)(tiles)[0]
    assert found == pytest.approx(wanted, abs=1e-5)


@NEEDS_OPENVINO
def test_a_converted_network_is_kept_and_not_converted_again(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiles = texture(SHAPE)
    first = table.open_network("openvino", opening("fp32", "key"))(tiles)
    assert [path.name.split("-")[:2] for path in (own_cache / "runtimes").iterdir()] == [
        ["key", "37x61x4"]
    ]
    table._warm.clear()

    def refuse(opening: Opening) -> None:
        raise AssertionError("converted again")

    monkeypatch.setattr(openvino_cpu, "_convert", refuse)
    assert torch.equal(table.open_network("openvino", opening("fp32", "key"))(tiles), first)


@NEEDS_OPENVINO
def test_a_network_that_cannot_be_converted_is_a_clear_error() -> None:
    class Sorts(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.linalg.eigvals(images[..., :37] @ images[..., :37].mT).real[..., None]

    with pytest.raises(ModelError, match="OpenVINO") as caught:
        table.open_network("openvino", Opening(Sorts(), "cpu", "fp32", SHAPE))
    assert "backend torch" in caught.value.hint


def test_a_wrong_conversion_is_noticed() -> None:
    whole = opening("fp32")

    def swapped(images: Tensor) -> Tensor:
        logits: Tensor = whole.network(images)
        return logits.flip(1)

    check_forward(whole, whole.network, "itself")
    with pytest.raises(ModelError, match="converted for X, gives logits that are"):
        check_forward(whole, swapped, "X")
    with pytest.raises(ModelError, match="gives shape"):
        check_forward(whole, lambda images: whole.network(images)[:, :1], "X")


def test_a_missing_package_is_named_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table, "find_spec", lambda name: None)
    with pytest.raises(DeviceError, match="needs the package openvino") as caught:
        table.installed_runtime("openvino")
    assert "-m pip install openvino" in caught.value.hint
    with pytest.raises(DeviceError, match="'tensorrt' is unknown"):
        table.installed_runtime("tensorrt")


def test_the_costliest_layers_are_those_with_most_multiplications() -> None:
    """Worked by hand for 37 x 61 pixels: stride 2 leaves 19 x 31 places."""
    costs = mixed.layer_costs(network(), opening("mixed"))
    small, large = 19 * 31, 37 * 61
    assert costs == {
        "0": small * 16 * 4 * 9,
        "3": small * 16 * 9,
        "4": small * 24 * 16,
        "6": large * 3 * 24 * 9,
    }
    assert mixed.costliest(costs, 0.6) == ["6"]
    assert mixed.costliest(costs, 0.8) == ["6", "0"]
    assert mixed.costliest({}, 0.8) == []


def test_mixed_precision_changes_the_costliest_layers_only() -> None:
    plain = network()
    changed = mixed.mixed_network(Opening(plain, "cpu", "mixed", SHAPE))
    kinds = [type(layer).__name__ for layer in changed]
    assert kinds == ["InBf16", "Identity", "ReLU", "Conv2d", "InBf16", "Upsample", "InBf16"]
    assert changed[3].weight is plain[3].weight
    assert all(p.dtype == torch.float32 for p in plain.parameters())


def test_folded_norms_change_nothing_but_the_number_of_layers() -> None:
    class Backwards(nn.Sequential):
        """Runs its parts in another order than it holds them: must not be folded."""

        def forward(self, x: Tensor) -> Tensor:
            return self[0](self[1](x))

    torch.manual_seed(4)
    plain = nn.Sequential(
        nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), BasicBlock(6, 6),
        Backwards(nn.Conv2d(6, 6, 1), nn.BatchNorm2d(6)),
    )  # fmt: skip
    for norm in (m for m in plain.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.running_mean, -1, 1)
        nn.init.uniform_(norm.running_var, 0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 2)
    plain.eval()
    folded = copy.deepcopy(plain)
    fold_norms(folded)
    count = [sum(isinstance(m, nn.BatchNorm2d) for m in n.modules()) for n in (plain, folded)]
    assert count == [4, 1]
    tiles = texture((37, 61, 4))
    assert torch.allclose(folded(tiles), plain(tiles), atol=1e-5)


def test_the_norms_of_a_whole_network_are_folded() -> None:
    plain = create_model("unet", encoder="resnet18", num_classes=2).eval()
    folded = copy.deepcopy(plain)
    fold_norms(folded)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    tiles = texture((64, 96, 3))
    with torch.inference_mode():
        assert torch.allclose(folded(tiles), plain(tiles), atol=1e-4)


SIGNALS = """
import faulthandler, gc, signal, sys, torch
faulthandler.enable()  # as other programs do, it gives the process a stack for signals
from torch import nn
from engine.predict.runtimes.contract import Opening
from engine.predict.runtimes.openvino_cpu import open_openvino

def forward():
    torch.manual_seed(0)
    network = nn.Conv2d(1, 2, 3, padding=1).eval()
    return open_openvino(Opening(network, "cpu", "fp32", (9, 9, 1), ""))

first, second = forward(), forward()
del first
gc.collect()
del second
gc.collect()
seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
signal.raise_signal(signal.SIGUSR1)
print("seen", len(seen))
"""


@NEEDS_OPENVINO
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="POSIX signals")
def test_a_signal_after_models_were_given_up_is_no_crash() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIGNALS], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "seen 1\n"), done.stderr
