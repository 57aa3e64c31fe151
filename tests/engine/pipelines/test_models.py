"""Import, export and check of models; zips that attack are refused and leave nothing behind."""

from __future__ import annotations

import io
import json
import pickle
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import DiskError, EngineError, JobCancelled, ModelError
from engine.jobs import CheckModelJob, ExportModelJob, ImportModelJob
from engine.pipelines.models import run_check_model, run_export_model, run_import_model
from engine.protocol import Event, Result
from engine.zoo.card import CARD_NAME, WEIGHTS_NAME
from engine.zoo.registry import USER, find_model, list_models
from tests.factories_models import write_identity_model


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the user's zoo, which is not there yet."""
    folder = tmp_path / "user" / "zoo"
    monkeypatch.setenv("RS_SEGMENT_ZOO", str(folder))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = write_identity_model(tmp_path / "parts" / "identity_3", 3, 2)
    (folder / "README.md").write_text("about", encoding="utf-8")
    return folder


def ignore(event: Event) -> None:
    pass


def bring(source: Path, **options: Any) -> Result:
    return run_import_model(ImportModelJob(str(source), **options), ignore, lambda: False)


def zipped(model: Path, path: Path, **more: bytes) -> Path:
    """Return a zip of a model with more members; a member's value may replace a file."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(model.iterdir()):
            if f"top/{file.name}" not in more:
                archive.write(file, f"top/{file.name}")
        for name, data in more.items():
            archive.writestr(name, data)
    return path


def nothing_left(zoo: Path) -> bool:
    return not zoo.exists() or not list(zoo.iterdir())


@pytest.mark.parametrize("format_", ["folder", "zip"])
def test_export_then_import_gives_the_same_bytes(
    zoo: Path, model: Path, tmp_path: Path, format_: str
) -> None:
    output = tmp_path / ("out.zip" if format_ == "zip" else "out")
    job = ExportModelJob(str(model), str(output), format_)
    exported = run_export_model(job, ignore, lambda: False)
    assert exported.outputs["output"] == str(output)
    result = bring(output)
    folder = Path(result.outputs["folder"])
    assert folder == zoo / "identity_3"
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {
        p.name: p.read_bytes() for p in model.iterdir()
    }
    assert find_model("identity_3").origin == USER
    assert [p.name for p in zoo.iterdir()] == ["identity_3"]


def test_two_exports_are_the_same_bytes(zoo: Path, model: Path, tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        run_export_model(ExportModelJob(str(model), str(tmp_path / name)), ignore, lambda: False)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_an_existing_model_is_replaced_only_when_allowed(zoo: Path, model: Path) -> None:
    bring(model)
    (model / "README.md").write_text("newer", encoding="utf-8")
    with pytest.raises(ModelError, match="has a model 'identity_3' already"):
        bring(model)
    assert (zoo / "identity_3" / "README.md").read_text(encoding="utf-8") == "about"
    bring(model, overwrite=True)
    assert (zoo / "identity_3" / "README.md").read_text(encoding="utf-8") == "newer"
    assert [p.name for p in zoo.iterdir()] == ["identity_3"]


def test_an_existing_output_is_replaced_only_when_allowed(
    zoo: Path, model: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.zip"
    output.write_text("mine")
    with pytest.raises(DiskError, match="exists already"):
        run_export_model(ExportModelJob(str(model), str(output)), ignore, lambda: False)
    (tmp_path / "photos").mkdir()
    job = ExportModelJob(str(model), str(tmp_path / "photos"), "folder", overwrite=True)
    with pytest.raises(DiskError, match="no model folder"):
        run_export_model(job, ignore, lambda: False)
    run_export_model(ExportModelJob(str(model), str(output), overwrite=True), ignore, lambda: False)
    assert zipfile.is_zipfile(output)


def link_member() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("top/README.md")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def attack(name: str, data: bytes = b"x") -> Callable[[Path, Path], Path]:
    return lambda model, path: zipped(model, path, **{name: data})


def attack_link(model: Path, path: Path) -> Path:
    (model / "README.md").unlink()
    zipped(model, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link_member(), "/etc/passwd")
    return path


def attack_twice(model: Path, path: Path) -> Path:
    zipped(model, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("top/readme.MD", "again")
    return path


def attack_bomb(model: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(model.iterdir()):
            archive.write(file, f"top/{file.name}")
        archive.writestr("top/LICENSE", bytes(15 << 20))
    return path


ATTACKS: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "escape": (attack("top/../../evil.md"), "leaves the folder"),
    "absolute": (attack("/tmp/evil.md"), "leaves the folder"),
    "backslash": (attack("top\\..\\evil.md"), "leaves the folder"),
    "drive": (attack("C:evil.md"), "leaves the folder"),
    "nested": (attack("top/deep/README.md"), "nested folder"),
    "two tops": (attack("other/LICENSE"), "more than one folder"),
    "pickle": (attack("top/data.pkl", pickle.dumps([1])), "does not belong to a model"),
    "script": (attack("top/setup.py", b"import os"), "does not belong to a model"),
    "link": (attack_link, "is a link"),
    "twice": (attack_twice, "is there twice"),
    "bomb": (attack_bomb, "unpacks to more than"),
    "large card": (attack(f"top/{CARD_NAME}", b" " * (2 << 20)), "is larger than 1 MiB"),
    "large weights": (attack(f"top/{WEIGHTS_NAME}", bytes(3 << 20)), "bytes, its card says"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_zip_that_attacks_is_refused_and_leaves_nothing(
    zoo: Path, model: Path, tmp_path: Path, name: str
) -> None:
    make, words = ATTACKS[name]
    path = make(model, tmp_path / "attack.zip")
    before = {p for p in tmp_path.rglob("*") if zoo not in p.parents}
    with pytest.raises(ModelError) as caught:
        bring(path)
    assert words in caught.value.message
    assert nothing_left(zoo)
    after = {p for p in tmp_path.rglob("*") if zoo not in p.parents and p != zoo.parent}
    assert after - {zoo} <= before


def test_a_damaged_zip_is_refused(zoo: Path, model: Path, tmp_path: Path) -> None:
    path = zipped(model, tmp_path / "m.zip")
    data = bytearray(path.read_bytes())
    place = data.index((model / WEIGHTS_NAME).read_bytes()[-16:])
    data[place] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ModelError, match="damaged"):
        bring(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ModelError, match="damaged"):
        bring(path)
    assert nothing_left(zoo)


def rewrite_card(model: Path, **changes: Any) -> None:
    path = model / CARD_NAME
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**record, **changes}), encoding="utf-8")


def test_weights_of_another_hash_are_refused(zoo: Path, model: Path) -> None:
    data = bytearray((model / WEIGHTS_NAME).read_bytes())
    data[-1] ^= 1
    (model / WEIGHTS_NAME).write_bytes(data)
    with pytest.raises(ModelError, match="do not match the SHA-256"):
        bring(model)
    assert nothing_left(zoo)


def test_a_foreign_builder_is_refused(zoo: Path, model: Path) -> None:
    rewrite_card(model, builder="my_network")
    with pytest.raises(ModelError, match="my_network"):
        bring(model)
    assert nothing_left(zoo)


def test_weights_that_do_not_fit_the_network_are_refused(zoo: Path, model: Path) -> None:
    record = json.loads((model / CARD_NAME).read_text(encoding="utf-8"))
    rewrite_card(model, bands=record["bands"][:1])
    with pytest.raises(ModelError, match="do not fit"):
        bring(model)
    assert nothing_left(zoo)


def test_weights_that_are_a_pickle_are_never_opened(zoo: Path, model: Path) -> None:
    class Boom:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (model.parent / "executed",))

    data = pickle.dumps(Boom())
    (model / WEIGHTS_NAME).write_bytes(data)
    from engine.zoo.registry import file_sha256

    sha256 = file_sha256(model / WEIGHTS_NAME)
    rewrite_card(model, weights={"file": WEIGHTS_NAME, "sha256": sha256, "bytes": len(data)})
    with pytest.raises(ModelError, match="cannot be read"):
        bring(model)
    rewrite_card(model, weights={"file": "weights.pt", "sha256": sha256, "bytes": len(data)})
    with pytest.raises(ModelError, match="no safetensors file"):
        bring(model)
    assert not (model.parent / "executed").exists()
    assert nothing_left(zoo)


@pytest.mark.parametrize("ending", [".pt", ".pth", ".ckpt", ".onnx", ".safetensors"])
def test_a_bare_checkpoint_is_refused_with_the_way_out(
    zoo: Path, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"model{ending}"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelError, match="bare") as caught:
        bring(path)
    assert "card.json" in caught.value.hint


def test_what_is_not_there_is_said(zoo: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nothing at"):
        bring(tmp_path / "absent")


def test_a_link_in_a_folder_is_refused(zoo: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (model / "NOTICE").symlink_to(tmp_path / "secret")
    with pytest.raises(ModelError, match="is a link"):
        bring(model)
    assert nothing_left(zoo)


def test_files_that_are_no_part_of_a_model_stay_where_they_are(zoo: Path, model: Path) -> None:
    (model / "events.out.tfevents").write_text("x")
    told: list[Event] = []
    run_import_model(ImportModelJob(str(model)), told.append, lambda: False)
    assert not (zoo / "identity_3" / "events.out.tfevents").exists()
    assert any("events.out.tfevents" in str(event) for event in told)


def test_a_cancelled_import_leaves_nothing(zoo: Path, model: Path) -> None:
    with pytest.raises(JobCancelled):
        run_import_model(ImportModelJob(str(model)), ignore, lambda: True)
    assert nothing_left(zoo)


def test_check_runs_the_network_of_folders_and_zips(zoo: Path, model: Path, tmp_path: Path) -> None:
    path = zipped(model, tmp_path / "m.zip")
    for source in (model, path):
        result = run_check_model(CheckModelJob(str(source)), ignore, lambda: False)
        assert result.details["id"] == "identity_3"
        assert any("9 parameters" in line for line in result.details["checked"])
        assert any("forward pass" in line for line in result.details["checked"])
    assert nothing_left(zoo)


def test_check_finds_scores_that_are_not_finite(zoo: Path, model: Path) -> None:
    from safetensors.numpy import load_file, save_file

    from engine.zoo.registry import file_sha256

    tensors = load_file(model / WEIGHTS_NAME)
    tensors["classifier.bias"] = np.full_like(tensors["classifier.bias"], np.inf)
    save_file(tensors, model / WEIGHTS_NAME)
    path = model / WEIGHTS_NAME
    rewrite_card(
        model,
        weights={
            "file": WEIGHTS_NAME,
            "sha256": file_sha256(path),
            "bytes": path.stat().st_size,
        },
    )
    with pytest.raises(ModelError, match="not finite"):
        run_check_model(CheckModelJob(str(model)), ignore, lambda: False)


def test_a_card_without_weights_can_be_imported_and_says_so(zoo: Path, model: Path) -> None:
    rewrite_card(model, weights=None)
    (model / WEIGHTS_NAME).unlink()
    told: list[Event] = []
    run_import_model(ImportModelJob(str(model)), told.append, lambda: False)
    assert any("no weights" in str(event) for event in told)
    assert [e.id for e in list_models([(zoo, USER)])] == ["identity_3"]


def test_a_zoo_that_cannot_be_written_is_a_disk_error(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("RS_SEGMENT_ZOO", str(tmp_path / "file" / "zoo"))
    with pytest.raises(DiskError) as caught:
        bring(model)
    assert caught.value.hint


def test_a_zip_of_random_bytes_is_an_engine_error(zoo: Path, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(CARD_NAME, bytes(range(256)))
    (tmp_path / "m.zip").write_bytes(buffer.getvalue())
    with pytest.raises(EngineError, match=CARD_NAME):
        bring(tmp_path / "m.zip")
