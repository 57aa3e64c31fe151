"""Jobs: frozen dataclasses that all three doors build, and that refuse what they do not know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Dict, Type

from ..errors import JobError
from .base import Job
from .chips import ChipsJob
from .evaluate import CompareJob, EvaluateJob
from .segment import ReplayJob, SegmentJob
from .train import PretrainJob, TrainJob
from .zoo import CheckModelJob, DoctorJob, ExportModelJob, ImportModelJob

__all__ = [
    "JOBS",
    "CheckModelJob",
    "ChipsJob",
    "CompareJob",
    "DoctorJob",
    "EvaluateJob",
    "ExportModelJob",
    "ImportModelJob",
    "Job",
    "PretrainJob",
    "ReplayJob",
    "SegmentJob",
    "TrainJob",
    "job_from_dict",
]

JOBS: Dict[str, Type[Job]] = {
    "segment": SegmentJob,
    "replay": ReplayJob,
    "doctor": DoctorJob,
    "check_model": CheckModelJob,
    "import_model": ImportModelJob,
    "export_model": ExportModelJob,
    "chips": ChipsJob,
    "train": TrainJob,
    "pretrain": PretrainJob,
    "evaluate": EvaluateJob,
    "compare": CompareJob,
}


def job_from_dict(name: str, record: Mapping[str, Any]) -> Job:
    """Build the job called ``name``.

    Raises:
        JobError: If there is no such job, or a field is wrong.
    """
    if name not in JOBS:
        raise JobError(f"unknown job {name!r}", f"known jobs: {', '.join(JOBS)}")
    return JOBS[name].from_dict(record)
