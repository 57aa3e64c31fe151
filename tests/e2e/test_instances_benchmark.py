"""The benchmark of the merging on few detections: it runs, meets its goals, and can miss them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "instances.py"


@pytest.mark.slow
@pytest.mark.parametrize(("factor", "code"), [("3", 0), ("0.001", 1)])
def test_benchmark_of_the_merging(factor: str, code: int) -> None:
    arguments = ["--detections", "30000", "--repeat", "1", "--goals", factor]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert ("MISSED" in done.stdout) == (code == 1)
    assert "masks, microseconds per detection" in done.stdout
