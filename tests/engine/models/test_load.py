"""Model folders become networks, or say what is wrong with them."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from engine.errors import ModelError
from engine.models.load import load_network, read_weights
from engine.zoo.card import CARD_NAME, WEIGHTS_NAME, read_card
from engine.zoo.registry import ModelEntry, file_sha256, find_model, list_models
from tests.factories_models import write_identity_model


def _change_card(folder: Path, **values: Any) -> None:
    record = json.loads((folder / CARD_NAME).read_text(encoding="utf-8"))
    (folder / CARD_NAME).write_text(json.dumps({**record, **values}), encoding="utf-8")


def _rehash(folder: Path) -> None:
    """Make the card agree with whatever lies in the weights file."""
    path = folder / WEIGHTS_NAME
    weights = {"file": path.name, "sha256": file_sha256(path), "bytes": path.stat().st_size}
    _change_card(folder, weights=weights)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_identity_model(tmp_path / "identity", classes=5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("classes", "bands"), [(2, 1), (16, 1), (7, 4), (3, 13)])
def test_identity_model_gives_its_input_back(
    tmp_path: Path, classes: int, bands: int, dtype: torch.dtype
) -> None:
    folder = write_identity_model(tmp_path / "identity", classes, bands)
    network = load_network(find_model(str(folder)))
    torch.manual_seed(0)
    images = torch.randint(0, classes, (1, bands, 37, 61)).float()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float32):
        scores = network(images).float().softmax(dim=1)
    best = scores.max(dim=1)
    assert torch.equal(best.indices, images[:, 0].long())
    assert float(best.values.min()) > 1 - 1e-6
    assert not network.training


@given(st.floats(-3, 40, width=32), st.integers(2, 16))
def test_identity_model_takes_the_nearest_class(value: float, classes: int) -> None:
    ids = torch.arange(classes, dtype=torch.float32)
    logits = 64 * (ids * value - ids.square() / 2)
    distance = (ids - value).abs()
    assert float(distance[int(logits.argmax())]) <= float(distance.min()) + 1e-3


def test_half_precision_becomes_float32(folder: Path) -> None:
    path = folder / WEIGHTS_NAME
    save_file({k: v.half() for k, v in load_file(path).items()}, path)
    _rehash(folder)
    network = load_network(find_model(str(folder)))
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert float(network.classifier.bias.detach()[3]) == -32 * 9


def test_another_hash_is_refused(folder: Path) -> None:
    path = folder / WEIGHTS_NAME
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="do not match the SHA-256"):
        load_network(find_model(str(folder)))


@pytest.mark.parametrize("builder", ["os_system", "mask_of_a_stranger"])
def test_foreign_builder_is_refused(folder: Path, builder: str) -> None:
    _change_card(folder, builder=builder)
    with pytest.raises(ModelError, match=f"'{builder}', which is not in engine.models") as caught:
        load_network(find_model(str(folder)))
    assert "never run" in caught.value.hint


def test_builder_of_another_task_is_refused(folder: Path) -> None:
    entry = find_model(str(folder))
    assert entry.card is not None
    with pytest.raises(ModelError, match="instance network 'pixel_linear'"):
        load_network(replace(entry, card=replace(entry.card, task="instance")))


@pytest.mark.parametrize("name", ["num_classes", "in_channels", "pretrained", "encoder_weights"])
def test_builder_args_cannot_say_what_the_card_decides(folder: Path, name: str) -> None:
    _change_card(folder, builder_args={name: 3})
    with pytest.raises(ModelError, match=f"builder_args has '{name}'"):
        load_network(find_model(str(folder)))


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"classifier.weight": [1.0]}))


def _huge_header(path: Path) -> None:
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")


def _lying_header(path: Path) -> None:
    header = json.dumps({"x": {"dtype": "F32", "shape": [9, 9], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage", [_truncate, _empty, _pickle, _huge_header, _lying_header, _folder]
)
def test_damaged_weights_are_a_model_error(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder / WEIGHTS_NAME)
    with pytest.raises(ModelError, match="cannot be read"):
        read_weights(folder / WEIGHTS_NAME)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_model_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "any.safetensors"
    path.write_bytes(data)
    with pytest.raises(ModelError):
        read_weights(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classifier.bias": None}, "missing classifier.bias"),
        ({"extra": torch.zeros(1)}, "unexpected extra"),
        ({"classifier.bias": torch.zeros(4)}, r"classifier.bias is \(4,\), not \(5,\)"),
        ({"classifier.bias": torch.full((5,), float("nan"))}, "is not finite"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    folder: Path, change: dict[str, torch.Tensor | None], message: str
) -> None:
    path = folder / WEIGHTS_NAME
    tensors = {**load_file(path), **change}
    save_file({k: v for k, v in tensors.items() if v is not None}, path)
    _rehash(folder)
    with pytest.raises(ModelError, match=message):
        load_network(find_model(str(folder)))


def test_more_classes_on_the_card_than_in_the_weights(folder: Path) -> None:
    card = read_card(folder)
    more = [*card.to_dict()["classes"], {"id": 5, "name": "new", "color": "#010203"}]
    _change_card(folder, classes=more)
    with pytest.raises(ModelError, match="do not fit its network"):
        load_network(find_model(str(folder)))


def test_card_without_weights_says_train_first(folder: Path) -> None:
    _change_card(folder, weights=None)
    with pytest.raises(ModelError, match="has no weights") as caught:
        load_network(find_model(str(folder)))
    assert "train" in caught.value.hint


def test_unusable_card_is_a_model_error(folder: Path) -> None:
    with pytest.raises(ModelError, match="is unusable: no good"):
        load_network(ModelEntry(folder, "user", None, "no good"))


def test_every_shipped_model_loads_and_is_small() -> None:
    entries = [entry for entry in list_models() if entry.origin == "shipped"]
    assert "buildings_mobilenetv2" in [entry.id for entry in entries]
    for entry in entries:
        assert entry.card is not None and entry.card.weights is not None, entry.problem
        assert entry.card.weights.bytes < 10_000_000
        network = load_network(entry)
        images = torch.zeros(1, len(entry.card.bands), 64, 96)
        with torch.no_grad():
            assert network(images).shape == (1, len(entry.card.classes), 64, 96)
