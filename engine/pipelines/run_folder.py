"""A run is a folder: its job, a journal of finished strips, and its temporary files.

The folder lies beside the output, so that finished files can be renamed into place. A strip
is written, synced and renamed before its line goes into the journal; a torn last line or a
damaged strip is simply computed again.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import DiskError, JobCancelled, JobError
from ..geo.disk import disk_errors, take_lock
from ..predict.strips import PanelStrip
from .strip_file import decode_strip, encode_strip, is_strip

JOB_FILE = "job.json"
JOURNAL_FILE = "journal.jsonl"
LOCK_FILE = "lock"


def run_folder_for(output: Path) -> Path:
    """Return the run folder of an output: a hidden folder beside it."""
    return output.parent / f".{output.name}.run"


class RunFolder:
    """The folder of one run; use as a context manager, it holds the lock.

    Args:
        path: The folder; created if it is not there.
        record: The identity of the run (plain JSON values); a resumed run must have the same.
        resume: Whether to keep the strips of an earlier run with the same identity.

    Raises:
        JobError: If another process uses the folder, or the earlier run was another one.
        DiskError: If the folder cannot be written.
    """

    def __init__(self, path: Path, record: dict[str, Any], *, resume: bool) -> None:
        self.path = path
        self._finished: dict[tuple[int, int], str] = {}
        self._change = threading.Condition()
        self._ended = False
        with disk_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        self._lock = take_lock(path / LOCK_FILE, path)
        try:
            self._open(record, resume=resume)
        except BaseException:
            self._unlock()
            raise

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *error: object) -> None:
        self._unlock()

    def _unlock(self) -> None:
        os.close(self._lock)

    def _open(self, record: dict[str, Any], *, resume: bool) -> None:
        job_file = self.path / JOB_FILE
        earlier = _read_json(job_file)
        if resume and earlier is not None:
            if earlier != record:
                changed = [k for k in record if earlier.get(k) != record[k]] or ["version"]
                raise JobError(
                    f"the interrupted run in {self.path} had another {changed[0]}",
                    "repeat the first call exactly, or run without resume to start anew",
                )
            self._read_journal()
            return
        with disk_errors(self.path):
            for item in self.path.iterdir():
                if item.name != LOCK_FILE:
                    shutil.rmtree(item) if item.is_dir() else item.unlink()
            (self.path / "strips").mkdir()
            _write_synced(job_file, json.dumps(record, indent=2).encode("utf-8"))

    def _read_journal(self) -> None:
        try:
            lines = (self.path / JOURNAL_FILE).read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            return
        for line in lines:
            try:
                entry = json.loads(line)
                self._finished[entry["panel"], entry["row"]] = str(entry["file"])
            except (ValueError, KeyError, TypeError):
                continue
        for key, name in list(self._finished.items()):
            if not (self.path / "strips" / Path(name).name).is_file():
                del self._finished[key]

    def first_missing(self, panel: int, rows: int) -> int:
        """Return the first row of tiles of a panel whose strip is not finished."""
        return next((r for r in range(rows) if (panel, r) not in self._finished), rows)

    def save(self, strip: PanelStrip) -> None:
        """Write a strip durably and note it in the journal."""
        self.save_bytes(strip.panel, strip.row_index, encode_strip(strip))

    def save_bytes(self, panel: int, row: int, data: bytes) -> None:
        """Write the record of a row of tiles durably and note it in the journal."""
        name = f"p{panel:04d}_r{row:08d}.strip"
        path = self.path / "strips" / name
        with disk_errors(path):
            _write_synced(path, data)
            line = json.dumps({"panel": panel, "row": row, "file": name})
            with (self.path / JOURNAL_FILE).open("a", encoding="utf-8") as journal:
                journal.write("\n" + line)
                journal.flush()
                os.fsync(journal.fileno())
        with self._change:
            self._finished[panel, row] = name
            self._change.notify_all()

    def wait_for(self, panel: int, row: int) -> None:
        """Wait until a record was saved by another thread.

        Raises:
            JobCancelled: If no more records come.
        """
        with self._change:
            self._change.wait_for(lambda: self._ended or (panel, row) in self._finished)
            if self._ended:
                raise JobCancelled

    def end(self) -> None:
        """Say that no more records come: whoever waits for one, now or later, is cancelled."""
        with self._change:
            self._ended = True
            self._change.notify_all()

    def load(self, panel: int, row: int) -> PanelStrip:
        """Read a finished strip.

        Raises:
            DiskError: If it is missing or damaged.
        """
        strip = decode_strip(self.load_bytes(panel, row), panel, row)
        if strip is None:
            path = self.path / "strips" / self._finished[panel, row]
            raise DiskError(f"strip {path} is damaged", "run again without resume")
        return strip

    def load_bytes(self, panel: int, row: int) -> bytes:
        """Read the record of a row of tiles as it was written.

        Raises:
            DiskError: If it is missing.
        """
        path = self.path / "strips" / self._finished[panel, row]
        with disk_errors(path):
            return path.read_bytes()

    def drop_damaged(self, is_sound: Callable[[bytes, int, int], bool] | None = None) -> None:
        """Forget finished records that cannot be read, so that they are computed again.

        Args:
            is_sound: Whether the bytes of a panel and row are those that were written; strips
                are checked if it is not given.
        """
        sound = is_sound or is_strip
        for panel, row in list(self._finished):
            if not sound(self.load_bytes(panel, row), panel, row):
                del self._finished[panel, row]

    def remove(self) -> None:
        """Delete the folder after a run that ended well."""
        shutil.rmtree(self.path, ignore_errors=True)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write_synced(path: Path, data: bytes) -> None:
    """Write a file so that it is whole under its name, or not there at all."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
