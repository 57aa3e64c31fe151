"""Training step of this engine against a plain one, and the share of it spent waiting for data.

Prints the ratio of a step in float32, the usual layout and the optimiser's default to one in
bfloat16, channels-last and with the fused optimiser, as trainings run (goal on CPUs with bf16
hardware: 2), and the share of a step of U-Net on ResNet-50 that waits for chips (goal: under 5 %).
Then the loss curves of a longer training of U-Net on ResNet-18 on the same crops in both ways
(goal: at most 5 % apart in the mean of the last third), and beside them that of float32 once more
in another layout, which says how far apart two equal trainings come by rounding alone::

    .venv/bin/python benchmarks/training.py [--steps 6] [--side 256] [--batch 4]
        [--curve-steps 120] [--picture docs/images/training_curves.png]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from engine.data.chip_folder import ChipFolder
from engine.models import create_model
from engine.predict.backend import cpu_gains_from_bf16, set_cpu_threads
from engine.protocol import Result
from engine.runner import run_named
from engine.train.checkpoint import TrainingState
from engine.train.recipe import parse_options, resolve_recipe
from engine.train.setup import make_loaders, read_material

matplotlib.use("Agg")

ROOT = Path(__file__).resolve().parents[1]
NETWORK = "unet_r50"
CURVE_NETWORK, CURVE_SIDE_PX = "unet", 96
CURVE_OPTIONS = {"encoder": "resnet18"}
RATIO_GOAL, WAIT_GOAL, APART_GOAL = 2.0, 0.05, 0.05
WINDOW_STEPS = 9


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


def learn(
    batches: list[dict[str, Any]],
    *,
    fast: bool,
    channels_last: bool = False,
    name: str = NETWORK,
    options: dict[str, Any] | None = None,
) -> tuple[list[float], list[float]]:
    """Train on fixed batches; return the losses and the CPU seconds of each step."""
    torch.manual_seed(0)
    network = create_model(name, num_classes=2, **(options or {})).train()
    channels_last = channels_last or fast
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=fast)
    losses, seconds = [], []
    for batch in batches:
        begin = time.process_time()
        images: Tensor = batch["image"]
        if channels_last:
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
    parser.add_argument("--curve-steps", type=int, default=120, help="0: no curves")
    parser.add_argument("--picture", type=Path, help="PNG of the curves")
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
        if arguments.curve_steps:
            found = zip(range(arguments.curve_steps), data.train_dataloader(), strict=False)
            report_curves([corner(batch) for _, batch in found], arguments.picture)


def report_ratio(batches: list[dict[str, Any]]) -> None:
    """Print how much faster a step is."""
    _, plain_s = learn(batches, fast=False)
    _, fast_s = learn(batches, fast=True)
    ratio = float(np.median(plain_s[1:]) / np.median(fast_s[1:]))
    print(
        f"{NETWORK}, {tuple(batches[0]['image'].shape)}: "
        f"float32 {np.median(plain_s[1:]):.2f} s, bf16 channels-last fused "
        f"{np.median(fast_s[1:]):.2f} s of CPU time per step: {ratio:.2f} x, goal {RATIO_GOAL} x"
    )


def corner(batch: dict[str, Any]) -> dict[str, Tensor]:
    """Return the upper left corners of a batch."""
    return {key: batch[key][..., :CURVE_SIDE_PX, :CURVE_SIDE_PX] for key in ("image", "target")}


def report_curves(batches: list[dict[str, Any]], picture: Path | None) -> None:
    """Print how far the ends of the loss curves are apart, and draw the curves."""
    given: dict[str, Any] = {"name": CURVE_NETWORK, "options": CURVE_OPTIONS}
    curves = {
        "float32": learn(batches, fast=False, **given)[0],
        "float32, channels-last": learn(batches, fast=False, channels_last=True, **given)[0],
        "bf16, channels-last, fused": learn(batches, fast=True, **given)[0],
    }
    plain, again, fast = (float(np.mean(c[-len(c) // 3 :])) for c in curves.values())
    print(
        f"loss curves of {len(batches)} steps: last third {fast:.4f} against {plain:.4f} "
        f"in float32, {abs(fast / plain - 1):.1%} apart, goal {APART_GOAL:.0%}; "
        f"two float32 trainings {abs(again / plain - 1):.1%}"
    )
    if picture:
        draw_curves(picture, curves)


def draw_curves(path: Path, curves: dict[str, list[float]]) -> None:
    """Write the running means of the losses over the steps."""
    figure = Figure(figsize=(7.0, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for label, losses in curves.items():
        means = np.convolve(losses, np.full(WINDOW_STEPS, 1 / WINDOW_STEPS), mode="valid")
        axes.plot(np.arange(len(means)) + WINDOW_STEPS, means, label=label, linewidth=1.2)
    axes.set(xlabel="steps", ylabel=f"loss, mean of {WINDOW_STEPS} steps", ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
