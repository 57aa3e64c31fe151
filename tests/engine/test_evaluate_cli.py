"""``rs-segment evaluate`` as a real process: table, JSON, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.engine.pipelines.evaluate_scenes import class_map, write_labels, write_scene
from tests.factories_models import write_identity_model

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engine", "evaluate", *arguments],
        cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False, timeout=250,
    )  # fmt: skip


def test_a_raster_with_labels(tmp_path: Path) -> None:
    model = str(write_identity_model(tmp_path / "identity", 3))
    raster, labels = write_scene(tmp_path, class_map()), write_labels(tmp_path / "l.gpkg")
    given = ("--model", model, "--raster", raster, "--labels", labels, "--device", "cpu")
    output = str(tmp_path / "m.json")
    done = run(*given, "--class-field", "kind", "--output", output)
    assert done.returncode == 0, done.stderr
    assert "mIoU 1.0000" in done.stdout
    assert "class 2" in done.stdout
    again = run(*given, "--class-field", "kind", "--output", output, "--json")
    assert again.returncode == 2
    failure = json.loads(again.stdout)
    assert (failure["type"], failure["code"]) == ("failure", "disk")
    assert "exists already" in failure["message"]


def test_what_cannot_be_run_is_said_at_once(tmp_path: Path) -> None:
    done = run("--model", "m", "--output", str(tmp_path / "m.json"))
    assert done.returncode == 2
    assert "exactly one of chips, dataset and raster" in done.stderr
    assert run("--model", "m").returncode == 2
