"""Chips: labelled rasters or a published data set into a folder that training reads."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import __version__
from ..data.chip_folder import (
    CHIPS_FILE,
    FORMAT,
    IGNORE_INDEX,
    SPLITS,
    VERSION,
    Chip,
    ChipFolder,
)
from ..data.chip_writer import ChipWriter, totals
from ..data.statistics import StatisticsStream
from ..errors import JobCancelled, JobError, LabelError
from ..geo.chip_file import decode_chip, decode_valid
from ..geo.disk import only_writer
from ..jobs import ChipsJob
from ..protocol import IsCancelled, Log, Progress, Report, Result
from .chip_sources import ChipSource, open_chip_source
from .empty_chips import surplus_chips

_LISTENING_S = 0.2


def run_chips(job: ChipsJob, report: Report, cancelled: IsCancelled) -> Result:
    """Make a folder of chips, whole or not at all.

    An interrupted run leaves ``<output>.partial``, from which the same job with ``resume`` goes
    on; the folder is the same to the byte as that of a run without interruption.

    Args:
        job: What to do.
        report: Called with progress and log events.
        cancelled: Asked before each chip.

    Returns:
        The result: ``outputs`` (``chips``), ``counts`` (``chips``, those of each part,
        ``instances``) and ``details`` (classes, leak check, shares).

    Raises:
        EngineError: If something is wrong that the user can mend.
        JobCancelled: If ``cancelled`` returned True.
    """
    clock = time.monotonic()
    output = Path(job.output).expanduser()
    settings = _settings(job)
    finished = _finished_before(output, job, settings)
    if finished is None:
        source = open_chip_source(job, report, cancelled)
        try:
            with only_writer(output):
                finished = _Making(source, job, settings, report, cancelled).make()
        finally:
            source.close()
        before = False
    else:
        before = True
    return _result(finished, before, time.monotonic() - clock)


def _settings(job: ChipsJob) -> dict[str, Any]:
    """Return the fields of a job that decide what is in the folder."""
    left_out = ("output", "resume", "overwrite")
    return {key: value for key, value in job.to_dict().items() if key not in left_out}


def _finished_before(output: Path, job: ChipsJob, settings: Mapping[str, Any]) -> ChipFolder | None:
    """Return the folder if it is there already and the job is to be resumed.

    Raises:
        JobError: If there is something else.
    """
    if not output.exists():
        return None
    if job.resume and (output / CHIPS_FILE).is_file():
        folder = ChipFolder.open(output)
        if folder.record.get("job") == dict(settings):
            return folder
    if job.overwrite and (output / CHIPS_FILE).is_file():
        return None
    if output.is_dir() and not any(output.iterdir()):
        return None
    hint = "choose another output, or allow to overwrite it (--overwrite)"
    if not (output / CHIPS_FILE).is_file():
        hint = "choose another output: this is no folder of chips, so it is never replaced"
    raise JobError(f"{output} exists", hint)


class _Making:
    """One run: plan, cut, count, write."""

    def __init__(
        self,
        source: ChipSource,
        job: ChipsJob,
        settings: dict[str, Any],
        report: Report,
        cancelled: IsCancelled,
    ) -> None:
        self._source, self._job, self._settings = source, job, settings
        self._report, self._cancelled = report, cancelled
        self._output = Path(job.output).expanduser()
        identity = {"engine": __version__, **settings, "sources": source.fingerprints()}
        names = tuple(source.band_names)
        self._writer = ChipWriter(self._output, identity, resume=job.resume, band_names=names)
        self._reported = 0.0

    def make(self) -> ChipFolder:
        self._cut()
        self._drop_surplus()
        names = [chip.name for chip in self._source.plan]
        chips = self._writer.write_annotations(names, self._source.classes)
        if not chips:
            raise LabelError(
                "there is no chip with both data and known ground",
                "check that labels, labelled area and valid pixels lie over each other",
            )
        bands = self._statistics(chips)
        record = self._record(chips, bands)
        self._warn_of_absent_classes(record)
        self._writer.finish(record, overwrite=self._job.overwrite)
        return ChipFolder.open(self._output)

    def _cut(self) -> None:
        plan = self._source.plan
        for done, chip in enumerate(plan):
            self._check_cancelled()
            if not self._writer.done(chip.name):
                self._writer.add(self._source.cut(chip))
            self._progress("chips", done + 1, len(plan), "chips")

    def _drop_surplus(self) -> None:
        found = [self._writer.chip(chip.name) for chip in self._source.plan]
        ids = {c.id for c in self._source.classes if not c.background}
        chips = [chip for chip in found if chip is not None]
        for name in surplus_chips(chips, ids, self._job.empty_ratio, self._job.seed):
            self._writer.drop(name)

    def _statistics(self, chips: list[Chip]) -> list[dict[str, Any]]:
        names = list(self._source.band_names)
        stream = StatisticsStream(len(names), self._source.dtype)
        train = [chip for chip in chips if chip.split == "train"]
        for done, chip in enumerate(train):
            self._check_cancelled()
            data = (self._writer.partial / chip.image_file).read_bytes()
            pixels = decode_chip(data, chip.image_file)
            whole = chip.valid_ratio >= 1.0
            valid = pixels[0] == pixels[0] if whole else decode_valid(data, chip.image_file)
            stream.add(pixels, valid)
            self._progress("statistics", done + 1, len(train), "chips")
        keys = ("mean", "std", "min", "max", "p2", "p98")
        return [
            {"name": name, **{key: getattr(band, key) for key in keys}}
            for name, band in zip(names, stream.result(), strict=True)
        ]

    def _record(self, chips: list[Chip], bands: list[dict[str, Any]]) -> dict[str, Any]:
        source = self._source
        instances = self._writer.class_instances
        return {
            "format": FORMAT,
            "version": VERSION,
            "engine": __version__,
            "task": source.task,
            "classes": [
                {"id": c.id, "name": c.name, "color": c.color, "background": c.background}
                for c in source.classes
            ],
            "ignore_index": IGNORE_INDEX,
            "tile_px": source.tile_px,
            "gsd_m": source.gsd_m,
            "dtype": source.dtype,
            "bands": bands,
            **totals(chips),
            "class_instances": {
                split: {str(i): instances[split][i] for i in sorted(instances[split])}
                for split in SPLITS
            },
            "sources": source.sources(),
            "split": source.split_record(),
            "leak_check": source.leak_check(chips),
            "licenses": source.licenses,
            "job": self._settings,
            "chips": [_chip_record(chip) for chip in chips],
        }

    def _warn_of_absent_classes(self, record: Mapping[str, Any]) -> None:
        for split, share in zip(SPLITS, source_shares(self._source), strict=True):
            if not share:
                continue
            if not record["splits"][split]:
                self._warn(f"the part {split} has no chip: there is too little labelled ground")
                continue
            counts = record["class_pixels"][split]
            absent = [
                c["name"]
                for c in record["classes"]
                if not c["background"] and not counts.get(str(c["id"]))
            ]
            if absent:
                self._warn(f"the part {split} has no pixel of: {', '.join(absent)}")

    def _warn(self, message: str) -> None:
        self._report(Log(message, "warning"))

    def _check_cancelled(self) -> None:
        if self._cancelled():
            raise JobCancelled

    def _progress(self, stage: str, done: int, total: int, unit: str) -> None:
        """Report at most five times a second, and the end of each stage."""
        now = time.monotonic()
        if done == total or now - self._reported >= _LISTENING_S:
            self._reported = now
            self._report(Progress(stage, done, total, unit))


def source_shares(source: ChipSource) -> tuple[float, ...]:
    """Return the wanted shares of train, val and test of a source."""
    shares = source.split_record()["shares"]
    return tuple(float(share) for share in shares)


def _chip_record(chip: Chip) -> dict[str, Any]:
    return {
        "name": chip.name,
        "split": chip.split,
        "source": chip.source,
        "row_off": chip.row_off,
        "col_off": chip.col_off,
        "height_px": chip.height_px,
        "width_px": chip.width_px,
        "valid_ratio": chip.valid_ratio,
        "labelled_ratio": chip.labelled_ratio,
        "class_pixels": {str(i): count for i, count in sorted(chip.class_pixels.items())},
        "instances": chip.instances,
        "annotations": list(chip.annotations),
    }


def _result(folder: ChipFolder, before: bool, seconds: float) -> Result:
    record = folder.record
    splits = record["splits"]
    instances = sum(sum(counts.values()) for counts in record["class_instances"].values())
    keys = ("task", "classes", "splits", "class_pixels", "class_instances", "leak_check", "split")
    details = {key: record[key] for key in keys}
    if before:
        details["finished_before"] = True
    return Result(
        outputs={"chips": str(folder.path)},
        counts={"chips": sum(splits.values()), **splits, "instances": instances},
        seconds=seconds,
        details={**details, "tile_px": folder.tile_px, "gsd_m": folder.gsd_m},
    )
