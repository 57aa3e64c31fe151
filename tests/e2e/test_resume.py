"""A run killed with SIGKILL goes on with --resume and ends as an undisturbed one, byte by byte."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from tests.factories_models import write_identity_model

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a raster of 2600 x 331 class ids and an identity model."""
    folder = tmp_path_factory.mktemp("scene")
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 4, (2600 // 13, 331 // 9 + 1), dtype=np.uint8)
    classes = np.kron(coarse, np.ones((13, 9), np.uint8))[:, :331]
    path = folder / "scene.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=2600,
        width=331,
        count=1,
        dtype="uint8",
        crs="EPSG:32645",
        transform=Affine(0.5, 0, 300_000, 0, -0.5, 3_000_000),
        tiled=True,
        blockxsize=128,
        blockysize=128,
    ) as raster:
        raster.write(classes, 1)
    return path, write_identity_model(folder / "identity4", 4)


def command(scene: tuple[Path, Path], output: Path, *options: str) -> list[str]:
    raster, model = scene
    return [
        sys.executable,
        "-m",
        "engine",
        "segment",
        str(raster),
        "--model",
        str(model),
        "--output",
        str(output),
        "--class-raster",
        str(output.with_suffix(".tif")),
        "--tile",
        "48",
        "--overlap",
        "20",
        "--device",
        "cpu",
        "--json",
        *options,
    ]


def features(path: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as connection:
        return connection.execute("SELECT * FROM classes ORDER BY fid").fetchall()


def strips_done(run_folder: Path) -> int:
    journal = run_folder / "journal.jsonl"
    return journal.read_text().count("{") if journal.exists() else 0


@pytest.mark.parametrize("strips", [1, 30])
def test_killed_run_resumes_to_the_same_bytes(
    scene: tuple[Path, Path], tmp_path: Path, strips: int
) -> None:
    whole = tmp_path / "whole" / "out.gpkg"
    torn = tmp_path / "torn" / "out.gpkg"
    whole.parent.mkdir()
    torn.parent.mkdir()
    subprocess.run(command(scene, whole), check=True, cwd=ROOT, capture_output=True)

    child = subprocess.Popen(
        command(scene, torn), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    run_folder = torn.parent / ".out.gpkg.run"
    deadline = time.monotonic() + 200
    while strips_done(run_folder) < strips and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    done = strips_done(run_folder)
    assert strips <= done < 90, "the run was not killed in its middle"
    assert not torn.exists()
    assert not torn.with_suffix(".tif").exists()

    resumed = subprocess.run(
        command(scene, torn, "--resume"), check=True, cwd=ROOT, capture_output=True, text=True
    )
    assert "continuing an interrupted run" in resumed.stderr
    assert not run_folder.exists()
    digests = [sha256(p.with_suffix(".tif").read_bytes()).hexdigest() for p in (whole, torn)]
    assert digests[0] == digests[1]
    assert features(whole) == features(torn)
    assert json.loads(resumed.stdout)["counts"]["features"] == len(features(whole))


def test_resume_of_a_finished_run_does_nothing(scene: tuple[Path, Path], tmp_path: Path) -> None:
    output = tmp_path / "out.gpkg"
    subprocess.run(command(scene, output), check=True, cwd=ROOT, capture_output=True)
    before = output.stat().st_mtime_ns
    again = subprocess.run(
        command(scene, output, "--resume"), check=True, cwd=ROOT, capture_output=True, text=True
    )
    assert output.stat().st_mtime_ns == before
    assert json.loads(again.stdout)["counts"]["features"] == len(features(output))
