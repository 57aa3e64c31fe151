"""Parameters, multiplications and time of the semantic networks, relative to U-Net-R50.

Times are the fastest of some repetitions in this process, all networks in the same run; on one
CPU thread (the default) they are processor time, so that the ratios hold on a shared machine.
Bounds are checked as well: the foreground-aware loss of FarSeg costs at most 1.3 times plain
cross-entropy, the distance transform at most 5 % of a training step of Hi-ResNet, the second look
of C2FNet at most 40 % of the first where a tenth of the area holds small objects, in the network
alone and on a whole raster.

    python benchmarks/networks.py [--networks a,b|all] [--size-px N] [--rounds N] [--device cuda]
        [--work FILE] [--output FILE] [--page docs/networks/README.md]

``--work`` keeps what has been measured, so that an interrupted run continues: ratios are always to
the reference as timed by the process that timed the network. Ends with 1 if a bound is exceeded.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.merge.scores import LabelRule
from engine.models import create_model
from engine.models.blocks.distance import boundary_distance
from engine.models.c2fnet import C2FNet
from engine.models.farseg import ForegroundAwareLoss
from engine.predict.backend import Backend
from engine.predict.plan import TilePlan, plan_tiles
from engine.predict.second_look import first_look, look_twice
from engine.predict.semantic import SemanticPredictor
from engine.predict.strips import TileCounts, TileLoop
from engine.zoo.card import BandSpec

REFERENCE = "unet_r50"
SMALLER = (
    REFERENCE, "semantic_fpn_r50", "farseg_r50", "factseg_r50", "unetformer_r18",
    "fcn_hrnet_w18", "c2fnet_w18", "hi_resnet_small", "hi_resnet",
)  # fmt: skip
LARGER = ("hi_resnet_base", "fcn_hrnet_w48", "c2fnet_w48", "hrnet_w48", "ocrnet_w48")
GENERAL = (
    "unetplusplus_r50", "pspnet_r50", "deeplabv3_r50", "deeplabv3plus_r50", "upernet_r50",
    "fcn_r50", "segformer_b1", "unet", "fpn", "linknet", "manet", "pan", "dpt", "farseg",
    "fcn_hrnet", "ocrnet",
)  # fmt: skip
CLASSES = 6
COUNT_SIDE_PX = 512
START, END = "<!-- costs: start -->", "<!-- costs: end -->"
BOUND_LOSS, BOUND_DISTANCE, BOUND_LOOK = 1.3, 0.05, 0.40


@dataclass(frozen=True)
class Setting:
    """How networks are timed: side of the two images, device, repetitions."""

    size_px: int
    device: str
    rounds: int

    @property
    def key(self) -> str:
        """What must agree for a measurement to be of use in another run."""
        return f"{self.size_px} px, {self.device}, {torch.get_num_threads()} thread(s)"


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
    for device in ("meta", "cpu"):  # some builders read values, which meta tensors lack
        try:
            with torch.device(device):
                network = create_model(name, num_classes=CLASSES).eval()
                part = network.coarse if isinstance(network, C2FNet) else network
                with FlopCounterMode(display=False) as counter, torch.no_grad():
                    part(torch.zeros(1, 3, COUNT_SIDE_PX, COUNT_SIDE_PX))
            break
        except (RuntimeError, NotImplementedError):
            if device == "cpu":
                raise
    parameters = sum(p.numel() for p in network.parameters()) / 1e6
    return parameters, counter.get_total_flops() / 2e9


def batch(size_px: int, device: str) -> tuple[Tensor, Tensor]:
    """Return two images and their labels."""
    images = torch.randn(2, 3, size_px, size_px, device=device)
    return images, torch.randint(0, CLASSES, (2, size_px, size_px), device=device)


def seconds(name: str, setting: Setting) -> tuple[float, float]:
    """Return the seconds of a forward pass and of a training step on two images."""
    torch.manual_seed(0)
    device = setting.device
    network = create_model(name, num_classes=CLASSES).to(device)
    images, target = batch(setting.size_px, device)

    def forward() -> None:
        with torch.inference_mode():
            network(images)

    def step() -> None:
        network.zero_grad()
        network.loss(network(images), target)["loss"].backward()

    network.eval()
    forward_s = fastest(forward, device, setting.rounds)
    network.train()
    step_s = fastest(step, device, setting.rounds)
    return forward_s, step_s


@dataclass(frozen=True)
class Cost:
    """What a network costs; ratios are to the reference in the same process."""

    parameters_m: float
    gmacs: float
    forward_ratio: float
    step_ratio: float
    forward_s: float
    step_s: float


def measure(names: list[str], setting: Setting, work: Path | None) -> dict[str, Cost]:
    """Return the costs of networks; those that the work file has are not measured again."""
    known: dict[str, dict[str, dict[str, float]]] = {}
    if work is not None and work.is_file():
        known = json.loads(work.read_text(encoding="utf-8"))
    done = known.setdefault(setting.key, {})
    reference: tuple[float, float] | None = None
    for name in names:
        if name in done:
            continue
        reference = reference or seconds(REFERENCE, setting)
        forward_s, step_s = reference if name == REFERENCE else seconds(name, setting)
        ratios = forward_s / reference[0], step_s / reference[1]
        done[name] = asdict(Cost(*count(name), *ratios, forward_s, step_s))
        print(f"{name}: {done[name]}", file=sys.stderr, flush=True)
        if work is not None:
            work.parent.mkdir(parents=True, exist_ok=True)
            work.write_text(json.dumps(known, indent=1), encoding="utf-8")
    return {name: Cost(**done[name]) for name in names}


def table(costs: dict[str, Cost], setting: Setting) -> list[str]:
    """Return the lines of the table."""
    lines = [
        f"Two images of {setting.key}; GMACs of one image of {COUNT_SIDE_PX} px; {CLASSES} "
        "classes. C2FNet: GMACs of the first look.",
        "",
        "| network | parameters (M) | GMACs | forward | training step | s per megapixel |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    megapixels = 2 * setting.size_px**2 / 1e6
    lines += [
        f"| `{name}` | {cost.parameters_m:.2f} | {cost.gmacs:.1f} | {cost.forward_ratio:.2f} "
        f"| {cost.step_ratio:.2f} | {cost.forward_s / megapixels:.3g} |"
        for name, cost in costs.items()
    ]
    if REFERENCE in costs:
        unit = costs[REFERENCE]
        lines += ["", f"1.00 is {unit.forward_s:.3f} s forward and {unit.step_s:.3f} s per step."]
    return lines


def loss_ratio(size_px: int, device: str) -> float:
    """Return the time of the foreground-aware loss over that of cross-entropy, both ways."""
    logits = torch.randn(4, 16, size_px, size_px, device=device, requires_grad=True)
    target = torch.randint(0, 16, (4, size_px, size_px), device=device)
    criterion = ForegroundAwareLoss().to(device)
    criterion.step.fill_(5_000)
    ours, plain = [], []
    for _ in range(12):  # side by side, as the machine may slow down meanwhile
        ours.append(fastest(lambda: criterion(logits, target).backward(), device, 1))
        plain.append(
            fastest(lambda: functional.cross_entropy(logits, target).backward(), device, 1)
        )
    return min(ours) / min(plain)


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


class MarkedC2FNet(C2FNet):
    """A C2FNet whose first look costs what it costs, but finds what the first band marks."""

    def first_look(self, images: Tensor) -> Tensor:
        """Return logits of class 9 where the first band is above 0.5, of class 0 elsewhere."""
        logits = super().first_look(images) * 0
        logits[:, 0] += 5
        logits[:, 9] += 10 * (images[:, 0] > 0.5)
        return logits


def raster_look_ratio(device: str, side_px: int = 1024) -> float:
    """Return the time that a second look adds to a raster, 7 of 64 windows with small objects."""
    parts = [create_model("fcn_hrnet_w18", num_classes=k) for k in (16, 2)]
    network = MarkedC2FNet(*parts, num_classes=16, small_classes=[1, 8, 9], stage="fine")
    network = network.to(device).eval()
    pixels = np.zeros((3, side_px, side_px), np.float32)
    for window in range(0, 64, 10):
        row, col = 128 * (window // 8) + 40, 128 * (window % 8) + 40
        pixels[0, row : row + 20, col : col + 20] = 1
    backend = Backend(device, "fp32", 1)
    plan = plan_tiles(
        (side_px, side_px), tile_px=512, overlap_px=64, stride=32, column_bytes=1, halo_px=127
    )
    predictor = SemanticPredictor(first_look(network), backend)
    once = TileLoop(
        plan=plan,
        bands=tuple(BandSpec(name, 1.0, 0.0, 0.0, 1.0) for name in "rgb"),
        classes=16,
        rule=LabelRule(),
        predict=predictor,
        logits=predictor.gives_logits,
        batch=1,
        cancelled=lambda: False,
        on_tiles=lambda counts: None,
    )
    twice = look_twice(once, network, backend)
    first, both = (
        fastest(lambda loop=loop: run_loop(loop, plan, pixels), device, 1) for loop in (once, twice)
    )
    return both / first - 1


class Rows:
    """A raster in memory."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels

    def read_rows(self, row0: int, row1: int) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels and validity of some rows."""
        part = self.pixels[:, row0:row1]
        return part, np.ones(part.shape[1:], np.bool_)


def run_loop(loop: TileLoop, plan: TilePlan, pixels: np.ndarray) -> int:
    """Run a loop over a raster in one panel; return the number of strips."""
    return len(list(loop.run_panel(Rows(pixels), plan.panels[0], 0, TileCounts())))


def write_page(page: Path, text: str) -> None:
    """Put the table between the two marks of a page."""
    before, rest = page.read_text(encoding="utf-8").split(START, 1)
    page.write_text(f"{before}{START}\n{text}{END}{rest.split(END, 1)[1]}", encoding="utf-8")


def main() -> int:
    """Print the table and the bounds; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default=",".join(SMALLER), help="names, or: all")
    parser.add_argument("--size-px", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2, help="repetitions after one to warm up")
    parser.add_argument("--work", type=Path, help="file that keeps what has been measured")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--page", type=Path, help="put the table into this page")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    every = ",".join((*SMALLER, *LARGER, *GENERAL))
    names = (every if options.networks == "all" else options.networks).split(",")
    setting = Setting(options.size_px, options.device, options.rounds)
    costs = measure(names, setting, options.work)
    lines = table(costs, setting)
    step = costs["hi_resnet"].step_s if "hi_resnet" in costs else seconds("hi_resnet", setting)[1]
    bounds = [
        ("foreground-aware loss / cross-entropy", loss_ratio(256, options.device), BOUND_LOSS),
        (
            "distance transform / Hi-ResNet step",
            distance_seconds(options.size_px, options.device) / step,
            BOUND_DISTANCE,
        ),
        ("second look / first look", look_ratio(options.device), BOUND_LOOK),
        (
            "second look / first look on a raster",
            raster_look_ratio(options.device),
            BOUND_LOOK,
        ),
    ]
    lines += ["", "| bound | measured | at most |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {value:.3f} | {bound} |" for name, value, bound in bounds]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    if options.page:
        write_page(options.page, text)
    return int(any(value > bound for _, value, bound in bounds))


if __name__ == "__main__":
    raise SystemExit(main())
