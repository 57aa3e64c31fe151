"""Training step of this engine against a plain one, and the share of it spent waiting for data.

Prints the ratio of a step in float32, the usual layout and the optimiser's default to one in
bfloat16, channels-last and with the fused optimiser, as trainings run (goal on CPUs with bf16
hardware: 2), how far the two loss curves are apart, and the share of a step of U-Net on ResNet-50
that waits for chips (goal: under 5 %)::

    .venv/bin/python benchmarks/training.py [--steps 6] [--side 256] [--batch 4]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.data.chip_folder import ChipFolder
from engine.models import create_model
from engine.predict.backend import cpu_gains_from_bf16, set_cpu_threads
from engine.protocol import Result
from engine.runner import run_named
from engine.train.checkpoint import TrainingState
from engine.train.recipe import parse_options, resolve_recipe
from engine.train.setup import make_loaders, read_material

ROOT = Path(__file__).resolve().parents[1]
NETWORK = "unet_r50"
RATIO_GOAL, WAIT_GOAL = 2.0, 0.05


def make_chips(folder: Path, side_px: int) -> ChipFolder:
    """Cut chips of the shipped sample."""
    final = run_named(
        "chips",
        {
            "output": str(folder / "chips"),
            "rasters": [str(ROOT / "resources" / "samples" / "banepa.tif")],
            "labels": str(ROOT / "resources" / "samples" / "banepa_buildings.gpkg"),
            "class_name": "building",
            "tile_px": side_px,
        },
        lambda event: None,
        lambda: False,
    )
    if not isinstance(final, Result):
        raise SystemExit(str(final))
    return ChipFolder.open(folder / "chips")


def learn(batches: list[dict[str, Any]], *, fast: bool) -> tuple[list[float], list[float]]:
    """Train on fixed batches; return the losses and the CPU seconds of each step."""
    torch.manual_seed(0)
    network = create_model(NETWORK, num_classes=2).train()
    if fast:
        network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=fast)
    losses, seconds = [], []
    for batch in batches:
        begin = time.process_time()
        images: Tensor = batch["image"]
        if fast:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            outputs = network(images)
            loss = network.loss(outputs, batch["target"])["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds.append(time.process_time() - begin)
        losses.append(float(loss.detach()))
    return losses, seconds


def waiting(loader: Any, steps: int) -> float:
    """Return the share of the wall time of training steps that waits for the loader."""
    network = create_model(NETWORK, num_classes=2).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    bf16 = cpu_gains_from_bf16()
    batches, waits, whole = iter(loader), 0.0, 0.0
    for step in range(steps):
        begin = time.perf_counter()
        batch = next(batches)
        fetched = time.perf_counter()
        images = batch["image"].contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = network.loss(network(images), batch["target"])["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step:  # the first batch also starts the processes that read
            waits += fetched - begin
            whole += time.perf_counter() - begin
    return waits / whole


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    arguments = parser.parse_args()
    set_cpu_threads()
    with tempfile.TemporaryDirectory() as folder:
        chips = make_chips(Path(folder), arguments.side)
        material = read_material(chips, "semantic")
        recipe = resolve_recipe(
            NETWORK,
            "semantic",
            [("benchmark", parse_options([f"batch={arguments.batch}", "repeat=20"]))],
        )
        data = make_loaders(material, recipe, TrainingState(), 0, -1)
        loader = data.train_dataloader()
        batches = [batch for batch, _ in zip(loader, range(arguments.steps), strict=False)]
        report_ratio(batches)
        share = waiting(data.train_dataloader(), arguments.steps)
        workers = loader.num_workers
        print(
            f"waiting for data: {share:.1%} of a step with {workers} readers, goal {WAIT_GOAL:.0%}"
        )


def report_ratio(batches: list[dict[str, Any]]) -> None:
    """Print how much faster a step is and how far the losses are apart."""
    plain, plain_s = learn(batches, fast=False)
    fast, fast_s = learn(batches, fast=True)
    ratio = float(np.median(plain_s[1:]) / np.median(fast_s[1:]))
    apart = max(abs(a - b) / a for a, b in zip(plain, fast, strict=True))
    print(
        f"{NETWORK}, {tuple(batches[0]['image'].shape)}: "
        f"float32 {np.median(plain_s[1:]):.2f} s, bf16 channels-last fused "
        f"{np.median(fast_s[1:]):.2f} s of CPU time per step: {ratio:.2f} x, goal {RATIO_GOAL} x"
    )
    print(f"losses of {len(plain)} steps differ by at most {apart:.1%}")


if __name__ == "__main__":
    main()
