"""Trainings that torchrun starts: two processes on one machine, and one each on two machines."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from engine.protocol import Result

from .chips_for_tests import write_chips
from .jobs_for_tests import TINY, curve, fields, train

ROOT = Path(__file__).resolve().parents[3]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform == "win32", reason="gloo over torchrun on Linux and macOS"),
]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def torchrun(launch: list[str], folder: Path, output: Path, *more: str) -> subprocess.Popen[str]:
    """Start ``torchrun … -m engine train`` with the small job of these tests."""
    options = [word for option in TINY for word in ("--set", option)]
    job = ["--chips", str(folder / "chips"), "--output", str(output), "--network", "unet"]
    job += ["--preset", "quick", "--epochs", "2", "--batch", "2", "--workers", "0", "--device"]
    job += ["cpu", "--precision", "fp32", *options, *more]
    command = [sys.executable, "-m", "torch.distributed.run", *launch, "-m", "engine", "train"]
    return subprocess.Popen(
        [*command, *job],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_torchrun_trains_as_devices_2_does(tmp_path: Path) -> None:
    """One machine, then two: the weights are those of ``--devices 2`` to the bit."""
    write_chips(tmp_path / "chips", {"train": 8, "val": 3})
    ours = train(fields(tmp_path, output=str(tmp_path / "ours"), epochs=2, devices=2))
    assert isinstance(ours, Result), ours
    one = ["--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port", f"{free_port()}"]
    running = torchrun(one, tmp_path, tmp_path / "one", "--devices", "2", "--json")
    out, errors = running.communicate(timeout=400)
    assert running.returncode == 0, errors
    records = [json.loads(line) for line in out.splitlines()]
    assert [r["type"] for r in records] == ["result"], out
    assert records[0]["outputs"]["model"] == str(tmp_path / "one")
    made = records[0]["details"]["card"]["training"]
    assert (made["processes"], made["batch"]) == (2, 4)
    two = ["--nnodes", "2", "--nproc-per-node", "1", "--master-addr", "127.0.0.1"]
    two += ["--master-port", f"{free_port()}", "--node-rank"]
    nodes = [
        torchrun([*two, f"{rank}"], tmp_path, tmp_path / "two", "--nodes", "2") for rank in (0, 1)
    ]
    ended = [node.communicate(timeout=400) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], ended
    expected = load_file(tmp_path / "ours" / "weights.safetensors")
    for name in ("one", "two"):
        found = load_file(tmp_path / name / "weights.safetensors")
        assert all((found[key] == expected[key]).all() for key in expected), name
        assert curve(tmp_path / name / "curves.csv") == curve(tmp_path / "ours" / "curves.csv")
        assert not list(tmp_path.glob(".*"))


def test_another_number_of_processes_is_refused(tmp_path: Path) -> None:
    write_chips(tmp_path / "chips", {"train": 2, "val": 1})
    launch = ["--nproc-per-node", "1", "--master-addr", "127.0.0.1"]
    running = torchrun(
        [*launch, "--master-port", f"{free_port()}"], tmp_path, tmp_path / "model", "--devices", "2"
    )
    _, errors = running.communicate(timeout=200)
    assert running.returncode != 0
    assert "torchrun started 1 processes, the job asks for 2" in errors
    assert "--nproc-per-node" in errors
    assert not (tmp_path / "model").exists()
