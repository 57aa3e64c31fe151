"""The run folder: durable strips, torn journals, locks, and clear errors."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest

from engine.errors import DiskError, JobError
from engine.geo.disk import disk_errors
from engine.pipelines.run_folder import RunFolder, run_folder_for
from engine.predict.strips import PanelStrip

RECORD = {"run_id": "abc", "job": {"raster": "a.tif"}}


def make_strip(panel: int, row: int) -> PanelStrip:
    rng = np.random.default_rng(panel * 10 + row)
    labels = rng.integers(0, 4, (5, 61), dtype=np.uint8)
    return PanelStrip(panel, row, labels, rng.integers(0, 255, (5, 61), dtype=np.uint8))


def test_strips_come_back_as_written(tmp_path: Path) -> None:
    strip = make_strip(1, 3)
    with RunFolder(tmp_path / "run", RECORD, resume=False) as folder:
        folder.save(strip)
        found = folder.load(1, 3)
    assert np.array_equal(found.labels, strip.labels)
    assert np.array_equal(found.scores, strip.scores)


def test_resume_knows_the_finished_strips_and_a_new_run_forgets_them(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with RunFolder(path, RECORD, resume=False) as folder:
        for row in (0, 1, 3):
            folder.save(make_strip(0, row))
    with RunFolder(path, RECORD, resume=True) as folder:
        assert folder.first_missing(0, 5) == 2
        assert folder.first_missing(1, 5) == 0
    with RunFolder(path, RECORD, resume=False) as folder:
        assert folder.first_missing(0, 5) == 0
    assert not list((path / "strips").iterdir())


def test_torn_journal_line_and_damaged_strip_are_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with RunFolder(path, RECORD, resume=False) as folder:
        for row in range(3):
            folder.save(make_strip(0, row))
    journal = path / "journal.jsonl"
    journal.write_text(journal.read_text()[:-9])
    damaged = path / "strips" / "p0000_r00000001.strip"
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 255
    damaged.write_bytes(bytes(data))
    with RunFolder(path, RECORD, resume=True) as folder:
        folder.drop_damaged()
        assert folder.first_missing(0, 3) == 1
        folder.save(make_strip(0, 1))
        folder.save(make_strip(0, 2))
    with RunFolder(path, RECORD, resume=True) as folder:
        assert folder.first_missing(0, 3) == 3


def test_another_job_is_not_continued(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run", RECORD, resume=False):
        pass
    other = json.loads(json.dumps(RECORD)) | {"run_id": "xyz"}
    with pytest.raises(JobError, match="another run_id"):
        RunFolder(tmp_path / "run", other, resume=True)


def test_two_runs_cannot_write_one_folder(tmp_path: Path) -> None:
    with (
        RunFolder(tmp_path / "run", RECORD, resume=False),
        pytest.raises(JobError, match="another run is writing"),
    ):
        RunFolder(tmp_path / "run", RECORD, resume=True)
    with RunFolder(tmp_path / "run", RECORD, resume=True):
        pass


def test_disk_errors_name_path_reason_and_way_out(tmp_path: Path) -> None:
    with pytest.raises(DiskError) as caught, disk_errors(tmp_path / "x.gpkg"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "x.gpkg" in caught.value.message
    assert "No space left" in caught.value.message
    assert "free some space" in caught.value.hint
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(DiskError, match="cannot write"):
        RunFolder(blocker / "run", RECORD, resume=False)


def test_run_folder_lies_hidden_beside_the_output() -> None:
    assert run_folder_for(Path("/data/a b/out.gpkg")) == Path("/data/a b/.out.gpkg.run")
