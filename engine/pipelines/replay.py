"""Run the job of an earlier result again, and say whether its inputs are still the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import EngineError, JobError
from ..geo.vector import read_runs
from ..jobs import ReplayJob, SegmentJob
from ..protocol import IsCancelled, Log, Report, Result
from ..zoo.registry import find_model
from .run_folder import JOB_FILE
from .segment import run_segment


def run_replay(job: ReplayJob, report: Report, cancelled: IsCancelled) -> Result:
    """Run the job of an earlier result again.

    Returns:
        The result of the job; ``details`` has ``replay_of`` (run id) and ``same_inputs``.

    Raises:
        EngineError: If there is no manifest, or the job cannot be run.
    """
    manifest = read_manifest(Path(job.run).expanduser(), job.run_id)
    segment_job = replayed_job(manifest, job)
    for difference in differences(manifest, segment_job):
        report(Log(difference, "warning"))
    result = run_segment(segment_job, report, cancelled)
    earlier = str(manifest.get("run_id", ""))
    same = result.details.get("run_id") == earlier
    if not same:
        report(Log("the inputs or settings are not those of the earlier run", "warning"))
    return replace(result, details={**result.details, "replay_of": earlier, "same_inputs": same})


def read_manifest(path: Path, run_id: str = "") -> dict[str, Any]:
    """Return the manifest of a run.

    Args:
        path: A manifest (JSON), the folder of an interrupted run, or a GeoPackage.
        run_id: Which run of a GeoPackage; empty means the latest.

    Raises:
        JobError: If there is none.
    """
    if path.suffix.lower() == ".gpkg" and path.is_file():
        return _from_geopackage(path, run_id)
    if path.is_dir():
        path = next((path / n for n in ("run.json", JOB_FILE) if (path / n).is_file()), path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise JobError(
            f"{path} is no manifest of a run: {reason}",
            "give a run.json, a GeoPackage that RS Segment wrote, or the folder of a run",
        ) from None
    if not isinstance(record, dict) or not isinstance(record.get("job"), dict):
        raise JobError(f"{path} is no manifest of a run: it has no job", "give a run.json")
    if run_id and record.get("run_id") != run_id:
        raise JobError(f"{path} is run {record.get('run_id')!r}, not {run_id!r}", "leave it out")
    return record


def _from_geopackage(path: Path, run_id: str) -> dict[str, Any]:
    records: list[dict[str, Any]] = [r for r in read_runs(path) if isinstance(r.get("job"), dict)]
    if not records:
        raise JobError(f"{path} holds no run of RS Segment", "give a GeoPackage that it wrote")
    if not run_id:
        return records[-1]
    chosen = [r for r in records if r.get("run_id") == run_id]
    if not chosen:
        known = ", ".join(str(r.get("run_id")) for r in records)
        raise JobError(f"{path} has no run {run_id!r}", f"it has {known}")
    return chosen[-1]


def replayed_job(manifest: dict[str, Any], job: ReplayJob) -> SegmentJob:
    """Return the job of a manifest with the output that the replay wants.

    Raises:
        JobError: If the job of the manifest is not one of this version.
    """
    if manifest.get("job_name", "segment") != "segment":
        raise JobError(f"run has the job {manifest['job_name']!r}", "only segment can be replayed")
    record = {**manifest["job"], "resume": False, "overwrite": job.overwrite}
    if job.output:
        beside = Path(job.output)
        record["output"] = job.output
        for name in ("class_raster", "score_raster"):
            if record.get(name):
                record[name] = str(beside.with_name(f"{beside.stem}_{name}.tif"))
    return SegmentJob.from_dict(record)


def differences(manifest: dict[str, Any], job: SegmentJob) -> list[str]:
    """Return what is known to differ from the earlier run before the job runs."""
    found = []
    version = manifest.get("engine_version", manifest.get("engine"))
    if version not in (None, __version__):
        found.append(f"the earlier run was made by engine {version}, this is {__version__}")
    try:
        card = find_model(job.model).card
    except EngineError:
        return found
    sha256 = card.weights.sha256 if card is not None and card.weights is not None else ""
    earlier = str(manifest.get("model_sha256", sha256))
    if earlier.rpartition(":")[2] != sha256.rpartition(":")[2]:
        found.append(f"the weights of {job.model} are not those of the earlier run")
    return found
