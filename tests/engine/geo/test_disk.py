"""Outputs that one run at a time writes, and what is left when a run ends in any way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import DiskError, JobError
from engine.geo.disk import only_writer, take_lock

ROOT = Path(__file__).resolve().parents[3]
HOLDER = """
import sys
from pathlib import Path
from engine.geo.disk import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_second_writer_is_refused_and_a_later_one_is_not(tmp_path: Path) -> None:
    output = tmp_path / "new" / "chips"
    with only_writer(output):
        with pytest.raises(JobError, match="another run is writing") as caught, only_writer(output):
            pass
        assert str(output) in caught.value.message
        assert "another output" in caught.value.hint
        with only_writer(tmp_path / "new" / "other"):
            pass
    with only_writer(output):
        pass
    assert list(tmp_path.joinpath("new").iterdir()) == []


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    output = tmp_path / "model"
    command = [sys.executable, "-c", HOLDER, str(output)]
    holder = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(JobError, match="another run"), only_writer(output):
            pass
    finally:
        holder.kill()
        holder.communicate()
    assert (tmp_path / ".model.lock").is_file()
    with only_writer(output):
        pass
    assert not (tmp_path / ".model.lock").exists()


def test_a_lock_on_a_file_that_was_removed_is_none(tmp_path: Path) -> None:
    """The file of the one who waits may be the one that its owner has just removed."""
    path = tmp_path / "lock"
    first = take_lock(path, tmp_path)
    path.unlink()
    second = take_lock(path, tmp_path)
    with pytest.raises(JobError):
        take_lock(path, tmp_path)
    os.close(first)
    with pytest.raises(JobError):
        take_lock(path, tmp_path)
    os.close(second)


def test_a_folder_that_cannot_be_made_is_a_disk_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="cannot write"), only_writer(tmp_path / "file" / "model"):
        pass
