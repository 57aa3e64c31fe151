"""The real command line around a job that misbehaves on purpose; started by the tests.

``$TRIAL_JOB`` names the job of ``worker_jobs`` that runs instead of the real one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from engine import cli
from engine.commands import console
from engine.protocol import IsCancelled, Report
from engine.runner import FinalEvent, run_job
from tests.engine.worker_jobs import FUNCTIONS, TrialJob


def run_trial(
    name: str, record: Mapping[str, Any], report: Report, cancelled: IsCancelled
) -> FinalEvent:
    job = TrialJob(int(os.environ.get("TRIAL_NUMBER", "0")))
    return run_job(os.environ["TRIAL_JOB"], job, report, cancelled, FUNCTIONS)


if __name__ == "__main__":
    console.run_named = run_trial
    sys.exit(cli.main())
