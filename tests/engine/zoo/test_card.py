"""Cards: a sound one survives JSON, each kind of damage is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ModelError
from engine.zoo.card import CARD_NAME, card_from_dict, read_card
from tests.factories_models import write_identity_model


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = write_identity_model(tmp_path_factory.mktemp("zoo") / "model_a", 4, 13)
    loaded: dict[str, Any] = json.loads((folder / CARD_NAME).read_text(encoding="utf-8"))
    return loaded


def changed(record: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy with the value at ``a.0.b`` replaced, or removed if it is Ellipsis."""
    copy = json.loads(json.dumps(record))
    *parents, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    place = copy
    for part in parents:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return copy


def test_a_card_survives_json(record: dict[str, Any]) -> None:
    card = card_from_dict(record)
    assert card_from_dict(json.loads(card.to_json())) == card
    assert len(card.bands) == 13
    assert card.class_by_id(2).name == "class 2"


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("id", "Has Spaces", "id 'Has Spaces'"),
        ("id", "../up", "id '../up'"),
        ("task", "panoptic", "task 'panoptic'"),
        ("builder", "os.system", "builder 'os.system' is not a plain name"),
        ("builder", "__import__", "builder"),
        ("classes", [], "has no classes"),
        ("classes", ..., "has no classes"),
        ("classes.1.id", 0, "class ids"),
        ("classes.1.id", 255, "class ids"),
        ("classes.3.id", 7, "not 0..3 in order"),
        ("classes.0.color", "red", "color 'red'"),
        ("classes.0.colour", "#000000", "unknown field 'colour'"),
        ("bands.0.std", 0, "std is not above 0"),
        ("bands.0.std", "1", "wrong type"),
        ("bands.0.mean", ..., "mean"),
        ("resolution_m.min", 2e6, "resolution_m"),
        ("resolution_m", ..., "resolution_m is not an object"),
        ("tile_px", 0, "tile_px 0"),
        ("overlap_px", 64, "overlap_px 64"),
        ("stride", 0, "stride 0"),
        ("score_threshold", 1.5, "score_threshold 1.5"),
        ("weights.file", "../w.safetensors", "not inside the folder"),
        ("weights.sha256", ..., "sha256"),
        ("surprise", 1, "unknown field 'surprise'"),
        ("title", ..., "title"),
    ],
)
def test_each_kind_of_damage_is_named(
    record: dict[str, Any], path: str, value: Any, words: str
) -> None:
    with pytest.raises(ModelError) as caught:
        card_from_dict(changed(record, path, value))
    assert words in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"card"'])
def test_a_file_that_is_no_card_is_refused_with_its_path(tmp_path: Path, text: str) -> None:
    (tmp_path / CARD_NAME).write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=CARD_NAME):
        read_card(tmp_path)


def test_a_folder_without_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no card\.json"):
        read_card(tmp_path)
