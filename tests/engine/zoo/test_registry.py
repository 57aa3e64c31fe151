"""The zoo: which models are found, which one wins, and what is wrong with the others."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from engine.errors import ModelError
from engine.zoo.card import CARD_NAME, WEIGHTS_NAME
from engine.zoo.registry import (
    SHIPPED,
    USER,
    file_sha256,
    find_model,
    list_models,
    verify_weights,
)
from tests.factories_models import write_identity_model


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty user zoo."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    monkeypatch.setenv("RS_SEGMENT_ZOO", str(folder))
    return folder


def test_a_users_model_hides_a_shipped_one_of_its_id(tmp_path: Path) -> None:
    write_identity_model(tmp_path / "user" / "same", 2)
    write_identity_model(tmp_path / "shipped" / "same", 3)
    write_identity_model(tmp_path / "shipped" / "other", 3)
    folders = [(tmp_path / "user", USER), (tmp_path / "shipped", SHIPPED)]
    found = {entry.id: entry.origin for entry in list_models(folders)}
    assert found == {"same": USER, "other": SHIPPED}


def test_an_unusable_card_is_listed_with_its_problem(zoo: Path) -> None:
    folder = write_identity_model(zoo / "broken", 2)
    (folder / CARD_NAME).write_text("{}", encoding="utf-8")
    (entry,) = (e for e in list_models() if e.id == "broken")
    assert entry.card is None and "has no classes" in entry.problem
    with pytest.raises(ModelError, match="'broken' is unusable"):
        find_model("broken")


def test_hidden_and_empty_folders_are_no_models(tmp_path: Path) -> None:
    write_identity_model(tmp_path / ".staging", 2)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    assert list_models([(tmp_path, USER), (tmp_path / "absent", SHIPPED)]) == []


def test_a_model_is_found_by_id_and_by_folder(zoo: Path, tmp_path: Path) -> None:
    write_identity_model(zoo / "mine", 2)
    elsewhere = write_identity_model(tmp_path / "elsewhere", 2)
    assert find_model("mine").folder == zoo / "mine"
    assert find_model(str(elsewhere)).folder == elsewhere


def test_a_wrong_id_names_the_near_one(zoo: Path) -> None:
    write_identity_model(zoo / "buildings", 2)
    with pytest.raises(ModelError, match="no model 'bildings'") as caught:
        find_model("bildings")
    assert "did you mean 'buildings'?" in caught.value.hint


@pytest.mark.parametrize("model", ["a/b", ".", ""])
def test_a_path_without_card_is_no_model(zoo: Path, model: str) -> None:
    with pytest.raises(ModelError):
        find_model(model)


def test_the_hash_is_sha256_of_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 8200
    (tmp_path / "x").write_bytes(data)
    assert file_sha256(tmp_path / "x") == hashlib.sha256(data).hexdigest()


def test_one_changed_bit_of_the_weights_is_found(zoo: Path) -> None:
    folder = write_identity_model(zoo / "mine", 2)
    assert verify_weights(find_model("mine")) == folder / WEIGHTS_NAME
    data = bytearray((folder / WEIGHTS_NAME).read_bytes())
    data[-1] ^= 1
    (folder / WEIGHTS_NAME).write_bytes(data)
    with pytest.raises(ModelError, match="do not match the SHA-256"):
        verify_weights(find_model("mine"))
    (folder / WEIGHTS_NAME).unlink()
    with pytest.raises(ModelError, match="are missing"):
        verify_weights(find_model("mine"))


def test_a_removed_model_is_gone(zoo: Path) -> None:
    folder = write_identity_model(zoo / "mine", 2)
    assert [e.id for e in list_models([(zoo, USER)])] == ["mine"]
    shutil.rmtree(folder)
    assert list_models([(zoo, USER)]) == []
