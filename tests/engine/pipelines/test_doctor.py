"""The doctor: says what is there, and finds what is broken."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import sys
from pathlib import Path

import pytest

from engine import __version__
from engine.commands.doctor import report_text
from engine.jobs import DoctorJob
from engine.packages import OPTIONAL_PACKAGES, REQUIRED_PACKAGES
from engine.pipelines import backend_report, doctor
from engine.pipelines.doctor import run_doctor
from engine.protocol import Event, Result, encode_event
from engine.zoo.card import WEIGHTS_NAME
from engine.zoo.registry import find_model
from tests.factories_models import write_identity_model


def ignore(event: Event) -> None:
    pass


def examine(folder: Path) -> Result:
    return run_doctor(DoctorJob(str(folder)), ignore, lambda: False)


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RS_SEGMENT_ZOO", str(tmp_path / "zoo"))
    return tmp_path / "zoo"


def test_the_doctor_looks_for_every_declared_package() -> None:
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8")

    def declared(start: str, end: str) -> set[str]:
        return set(re.findall(r'"([a-z][a-z0-9-]*)>=', text.split(start, 1)[1].split(end, 1)[0]))

    assert set(REQUIRED_PACKAGES) == declared("\ndependencies = [", "\n]")
    assert set(OPTIONAL_PACKAGES) == declared("\n[project.optional-dependencies]", "\ndev = ")


def test_this_environment_is_described_and_readable_for_both(tmp_path: Path, zoo: Path) -> None:
    write_identity_model(zoo / "alpha", 2)
    result = examine(tmp_path)
    details = result.details
    json.loads(encode_event(result))
    assert details["ok"] == (not details["problems"])
    assert details["engine"] == __version__
    assert details["python"]["version"] == platform.python_version()
    assert details["packages"]["torch"]["version"] == importlib.metadata.version("torch")
    assert set(details["libraries"]) == {
        "GDAL of rasterio",
        "GDAL of pyogrio",
        "PROJ",
        "GEOS",
        "numba",
    }
    (cpu, *_) = details["devices"]
    assert cpu["id"] == "cpu"
    assert 1 <= cpu["cores"] <= (os.cpu_count() or 1)
    assert cpu["memory_bytes"] > 1 << 28
    assert details["zoo"][0]["models"] == ["alpha"]
    assert [b["name"] for b in details["backends"]] == ["torch", "openvino", "onnxruntime"]
    text = report_text(result)
    assert f"torch {importlib.metadata.version('torch')}: CPU and CUDA, bf16, mixed, fp32" in text
    assert f"torch {importlib.metadata.version('torch')}" in text
    assert cpu["name"] in text


def test_progress_comes_and_ends(tmp_path: Path, zoo: Path) -> None:
    told: list[Event] = []
    run_doctor(DoctorJob(str(tmp_path)), told.append, lambda: False)
    assert told[-1].done == told[-1].total > 0  # type: ignore[union-attr]


def test_a_missing_package_is_a_problem_with_the_way_out(
    tmp_path: Path, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        doctor, "REQUIRED_PACKAGES", (*REQUIRED_PACKAGES, "no-such-package-anywhere")
    )
    result = examine(tmp_path)
    assert not result.details["ok"]
    (problem,) = (p for p in result.details["problems"] if "no-such-package" in p["message"])
    assert problem["hint"]
    assert "no-such-package-anywhere is missing" in report_text(result)
    assert "Not sound" in report_text(result)


def test_a_library_that_does_not_load_is_a_problem_and_the_rest_is_examined(
    tmp_path: Path, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyproj", None)
    result = examine(tmp_path)
    assert any("PROJ does not work" in p["message"] for p in result.details["problems"])
    assert "GEOS" in result.details["libraries"]


def test_damaged_models_are_problems(tmp_path: Path, zoo: Path) -> None:
    card = write_identity_model(zoo / "no_card", 2) / "card.json"
    card.write_text("[]", encoding="utf-8")
    (write_identity_model(zoo / "no_weights", 2) / WEIGHTS_NAME).unlink()
    messages = [p["message"] for p in examine(tmp_path).details["problems"]]
    assert any("no_card is unusable" in m for m in messages)
    assert any("weights of no_weights are missing" in m for m in messages)


def test_a_full_disk_is_a_problem(
    tmp_path: Path, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "MIN_FREE_BYTES", 1 << 60)
    messages = [p["message"] for p in examine(tmp_path).details["problems"]]
    assert any("MiB free" in m for m in messages)


def test_nothing_is_left_where_it_tried_to_write(tmp_path: Path, zoo: Path) -> None:
    (tmp_path / "output").mkdir()
    examine(tmp_path / "output")
    assert list((tmp_path / "output").iterdir()) == []
    assert not zoo.exists()


def test_a_missing_backend_is_optional_and_told_with_the_way_to_install_it(
    tmp_path: Path, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.pipelines.backend_report.missing_packages", lambda r: r.packages)
    result = examine(tmp_path)
    assert not any("openvino" in problem["message"] for problem in result.details["problems"])
    assert "openvino is not installed (optional: pip install openvino)" in report_text(result)


def test_backends_of_models_are_chosen_on_the_sample(
    tmp_path: Path, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RS_SEGMENT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RS_SEGMENT_ZOO", str(zoo))
    monkeypatch.setattr(backend_report, "list_models", lambda: [find_model(str(zoo / "rgb"))])
    write_identity_model(zoo / "rgb", 2, bands=3)
    assert backend_report.choose_beforehand() == {"rgb": "torch fp32 on cpu"}
