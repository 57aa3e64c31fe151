"""Which runtime and precision run a model, and that the answer is remembered."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.errors import DeviceError, JobError
from engine.predict import choice, probe
from engine.predict.choice import Wish, choose_for_tiles, possible_ways
from engine.predict.probe import Trial, decide, fastest_way, label_agreement
from engine.predict.runtimes.check import texture
from engine.zoo.registry import find_model
from tests.factories_models import write_identity_model

ALL = ["torch", "openvino", "onnxruntime"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RS_SEGMENT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RS_SEGMENT_BACKEND")
    monkeypatch.setattr(choice, "missing_packages", lambda runtime: [])


def test_with_bf16_in_hardware_all_precisions_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "gains_from_bf16", lambda device: True)
    assert possible_ways(Wish(), "cpu") == [
        ("torch", "bf16"),
        ("openvino", "bf16"),
        ("torch", "mixed"),
        ("torch", "fp32"),
        ("openvino", "fp32"),
    ]
    assert possible_ways(Wish(precision="mixed"), "cpu") == [("torch", "mixed")]
    assert possible_ways(Wish(), "cuda:0") == [("torch", p) for p in ("bf16", "mixed", "fp32")]


def test_without_bf16_float32_is_tried_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "gains_from_bf16", lambda device: False)
    assert possible_ways(Wish(), "cpu") == [(name, "fp32") for name in ALL]
    assert possible_ways(Wish(runtime="torch"), "cpu") == [("torch", "fp32")]


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    entry = find_model(str(write_identity_model(tmp_path / "m", 3)))
    with pytest.raises(DeviceError, match="'onnxruntime' does not compute in bf16"):
        choose_for_tiles(Wish(runtime="onnxruntime", precision="bf16"), entry, (8, 8), None)
    with pytest.raises(DeviceError, match="runs on the CPU, the job asks for 'cuda'"):
        choose_for_tiles(Wish(runtime="onnxruntime", device="cuda"), entry, (8, 8), None)
    with pytest.raises(JobError, match="'onnxruntime' is for semantic networks"):
        choice._for_instances(Wish(runtime="onnxruntime"), "m")


def test_the_environment_says_what_automatic_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RS_SEGMENT_BACKEND", "torch:mixed")
    assert Wish().with_defaults() == Wish(runtime="torch", precision="mixed")
    asked = Wish(runtime="openvino", precision="fp32")
    assert asked.with_defaults() == asked


def test_the_fastest_way_wins_and_ties_go_to_the_first() -> None:
    assert decide({"torch mixed": 100.0, "torch fp32": 300.0, "openvino fp32": 90.0}) == (
        "openvino fp32"
    )
    assert decide({"torch mixed": 100.0, "openvino fp32": 96.0}) == "torch mixed"
    assert decide({}) == "torch fp32"


def test_agreement_is_the_share_of_equal_labels() -> None:
    wanted = torch.tensor([[0.0, 1.0, 2.0, -1.0], [1.0, 0.0, 1.0, 0.0]]).view(1, 2, 2, 2)
    found = wanted.clone()
    found[0, 0, 0, 1] = -5.0
    assert label_agreement(found, wanted) == 0.75
    assert label_agreement(torch.tensor([[[[1.0, -1.0]]]]), torch.tensor([[[[2.0, 3.0]]]])) == 0.5


class Edgy(nn.Module):
    """Two logits whose weights differ by less than bf16 can tell."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 1, bias=False)
        nn.init.constant_(self.layer.weight, 1 / 3)
        with torch.no_grad():
            self.layer.weight[1, 0] += 1e-4

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layer(images)
        return logits


def trial(network: nn.Module) -> Trial:
    shape = (64, 48, 3)
    return Trial(lambda: network, lambda: texture(shape, 2), "cpu", shape, "key")


def test_a_way_with_other_labels_than_float32_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probe, "PROBE_SECONDS", 0.0)
    ways = [("torch", "bf16"), ("torch", "fp32")]
    found = fastest_way(ways, trial(Edgy().eval()), any_agreement=False)
    assert found.agreement["torch bf16"] < probe.LEAST_AGREEMENT
    assert (found.runtime, found.precision) == ("torch", "fp32")
    assert "torch bf16" not in found.tile_ms
    assert "100.00% of the labels" in found.text


def test_an_answer_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PROBE_SECONDS", 0.0)
    ways = [("torch", "mixed"), ("torch", "fp32")]
    first = fastest_way(ways, trial(Edgy().eval()), any_agreement=True)

    def refuse() -> nn.Module:
        raise AssertionError("tried again")

    again = Trial(refuse, lambda: texture((64, 48, 3)), "cpu", (64, 48, 3), "key")
    assert fastest_way(ways, again, any_agreement=True) == first
    with pytest.raises(AssertionError, match="tried again"):
        fastest_way(ways, again, any_agreement=False)


def test_too_little_memory_for_a_trial_leaves_the_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = find_model(str(write_identity_model(tmp_path / "m", 3)))
    monkeypatch.setattr(choice, "gains_from_bf16", lambda device: True)

    def hungry() -> Tensor:
        return torch.empty(1 << 60, dtype=torch.uint8)

    backend, note = choose_for_tiles(Wish(device="cpu", runtime="torch"), entry, (64, 64), hungry)
    assert (backend.runtime, backend.precision) == ("torch", "fp32")
    assert "too little memory" in note
