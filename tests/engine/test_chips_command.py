"""``rs-segment chips``: fields of the job, table, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from engine.data.chip_folder import ChipFolder
from engine.errors import JobError
from engine.pipelines.chips import run_chips
from tests.factories_chips import simple_job


def chips(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "engine", "chips", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_table_and_json(tmp_path):
    job = simple_job(tmp_path)
    source = ["--raster", job.rasters[0], "--labels", job.labels, "--tile", "32"]
    done = chips(*source, "--output", str(tmp_path / "a"), "--class-name", "roof", "--seed", "3")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == str(tmp_path / "a")
    assert any(line.split()[:1] == ["roof"] for line in lines)
    assert lines[-1] == "  leak check: 0 pixels shared between the parts, 0 m apart"
    more = ["--split", "60,20,20", "--color", "object=#010203", "--json"]
    done = chips(*source, "--output", str(tmp_path / "b"), *more)
    record = json.loads(done.stdout)
    assert record["type"] == "result" and record["details"]["split"]["shares"] == [60, 20, 20]
    assert record["details"]["classes"][1]["color"] == "#010203"
    total = record["counts"]
    assert total["chips"] == total["train"] + total["val"] + total["test"]


def test_what_the_user_can_mend_ends_with_2(tmp_path):
    job = simple_job(tmp_path)
    (tmp_path / "taken").write_text("x")
    for arguments, words in (
        (["--output", "x"], "either rasters and labels, or a data set"),
        (["--dataset", "loveda", "--root", str(tmp_path), "--output", "x"], "no images of LoveDA"),
        (
            ["--raster", *job.rasters, "--labels", job.labels, "--output", str(tmp_path / "taken")],
            "exists",
        ),
    ):
        done = chips(*arguments)
        assert done.returncode == 2 and words in done.stderr and "Hint:" in done.stderr
        assert "Traceback" not in done.stderr


def test_readers_are_listed():
    done = chips("--list")
    assert done.returncode == 0
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert {"coco", "masks", "labelme", "yolo_seg", "isaid", "loveda", "potsdam"} <= set(names)


def test_two_runs_do_not_write_one_folder(tmp_path):
    job, refused = simple_job(tmp_path), []

    def second(event):
        if not refused:
            with pytest.raises(JobError, match="another run is writing") as caught:
                run_chips(job, lambda event: None, lambda: False)
            refused.append(caught.value.message)

    run_chips(job, second, lambda: False)
    assert str(tmp_path / "chips") in refused[0]
    assert ChipFolder.open(tmp_path / "chips").chips()
