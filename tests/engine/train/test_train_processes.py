"""Trainings in processes of their own: killed, out of disk, and two at once."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from engine.errors import ModelError
from engine.protocol import Result
from engine.train.checkpoint import BEST_NAME, LAST_NAME, read_state

from .chips_for_tests import write_chips
from .jobs_for_tests import curve, fields, train

ROOT = Path(__file__).resolve().parents[3]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
OUT_OF_DISK = """
import json, resource, sys
from engine.runner import run_named
from engine.protocol import encode_event
from engine.train import keeper

save = keeper.Keeper.save
def save_and_fill(self):
    save(self)
    if self.state.step == 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
keeper.Keeper.save = save_and_fill
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
print(encode_event(run_named("train", json.loads(sys.argv[1]), lambda e: None, lambda: False)))
"""


def process(arguments: list[str], **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def steps_done(checkpoint: Path) -> int:
    try:
        return read_state(checkpoint).step
    except ModelError:
        return 0


def test_killed_in_mid_epoch_and_resumed_gives_the_same_curve(tmp_path: Path) -> None:
    write_chips(tmp_path / "chips", {"train": 10, "val": 1})
    whole = train(fields(tmp_path, output=str(tmp_path / "whole"), epochs=4))
    assert isinstance(whole, Result), whole
    script = (
        "import json, sys; from engine.runner import run_named; "
        "run_named('train', json.loads(sys.argv[1]), lambda e: None, lambda: False)"
    )
    record = fields(tmp_path, epochs=4)
    checkpoint = tmp_path / "model.training" / LAST_NAME
    running = process(["-c", script, json.dumps(record)])
    try:
        while steps_done(checkpoint) < 7:
            assert running.poll() is None, running.communicate()
            time.sleep(0.02)
    finally:
        running.send_signal(signal.SIGKILL)
        running.communicate()
    state = read_state(checkpoint)
    assert 7 <= state.step < 20
    assert state.batch % 5 == state.step % 5
    again = train({**record, "resume": True})
    assert isinstance(again, Result), again
    assert curve(tmp_path / "model" / "curves.csv") == curve(tmp_path / "whole" / "curves.csv")
    first = load_file(tmp_path / "whole" / "weights.safetensors")
    second = load_file(tmp_path / "model" / "weights.safetensors")
    assert all((first[name] == second[name]).all() for name in first)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_keeps_what_was_trained(tmp_path: Path) -> None:
    write_chips(tmp_path / "chips", {"train": 6, "val": 1})
    record = fields(tmp_path, epochs=2)
    out, errors = process(["-c", OUT_OF_DISK, json.dumps(record)]).communicate(timeout=200)
    event = json.loads(out.strip().splitlines()[-1])
    assert (event["type"], event["code"]) == ("failure", "disk"), (event, errors)
    assert "resume" in event["hint"] or "space" in event["hint"]
    assert read_state(tmp_path / "model.training" / LAST_NAME).step == 2
    final = train({**record, "resume": True})
    assert isinstance(final, Result), final
    assert final.counts["steps"] == 6


def test_two_processes_equal_one_with_twice_the_batch(tmp_path: Path) -> None:
    """Same chips in each step, statistics of normalisations over both: the same training.

    The first loss agrees to 1e-5. Then float32 and the small maps of the test let rounding
    grow; in double precision the gradients agree to 1e-9, see the test below.
    """
    write_chips(tmp_path / "chips", {"train": 8, "val": 3})
    # No ground outside the chips: each process's mean is over the same number of pixels.
    plain = (
        "options.dice_weight=0.0",
        "optimizer.name=sgd",
        "optimizer.lr=0.005",
        "augment.scale_min=1.0",
    )
    common = {"epochs": 2, "options": (*fields(tmp_path)["options"], *plain)}
    one = train(fields(tmp_path, output=str(tmp_path / "one"), batch=4, **common))
    two = train(fields(tmp_path, output=str(tmp_path / "two"), batch=2, devices=2, **common))
    assert isinstance(one, Result), one
    assert isinstance(two, Result), two
    rows = [curve(tmp_path / name / "curves.csv") for name in ("one", "two")]
    assert [r["step"] for r in rows[0]] == [r["step"] for r in rows[1]]
    losses = [[float(r["loss"]) for r in part] for part in rows]
    apart = max(abs(a - b) / a for a, b in zip(*losses, strict=True))
    weights = [load_file(tmp_path / f"{n}.training" / BEST_NAME) for n in ("one", "two")]
    largest = max(
        float((weights[0][n] - weights[1][n]).abs().max() / (weights[0][n].abs().max() + 1e-3))
        for n in weights[0]
    )
    logging.info("losses differ by %.2e, weights by %.2e", apart, largest)
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-5)
    assert apart < 5e-3
    assert largest < 2e-2
    assert "RANK" not in os.environ


def test_two_processes_validate_any_number_of_chips(tmp_path: Path) -> None:
    """Three chips are two batches for one process and one for the other."""
    write_chips(tmp_path / "chips", {"train": 4, "val": 3})
    final = train(fields(tmp_path, batch=1, devices=2, epochs=1))
    assert isinstance(final, Result), final
    assert final.details["best"]["value"] is not None


TWO_IN_DOUBLE = """
import copy, sys, torch
from torch import nn
from engine.train.synced_norm import sync_batch_norm
rank, store = int(sys.argv[1]), sys.argv[2]
torch.manual_seed(0)
layers = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU6(), nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4)]
whole = nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(4, 2, 1)).double()
part = copy.deepcopy(whole)
images, target = torch.randn(4, 3, 12, 15).double(), torch.randint(0, 2, (4, 8, 11))
nn.functional.cross_entropy(whole(images), target).backward()
torch.distributed.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=2)
both = nn.parallel.DistributedDataParallel(sync_batch_norm(part))
own = slice(2 * rank, 2 * rank + 2)
nn.functional.cross_entropy(both(images[own]), target[own]).backward()
pairs = zip(whole.parameters(), part.parameters(), strict=True)
print(max(float((a.grad - b.grad).abs().max()) for a, b in pairs))
buffers = zip(whole.buffers(), part.buffers(), strict=True)
print(max(float((a - b).abs().max()) for a, b in buffers))
torch.distributed.barrier()
torch.distributed.destroy_process_group()
"""


def test_gradients_of_two_processes_are_those_of_one(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    running = [process(["-c", TWO_IN_DOUBLE, str(rank), store]) for rank in range(2)]
    for one in running:
        out, errors = one.communicate(timeout=600)
        gradients, statistics = (float(line) for line in out.split())
        assert gradients < 1e-9, errors
        assert statistics < 1e-9
