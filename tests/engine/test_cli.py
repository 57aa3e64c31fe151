"""The command line as a real process: exit codes, what goes to which stream, signals, speed."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import pytest

from engine import __version__
from engine.commands.progress import duration_text
from engine.commands.segment import job_records, number_list, output_path
from engine.errors import JobError
from engine.protocol import Result, decode_event
from tests.factories_models import write_identity_model

ROOT = Path(__file__).resolve().parents[2]
TRIAL = "tests.engine.cli_jobs"
SEGMENT = ("segment", "a.tif", "--model", "m", "--output", "o.gpkg")


def run(
    *arguments: str, module: str = "engine", **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def trial(job: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run(*(arguments or SEGMENT), module=TRIAL, TRIAL_JOB=job, **environment)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["segment", "--help"], ["models", "list"], ["models", "list", "--json"]],
)
def test_a_light_command_starts_fast_and_imports_nothing_heavy(
    tmp_path: Path, arguments: list[str]
) -> None:
    for name in ("torch", "torchvision", "numpy", "rasterio", "pyogrio", "numba", "tqdm"):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError({name!r})")
    start_s = time.monotonic()
    done = run(*arguments, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start_s < 3


def test_version_and_help_are_done_and_no_command_is_a_usage_error() -> None:
    assert __version__ in run("--version").stdout
    assert run("-h").returncode == 0
    assert run().returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["segment"],
        ["segment", "a.tif", "--model", "m"],
        [*SEGMENT, "--tile", "wide"],
        [*SEGMENT, "--extent", "1,2,3"],
        [*SEGMENT, "--bands", "3;2;1"],
        [*SEGMENT, "--no-such-option"],
        ["dance"],
    ],
)
def test_a_usage_error_is_2_without_traceback(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_failure_that_the_user_can_mend_is_2_with_hint_and_without_traceback() -> None:
    done = trial("fail")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "Error: raster has 3 bands, the model needs 4",
        "Hint: choose another model",
    ]


def test_a_bug_of_ours_is_3_with_traceback_and_asks_to_report() -> None:
    done = trial("bug")
    assert done.returncode == 3
    assert "Traceback" in done.stderr and "1 // job.number" in done.stderr
    assert "Error: ZeroDivisionError" in done.stderr
    assert "please report it" in done.stderr


@pytest.mark.parametrize(("job", "code"), [("fail", "raster"), ("bug", "internal")])
def test_a_failure_is_json_too(job: str, code: str) -> None:
    done = trial(job, *SEGMENT, "--json")
    record = json.loads(done.stdout)
    assert (record["type"], record["code"], record["id"]) == ("failure", code, "a.tif")
    assert record["message"] and record["hint"]


def test_what_libraries_print_stays_off_the_json() -> None:
    done = trial("puts", *SEGMENT, "--json")
    assert done.returncode == 0
    assert decode_event(done.stdout) == Result({"out": "a.gpkg"}, id="a.tif")
    for words in ("from print", "from descriptor 1", "from libc", "from a child"):
        assert words in done.stderr


def test_a_warning_is_shown_once_for_several_rasters() -> None:
    arguments = ("segment", "a.tif", "b.tif", "--model", "m", "--output", "{name}.gpkg")
    done = trial("echo", *arguments, "--json", TRIAL_NUMBER="5")
    assert done.returncode == 0
    assert done.stderr.count("Warning: number 5") == 1
    ids = [json.loads(line)["id"] for line in done.stdout.splitlines()]
    assert ids == ["a.tif", "b.tif"]


def test_one_raster_that_fails_does_not_stop_the_others() -> None:
    arguments = ("segment", "a.tif", "b.tif", "--model", "m", "--output", "{name}.gpkg")
    done = trial("fail", *arguments)
    assert done.returncode == 2
    assert done.stderr.count("Error:") == 2
    assert "2 of 2 rasters failed" in done.stderr


def test_progress_away_from_a_terminal_is_a_few_lines() -> None:
    done = trial("burst", TRIAL_NUMBER="3000")
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert len(lines) <= 6
    assert lines[0] == "predict: 0 of 3000 tiles"
    assert lines[-1].startswith("vectorize: 2999 of 3000 tiles, ")
    assert lines[-1].endswith(" left") and "tiles/s" in lines[-1]


def test_progress_on_a_terminal_is_a_bar() -> None:
    leader, follower = pty.openpty()
    environment = {**os.environ, "TRIAL_JOB": "burst", "TRIAL_NUMBER": "200", "COLUMNS": "100"}
    process = subprocess.Popen(
        [sys.executable, "-m", TRIAL, *SEGMENT],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=follower,
    )
    os.close(follower)
    shown = b""
    try:
        while piece := os.read(leader, 4096):
            shown += piece
    except OSError:
        pass
    assert process.wait(timeout=20) == 0
    os.close(leader)
    assert b"predict:" in shown and b"vectorize:" in shown
    assert b"199/200" in shown and b"tiles/s" in shown


def start_trial(job: str, *extra: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", TRIAL, *SEGMENT, *extra],
        cwd=ROOT,
        env={**os.environ, "TRIAL_JOB": job},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_cancels_the_job_and_is_130(number: signal.Signals) -> None:
    with start_trial("wait", "--json") as process:
        assert process.stderr is not None and process.stderr.readline() == "waiting\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert json.loads(out)["type"] == "cancelled"
    assert "Cancelled." in err and "Traceback" not in err


def test_an_interrupt_after_the_last_tile_does_not_deny_the_result() -> None:
    one = trial("finish")
    assert one.returncode == 0 and "a.gpkg" in one.stdout
    assert "Cancelled" not in one.stderr
    arguments = ("segment", "a.tif", "b.tif", "c.tif", "--model", "m", "--output", "{name}.gpkg")
    some = trial("finish", *arguments)
    assert some.returncode == 130 and some.stdout.count("a.gpkg") == 1
    assert "Cancelled. 2 rasters were not begun." in some.stderr


def test_a_second_interrupt_ends_a_stuck_job_at_once() -> None:
    with start_trial("wait_for_ever") as process:
        assert process.stderr is not None and process.stderr.readline() == "deaf\n"
        start_s = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == "\n"
        assert "again" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130
    assert time.monotonic() - start_s < 5


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a user zoo with a sound and a broken model."""
    folder = tmp_path / "zoo"
    write_identity_model(folder / "alpha_3", 3, 2)
    broken = write_identity_model(folder / "beta", 2)
    (broken / "card.json").write_text("{}", encoding="utf-8")
    monkeypatch.setenv("RS_SEGMENT_ZOO", str(folder))
    return folder


def test_models_are_listed_for_people_and_programs(zoo: Path) -> None:
    text = run("models", "list").stdout
    assert "alpha_3" in text and "unusable" in text
    record = json.loads(run("models", "list", "--json").stdout)
    models = {m["id"]: m for m in record["details"]["models"]}
    assert models["alpha_3"]["card"]["tile_px"] == 64
    assert models["beta"]["card"] is None and models["beta"]["problem"]
    assert record["counts"]["models"] == len(models)


def test_a_card_is_shown_for_people_and_programs(zoo: Path) -> None:
    text = run("models", "show", "alpha_3").stdout
    assert "0 class 0 (background), 1 class 1, 2 class 2" in text
    record = json.loads(run("models", "show", "alpha_3", "--json").stdout)
    assert record["details"]["card"]["id"] == "alpha_3"
    done = run("models", "show", "alpha_4")
    assert done.returncode == 2
    assert "did you mean 'alpha_3'?" in done.stderr
    assert json.loads(run("models", "show", "alpha_4", "--json").stdout)["code"] == "model"


def test_a_model_goes_out_and_in_through_the_command_line(zoo: Path, tmp_path: Path) -> None:
    output = tmp_path / "alpha.zip"
    assert run("models", "export", "alpha_3", "--output", str(output)).returncode == 0
    other = {"RS_SEGMENT_ZOO": str(tmp_path / "other")}
    done = run("models", "import", str(output), "--json", **other)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outputs"]["folder"] == str(tmp_path / "other" / "alpha_3")


def read(kind: type[int] | type[float], value: str, count: int = 0) -> Any:
    command = click.Command("x")
    return number_list(kind, count)(click.Context(command), click.Option(["--x"]), value)


def test_lists_of_numbers() -> None:
    assert read(int, "3,2,1") == (3, 2, 1)
    assert read(float, "-85.5,27.25,1e3,4", 4) == (-85.5, 27.25, 1000.0, 4.0)
    with pytest.raises(click.BadParameter):
        read(int, "3,2.5")


def test_a_negative_extent_is_a_value_and_no_option(tmp_path: Path) -> None:
    done = trial("echo", *SEGMENT, "--extent", "-85.5,-27.6,-85.4,-27.5")
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("out.gpkg", "out.gpkg"),
        ("{name}_roofs.gpkg", "scene_roofs.gpkg"),
        ("results/", "results/scene.gpkg"),
        ("results", "results/scene.gpkg"),
        ("results/{name}/x.gpkg", "results/scene/x.gpkg"),
        ("there.d", "there.d/scene.gpkg"),
    ],
)
def test_an_output_is_a_file_a_folder_or_a_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.d").mkdir()
    assert output_path(pattern, "/data/scene.tif", ".gpkg") == str(tmp_path / expected)


def test_rasters_with_one_output_are_refused_before_they_run() -> None:
    with pytest.raises(JobError, match="2 rasters would be written to"):
        job_records(["a.tif", "b.tif"], {"model": "m", "output": "o.gpkg"})
    with pytest.raises(JobError, match="2 rasters would be written to"):
        job_records(["x/a.tif", "y/a.tif"], {"model": "m", "output": "results"})


def test_only_local_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.tif").write_text("")
    rasters = ["a.tif", "/vsicurl/https://example.org/b.tif"]
    records = job_records(rasters, {"model": "m", "output": "{name}.gpkg"})
    assert [r["raster"] for r in records] == [str(tmp_path / "a.tif"), rasters[1]]
    assert {r["model"] for r in records} == {"m"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.96, "10.0 s"), (41.2, "41 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")],
)
def test_durations_in_words(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
