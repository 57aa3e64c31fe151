"""The memory benchmark on a small raster: it runs, finds what was drawn and obeys its bound."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "sparse_memory.py"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_run_stays_within_the_bound() -> None:
    done = _run("--size", "2600")
    assert done.returncode == 0, done.stdout + done.stderr
    # Six tiles of 512 px with 64 px overlap cover 2600 px: ceil((2600 - 512) / 448) + 1.
    features, tiles = re.search(r"features +(\d+) from (\d+) tiles", done.stdout).groups()
    assert int(tiles) == 36
    assert int(features) >= 10


@pytest.mark.slow
def test_bound_can_be_missed() -> None:
    done = _run("--size", "700", "--bound-mib", "0")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "OVER the bound" in done.stdout


@pytest.mark.parametrize(
    ("height", "rows_of_tiles"), [(512, 1), pytest.param(768, 2, marks=pytest.mark.slow)]
)
def test_raster_100_000_pixels_wide_with_eight_classes(height: int, rows_of_tiles: int) -> None:
    done = _run("--size", "100000", "--height", str(height), "--classes", "8")
    assert done.returncode == 0, done.stdout + done.stderr
    # 224 columns of tiles, and one more of each of the panels' neighbours.
    tiles = int(re.search(r"from (\d+) tiles", done.stdout).group(1))
    assert rows_of_tiles * 224 <= tiles <= rows_of_tiles * 240
    assert "within the bound of 1024" in done.stdout
