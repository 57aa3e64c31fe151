"""Parameters, multiplications and time of the semantic networks, relative to U-Net-R50.

Times are the fastest of some repetitions in this process, all networks in the same run; on one
CPU thread (the default) they are processor time, so that the ratios hold on a shared machine.
Three bounds are checked as well: the foreground-aware loss of FarSeg costs at most 1.3 times
plain cross-entropy, the distance transform at most 5 % of a training step of Hi-ResNet, the
second look of C2FNet at most 40 % of the first where a tenth of the area holds small objects.

    python benchmarks/networks.py [--networks a,b|all] [--size-px N] [--device cuda] [--output FILE]

Ends with 1 if a bound is exceeded.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.models import create_model
from engine.models.blocks.distance import boundary_distance
from engine.models.c2fnet import C2FNet
from engine.models.farseg import ForegroundAwareLoss

REFERENCE = "unet_r50"
SMALLER = (
    REFERENCE, "semantic_fpn_r50", "farseg_r50", "factseg_r50", "unetformer_r18",
    "fcn_hrnet_w18", "c2fnet_w18", "hi_resnet",
)  # fmt: skip
LARGER = ("hi_resnet_base", "fcn_hrnet_w48", "hrnet_w48", "ocrnet_w48")
CLASSES = 6
COUNT_SIDE_PX = 512
BOUND_LOSS, BOUND_DISTANCE, BOUND_LOOK = 1.3, 0.05, 0.40


def fastest(work: Callable[[], object], device: str, repeats: int = 2) -> float:
    """Return the seconds of the fastest of some repetitions, after one to warm up.

    On one CPU thread this is the time that the processor worked, whoever else it works for.
    """
    alone = device == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    times = []
    for turn in range(repeats + 1):
        begin = clock()
        work()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        if turn:
            times.append(clock() - begin)
    return min(times)


def count(name: str) -> tuple[float, float]:
    """Return parameters in millions and multiply-accumulates at 512 px in thousand millions."""
    with torch.device("meta"):
        network = create_model(name, num_classes=CLASSES).eval()
        parameters = sum(p.numel() for p in network.parameters()) / 1e6
        part = network.coarse if isinstance(network, C2FNet) else network
        with FlopCounterMode(display=False) as counter:
            part(torch.empty(1, 3, COUNT_SIDE_PX, COUNT_SIDE_PX))
    return parameters, counter.get_total_flops() / 2e9


def batch(size_px: int, device: str) -> tuple[Tensor, Tensor]:
    """Return two images and their labels."""
    images = torch.randn(2, 3, size_px, size_px, device=device)
    return images, torch.randint(0, CLASSES, (2, size_px, size_px), device=device)


def seconds(name: str, size_px: int, device: str) -> tuple[float, float]:
    """Return the seconds of a forward pass and of a training step on two images."""
    torch.manual_seed(0)
    network = create_model(name, num_classes=CLASSES).to(device)
    images, target = batch(size_px, device)

    def forward() -> None:
        with torch.inference_mode():
            network(images)

    def step() -> None:
        network.zero_grad()
        network.loss(network(images), target)["loss"].backward()

    network.eval()
    forward_s = fastest(forward, device)
    network.train()
    step_s = fastest(step, device)
    return forward_s, step_s


def table(names: list[str], size_px: int, device: str) -> tuple[list[str], dict[str, float]]:
    """Return the lines of the table and the seconds of each network's training step."""
    lines = [
        f"Two images of {size_px} px, {device}, {torch.get_num_threads()} thread(s); "
        f"GMACs of one image of {COUNT_SIDE_PX} px; {CLASSES} classes. C2FNet: GMACs of the "
        "first look.",
        "",
        "| network | parameters (M) | GMACs | forward | training step |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    steps: dict[str, float] = {}
    reference = seconds(REFERENCE, size_px, device)
    for name in names:
        measured = reference if name == REFERENCE else seconds(name, size_px, device)
        steps[name] = measured[1]
        parameters, macs = count(name)
        ratios = [m / r for m, r in zip(measured, reference, strict=True)]
        lines.append(
            f"| {name} | {parameters:.2f} | {macs:.1f} | {ratios[0]:.2f} | {ratios[1]:.2f} |"
        )
        print(lines[-1], file=sys.stderr, flush=True)
    lines += ["", f"1.00 is {reference[0]:.3f} s forward and {reference[1]:.3f} s per step."]
    return lines, steps


def loss_ratio(size_px: int, device: str) -> float:
    """Return the time of the foreground-aware loss over that of cross-entropy, both ways."""
    logits = torch.randn(4, 16, size_px, size_px, device=device, requires_grad=True)
    target = torch.randint(0, 16, (4, size_px, size_px), device=device)
    criterion = ForegroundAwareLoss().to(device)
    criterion.step.fill_(5_000)
    ratios = [
        fastest(lambda: criterion(logits, target).backward(), device)
        / fastest(lambda: functional.cross_entropy(logits, target).backward(), device)
        for _ in range(3)
    ]
    return sorted(ratios)[1]


def distance_seconds(size_px: int, device: str) -> float:
    """Return the time of the transforms of one step: truth and prediction of two outputs."""
    masks = torch.rand(2, 2, size_px, size_px, device=device) < 0.5

    def both() -> None:
        boundary_distance(masks)
        boundary_distance(masks)

    return fastest(both, device)


def look_ratio(device: str) -> float:
    """Return the time of the second look over the first, small objects in 10 % of the area."""
    network = create_model("c2fnet_w18", num_classes=16, small_classes=[1, 8, 9]).to(device).eval()
    images = torch.randn(1, 3, 640, 512, device=device)
    coarse = torch.zeros(1, 16, 640, 512, device=device)
    coarse[:, 0] = 5
    for row, col in ((10, 10), (300, 300)):  # in 2 of 20 windows
        coarse[:, 9, row : row + 20, col : col + 20] = 9
    parts: tuple[nn.Module, Tensor] = (network, images)
    with torch.inference_mode():
        first = fastest(lambda: parts[0].first_look(parts[1]), device)
        second = fastest(lambda: parts[0].second_look(parts[1], coarse), device)
    return second / first


def main() -> int:
    """Print the table and the bounds; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default=",".join(SMALLER), help="names, or: all")
    parser.add_argument("--size-px", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    every = ",".join((*SMALLER, *LARGER))
    names = (every if options.networks == "all" else options.networks).split(",")
    lines, steps = table(names, options.size_px, options.device)
    step = steps.get("hi_resnet") or seconds("hi_resnet", options.size_px, options.device)[1]
    bounds = [
        ("foreground-aware loss / cross-entropy", loss_ratio(256, options.device), BOUND_LOSS),
        (
            "distance transform / Hi-ResNet step",
            distance_seconds(options.size_px, options.device) / step,
            BOUND_DISTANCE,
        ),
        ("second look / first look", look_ratio(options.device), BOUND_LOOK),
    ]
    lines += ["", "| bound | measured | at most |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {value:.3f} | {bound} |" for name, value, bound in bounds]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    return int(any(value > bound for _, value, bound in bounds))


if __name__ == "__main__":
    raise SystemExit(main())
