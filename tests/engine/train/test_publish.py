"""Publishing: what is written loads again, and is what was trained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.errors import ModelError
from engine.models import create_model
from engine.models.load import load_network
from engine.train.publish import half_precision, publish_model, readme_text
from engine.train.record_rows import record_rows, shell_line
from engine.zoo.card import ModelCard, read_card
from engine.zoo.registry import find_model
from tests.factories_models import write_identity_model


@pytest.fixture
def card(tmp_path: Path) -> ModelCard:
    source = read_card(write_identity_model(tmp_path / "source", classes=3, bands=4))
    return replace(
        source, id="published", weights=None, metrics=({"data": "d", "name": "iou", "value": 0.5},)
    )


def test_published_model_loads_and_gives_the_same(tmp_path: Path, card: ModelCard) -> None:
    torch.manual_seed(0)
    network = create_model("pixel_linear", num_classes=3, in_channels=4)
    folder = tmp_path / "zoo" / "published"
    published = publish_model(folder, network.state_dict(), card)
    assert read_card(folder) == published
    loaded = load_network(find_model(str(folder)))
    images = torch.randn(1, 4, 37, 61)
    with torch.no_grad():
        # float16 has 11 bits: each of four products is off by at most 2^-12 of itself.
        tolerance = float(images.abs().max()) * 0.5 * 4 * 2**-12 + 1e-6
        assert torch.allclose(loaded(images), network(images), atol=tolerance)
        assert torch.equal(loaded.classifier.bias, network.classifier.bias)
    assert not list(folder.glob("*.partial"))


def test_same_tensors_give_the_same_bytes(tmp_path: Path, card: ModelCard) -> None:
    tensors = create_model("pixel_linear", num_classes=3, in_channels=4).state_dict()
    first = publish_model(tmp_path / "a", tensors, card)
    second = publish_model(tmp_path / "b", tensors, card)
    assert first.weights == second.weights


def test_changed_weights_no_longer_match(tmp_path: Path, card: ModelCard) -> None:
    tensors = create_model("pixel_linear", num_classes=3, in_channels=4).state_dict()
    published = publish_model(tmp_path / "a", tensors, card)
    assert published.weights is not None
    with (tmp_path / "a" / published.weights.file).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelError, match="SHA-256"):
        load_network(find_model(str(tmp_path / "a")))


def test_values_beyond_half_precision_are_refused() -> None:
    with pytest.raises(ValueError, match="w has values"):
        half_precision({"w": torch.full((1, 1), 1e6)})
    with pytest.raises(ValueError, match="b has values"):
        half_precision({"b": torch.tensor([float("inf")])})
    kept = half_precision({"b": torch.tensor([1e6]), "n": torch.tensor(3)})
    assert kept["b"].dtype == torch.float32 and kept["n"].dtype == torch.int64


def test_an_unsound_card_is_refused_before_anything_is_written(
    tmp_path: Path, card: ModelCard
) -> None:
    with pytest.raises(ValueError, match="score_threshold"):
        publish_model(tmp_path / "a", {}, replace(card, score_threshold=2.0))
    assert not (tmp_path / "a").exists()


def test_readme_tells_metrics_and_licences(card: ModelCard) -> None:
    text = readme_text(card)
    assert "| d | iou | 0.5 |" in text and "CC0-1.0" in text and card.title in text


def test_records_become_rows_and_jobs_become_commands() -> None:
    record = {"split": {"by": "block", "shares": [70.0, 15.5]}, "ended": "", "done": True}
    assert list(record_rows(record)) == [
        ("split: by", "block"),
        ("split: shares", "70, 15.5"),
        ("ended", "–"),
        ("done", "yes"),
    ]
    fields = {"max_minutes": 2.0, "options": ["a=1", "b=[2, 3]"], "finish": True, "title": "a b"}
    command = json.dumps({"job": "train", "fields": fields})
    line = "rs-segment train --max-minutes 2.0 --set a=1 --set 'b=[2, 3]' --finish --title 'a b'"
    assert shell_line(command) == line
    assert list(record_rows({"command": command})) == [("command", line)]
    assert shell_line("made by hand") == "made by hand"
