"""After warming up, a run finds all its kernels compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import sys
from pathlib import Path
from engine.jobs import SegmentJob
from engine.pipelines.doctor import _compile_kernels
from engine.pipelines.segment import run_segment
from tests.factories_models import write_identity_model

folder, cache = Path(sys.argv[1]), Path(sys.argv[2])
kernels = lambda: {path.name for path in cache.rglob("*.nbc")}
_compile_kernels()
before = kernels()
run_segment(
    SegmentJob(
        raster="resources/samples/banepa.tif",
        model=str(write_identity_model(folder / "identity3", 3, bands=3)),
        output=str(folder / "out.gpkg"),
        class_raster=str(folder / "out.tif"),
        device="cpu", precision="fp32", backend="torch", tile_px=512, overlap_px=64,
        simplify_m=1.0,
    ),
    lambda event: None,
    lambda: False,
)
print(len(before), sorted(kernels() - before))
"""


@pytest.mark.slow
def test_a_run_compiles_nothing_that_was_warmed_up(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), str(cache)],
        cwd=ROOT,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    count, compiled_later = done.stdout.split(" ", 1)
    assert int(count) > 8
    assert compiled_later.strip() == "[]"
