"""Each paper's own ablation on real land cover, from scratch, in one command.

FarSeg with and without its relation and its loss; C2FNet's coarse network alone and with the
second look; Hi-ResNet's losses one by one. Each run is a pair of variant and seed: it trains,
is judged on held-out parts of the six Dubai tiles and becomes one line of the CSV file; runs
that the file has already are left out, an interrupted one continues from its checkpoint. All
variants of a paper see the same crops in the same order.

    python benchmarks/ablations.py --data FOLDER [--only farseg,c2fnet,hi_resnet] [--seeds 0,1]
        [--scale small|long|medium|paper] [--threads N] [--device cuda] [--page docs/ablations.md]
        [--pictures docs/images/networks]

FOLDER holds ``Tile_1``, ``Tile_3`` …; without ``--data`` it is ``dubai_landcover`` in the folder
that the variable RS_SEGMENT_DATA names. ``small`` and ``medium`` take narrow networks at a
quarter and half of the resolution, for a CPU, and ``long`` is ``small`` with about three times the
steps and larger windows of C2FNet; ``paper`` takes the papers' networks and crops of
512 pixels at full resolution, for a GPU. Ends with 1 if a network does not beat the majority
class clearly.
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _dubai import (
    CLASSES,
    SMALL_CLASSES,
    Batches,
    Data,
    majority,
    picture,
    predict,
    read_data,
    validate,
)
from safetensors.torch import load_file

from engine.models import create_model
from engine.models.blocks.edge_aware import HiResNetLoss
from engine.models.c2fnet import C2FNet
from engine.train.fit import Hardware
from engine.train.recipe import OptimizerRecipe, Recipe
from engine.train.schedule import ScheduleRecipe
from engine.train.step_training import StepTraining
from engine.train.tensor_file import write_tensors

logger = logging.getLogger("ablations")
ROOT = Path(__file__).resolve().parent.parent
CLEAR_MARGIN = 0.05
START, END = "<!-- ablations: start -->", "<!-- ablations: end -->"
SCORES = ("miou", "accuracy", *(f"iou_{name}" for name in CLASSES))
COLUMNS = ("scale", "paper", "variant", "seed", "steps", *SCORES, "cpu_seconds")


@dataclass(frozen=True)
class Scale:
    """How large everything is: crops, data, steps and the networks of the three papers."""

    name: str
    reduce: int
    crop_px: int
    batch: int
    steps: dict[str, int]
    networks: dict[str, tuple[str, dict[str, Any]]]


def _c2fnet(part: str | dict[str, str], **look: int) -> tuple[str, dict[str, Any]]:
    options = {"coarse": part, "fine": part, "small_classes": SMALL_CLASSES, "look": look}
    return "c2fnet", options


_NARROW = {
    "farseg": ("farseg", {"backbone": "resnet18", "width": 64}),
    "c2fnet": _c2fnet({"name": "fcn_hrnet"}, patch_px=32, stride_px=16, top_n=8),
    "hi_resnet": ("hi_resnet_small", {}),
}
SCALES = {
    "small": Scale(
        "small", 4, 128, 4, {"farseg": 200, "c2fnet": 600, "hi_resnet": 150}, _NARROW
    ),
    "long": Scale(
        "long", 4, 128, 4, {"farseg": 600, "c2fnet": 1500, "hi_resnet": 450},
        {**_NARROW, "c2fnet": _c2fnet({"name": "fcn_hrnet"}, patch_px=64, stride_px=16, top_n=8)},
    ),
    "medium": Scale(
        "medium", 2, 128, 8, {"farseg": 600, "c2fnet": 600, "hi_resnet": 600}, _NARROW
    ),
    "paper": Scale(
        "paper", 1, 512, 8, {"farseg": 6000, "c2fnet": 6000, "hi_resnet": 6000},
        {
            "farseg": ("farseg", {"backbone": "resnet50", "width": 256}),
            "c2fnet": _c2fnet("fcn_hrnet_w18"),
            "hi_resnet": ("hi_resnet", {}),
        },
    ),
}  # fmt: skip
RELATION = {"F-S": "scale_aware", "no F-S": "none"}
FARSEG = ("baseline", "+ F-S", "+ F-A", "+ F-S + F-A")
C2FNET = ("coarse", "coarse + fine")
LOSSES = {
    "CE": (("smoothed",), 0.0),
    "LSCE": (("smoothed",), 0.1),
    "GD": (("dice",), 0.1),
    "GD + LSCE": (("dice", "smoothed"), 0.1),
    "GD + LSCE + CEA": (("dice", "smoothed", "edges"), 0.1),
}
VARIANTS = {"farseg": FARSEG, "c2fnet": C2FNET, "hi_resnet": tuple(LOSSES)}
TITLES = {"farseg": "FarSeg", "c2fnet": "C2FNet", "hi_resnet": "Hi-ResNet"}


@dataclass(frozen=True)
class Bench:
    """What all runs share."""

    scale: Scale
    data: Data
    device: str
    work: Path
    table: Path
    rows: list[dict[str, str]] = field(default_factory=list)

    def has(self, paper: str, variant: str, seed: int) -> bool:
        """Return whether the table holds this run."""
        key = (self.scale.name, paper, variant, str(seed))
        return any((r["scale"], r["paper"], r["variant"], r["seed"]) == key for r in self.rows)

    def note(self, paper: str, variant: str, seed: int, network: nn.Module, began: float) -> None:
        """Judge a trained network, and add its line to the table."""
        scores = validate(network, self.data, self.device)
        row = {
            "scale": self.scale.name,
            "paper": paper,
            "variant": variant,
            "seed": str(seed),
            "steps": str(self.scale.steps[paper]),
            **{name: f"{scores[name]:.4f}" for name in SCORES},
            "cpu_seconds": f"{time.process_time() - began:.0f}",
        }
        self.rows.append(row)
        self.table.parent.mkdir(parents=True, exist_ok=True)
        fresh = not self.table.is_file()
        with self.table.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        logger.info("%s", row)


def train(bench: Bench, network: nn.Module, paper: str, folder: Path, seed: int) -> None:
    """Train with the engine's loop, or continue what is in the folder; leaves the average."""
    scale, steps = bench.scale, bench.scale.steps[paper]
    recipe = Recipe(
        network=scale.networks[paper][0],
        steps=steps,
        epochs=1,
        batch=scale.batch,
        crop_px=scale.crop_px,
        clip_norm=5.0,
        ema_decay=0.98,
        checkpoint_steps=max(1, min(100, steps // 4)),
        optimizer=OptimizerRecipe(lr=1e-3, weight_decay=0.02),
        schedule=ScheduleRecipe(warmup_steps=max(1, steps // 10)),
    )
    batches = Batches(bench.data, scale.crop_px, scale.batch, seed)
    hardware = Hardware("cuda" if bench.device.startswith("cuda") else "cpu", "bf16")
    training = StepTraining(network, batches, recipe, folder, hardware=hardware, seed=seed)
    network.load_state_dict(training.run())
    network.to(bench.device)


def _variant_network(bench: Bench, paper: str, variant: str, seed: int) -> nn.Module:
    """Build the network of a variant; the same seed gives the same first weights."""
    name, options = bench.scale.networks[paper]
    options = dict(options)
    if paper == "farseg":
        options["relation"] = RELATION["F-S" if "F-S" in variant else "no F-S"]
        options["foreground_aware"] = "F-A" in variant
        # The paper anneals over the first sixth of the training.
        options["focus"] = {"annealing_steps": max(1, bench.scale.steps[paper] // 6)}
    torch.manual_seed(seed)
    network = create_model(name, num_classes=len(CLASSES), **options)
    if paper == "hi_resnet":
        terms, smoothing = LOSSES[variant]
        network.criterion = HiResNetLoss(terms, smoothing=smoothing)
    return network.to(bench.device)


def run_variant(bench: Bench, paper: str, variant: str, seed: int) -> None:
    """Train and judge one variant of FarSeg or Hi-ResNet."""
    began = time.process_time()
    network = _variant_network(bench, paper, variant, seed)
    folder = _folder(bench, paper, variant, seed)
    train(bench, network, paper, folder, seed)
    _keep(network, folder)
    bench.note(paper, variant, seed, network, began)


def run_c2fnet(bench: Bench, seed: int) -> None:
    """Train the coarse network and judge it, freeze it, train the fine one and judge both."""
    began = time.process_time()
    network = _variant_network(bench, "c2fnet", "coarse", seed)
    if not isinstance(network, C2FNet):
        raise TypeError(f"{type(network).__name__} has no stages")
    for stage, variant in (("coarse", C2FNET[0]), ("fine", C2FNET[1])):
        folder = _folder(bench, "c2fnet", variant, seed)
        network.set_stage(stage)  # type: ignore[arg-type]
        # Other crops than in the first stage.
        train(bench, network, "c2fnet", folder, seed if stage == "coarse" else seed + 1000)
        if not bench.has("c2fnet", variant, seed):
            bench.note("c2fnet", variant, seed, network, began)
        _keep(network, folder)


def _folder(bench: Bench, paper: str, variant: str, seed: int) -> Path:
    words = variant.replace("+", "").split()
    return bench.work / f"{bench.scale.name}-{paper}-{'-'.join(words).lower()}-{seed}"


def _keep(network: nn.Module, folder: Path) -> None:
    """Keep the averaged weights for pictures."""
    write_tensors(folder / "weights.safetensors", dict(network.state_dict()), {})


def jobs(bench: Bench, papers: list[str], seeds: list[int]) -> Iterator[Callable[[], None]]:
    """Yield the runs that are missing, all papers with one seed before the next seed."""
    for seed in seeds:
        for paper in papers:
            missing = [v for v in VARIANTS[paper] if not bench.has(paper, v, seed)]
            if paper == "c2fnet" and missing:
                yield lambda seed=seed: run_c2fnet(bench, seed)
            elif paper != "c2fnet":
                for variant in missing:
                    yield lambda p=paper, v=variant, s=seed: run_variant(bench, p, v, s)


def page_lines(bench: Bench, base: dict[str, float]) -> list[str]:
    """Return the table of all runs of this scale: mean and half the range over the seeds."""
    names = " | ".join(CLASSES)
    lines = [
        f"| network | variant | seeds | mIoU | to the first | pixel accuracy | {names} |",
        "| --- | --- | ---: | ---: | ---: | ---: |" + " ---: |" * len(CLASSES),
        f"| | commonest class everywhere | | {100 * base['miou']:.1f} | "
        f"| {100 * base['accuracy']:.1f} | "
        + " | ".join(f"{100 * base[f'iou_{name}']:.1f}" for name in CLASSES)
        + " |",
    ]
    for paper, variants in VARIANTS.items():
        first = _by_seed(bench, paper, variants[0])
        for variant in variants:
            runs = _by_seed(bench, paper, variant)
            if runs:
                lines.append(_line(paper, variant, runs, first))
    return lines


def _by_seed(bench: Bench, paper: str, variant: str) -> dict[str, dict[str, str]]:
    wanted = (bench.scale.name, paper, variant)
    return {r["seed"]: r for r in bench.rows if (r["scale"], r["paper"], r["variant"]) == wanted}


def _line(
    paper: str, variant: str, runs: dict[str, dict[str, str]], first: dict[str, dict[str, str]]
) -> str:
    cells = {name: [100 * float(r[name]) for r in runs.values()] for name in SCORES}
    paired = [
        100 * (float(runs[seed]["miou"]) - float(first[seed]["miou"]))
        for seed in sorted(set(runs) & set(first))
    ]
    gain = "" if runs is first or not paired or runs == first else _spread(paired, sign="+")
    classes = " | ".join(f"{statistics.mean(cells[f'iou_{name}']):.1f}" for name in CLASSES)
    return (
        f"| {TITLES[paper]} | {variant} | {len(runs)} | {_spread(cells['miou'])} | {gain} "
        f"| {_spread(cells['accuracy'])} | {classes} |"
    )


def _spread(values: list[float], sign: str = "") -> str:
    half_range = (max(values) - min(values)) / 2
    return f"{statistics.mean(values):{sign}.1f} ± {half_range:.1f}"


def write_page(page: Path, lines: list[str], marks: tuple[str, str] = (START, END)) -> None:
    """Put a table between two marks of the page."""
    before, rest = page.read_text(encoding="utf-8").split(marks[0], 1)
    after = rest.split(marks[1], 1)[1]
    table = "\n".join((marks[0], *lines, marks[1]))
    page.write_text(f"{before}{table}{after}", encoding="utf-8")


def trained(bench: Bench, paper: str, variant: str, seed: int) -> nn.Module | None:
    """Return a network that an earlier call has trained, None if there is none."""
    weights = _folder(bench, paper, variant, seed) / "weights.safetensors"
    if not weights.is_file():
        return None
    network = _variant_network(bench, paper, variant, seed)
    network.load_state_dict(load_file(weights))
    if isinstance(network, C2FNet):
        network.set_stage("coarse" if variant == C2FNET[0] else "fine")
    return network.eval()


def write_pictures(bench: Bench, folder: Path, seed: int) -> None:
    """Draw image, truth, first and last variant of each paper on a held-out part of tile 8."""
    part = next(p for p in bench.data.validation if p.name.startswith("Tile_8"))
    folder.mkdir(parents=True, exist_ok=True)
    for paper, variants in VARIANTS.items():
        maps = [part.labels]
        for variant in (variants[0], variants[-1]):
            network = trained(bench, paper, variant, seed)
            if network is None:
                raise FileNotFoundError(f"{paper} {variant} of seed {seed} has not been trained")
            maps.append(predict(network, part, bench.data, bench.device))
        path = folder / f"{paper}.jpg"
        picture(part, maps, 300, 300).save(path, "JPEG", quality=85, optimize=True)


def _losers(bench: Bench, base: dict[str, float]) -> list[str]:
    """Return the runs that do not beat the majority class by a clear margin."""
    return [
        f"{r['paper']} {r['variant']} {r['seed']}"
        for r in bench.rows
        if r["scale"] == bench.scale.name and float(r["accuracy"]) < base["accuracy"] + CLEAR_MARGIN
    ]


def common_options(description: str | None) -> argparse.ArgumentParser:
    """Return the options of all programs about the ablations."""
    parser = argparse.ArgumentParser(description=description)
    given = os.environ.get("RS_SEGMENT_DATA", "")
    data = Path(given) / "dubai_landcover" if given else None
    parser.add_argument("--data", type=Path, default=data, required=data is None)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--scale", choices=sorted(SCALES), default="small")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "ablations")
    parser.add_argument("--page", type=Path, help="put the table into this page")
    return parser


def bench_of(options: argparse.Namespace, table: Path = Path()) -> Bench:
    """Return what all runs share; ``table`` is the file of the runs, empty for none."""
    scale, rows = SCALES[options.scale], []
    if table.is_file():
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    data = read_data(options.data, scale.reduce)
    return Bench(scale, data, options.device, options.work, table, rows)


def seeds_of(options: argparse.Namespace) -> list[int]:
    """Return the seeds that are asked for."""
    return [int(seed) for seed in options.seeds.split(",") if seed]


def main() -> int:
    """Run what is missing, print the table; return the exit code."""
    parser = common_options(__doc__)
    parser.add_argument("--only", default="farseg,c2fnet,hi_resnet")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table", type=Path, default=ROOT / "benchmarks" / "ablations.csv")
    parser.add_argument("--pictures", type=Path, help="draw predictions into this folder")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(options.threads)
    bench, seeds = bench_of(options, options.table), seeds_of(options)
    for job in jobs(bench, [paper for paper in options.only.split(",") if paper], seeds):
        job()
    base = majority(bench.data)
    lines = page_lines(bench, base)
    print("\n".join(lines))
    if options.page:
        write_page(options.page, lines)
    if options.pictures:
        write_pictures(bench, options.pictures, seeds[0] if seeds else 0)
    losers = _losers(bench, base)
    for name in losers:
        print(f"no clear gain over the commonest class: {name}", file=sys.stderr)
    return int(bool(losers))


if __name__ == "__main__":
    raise SystemExit(main())
