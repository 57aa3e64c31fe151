"""Parameters, multiplications and time of the networks, relative to U-Net-R50.

Times are the fastest of some repetitions in this process, all networks in the same run; on one
CPU thread (the default) they are processor time, so that the ratios hold on a shared machine.
Bounds are checked as well: the foreground-aware loss of FarSeg costs at most 1.3 times plain
cross-entropy, the distance transform at most 5 % of a training step of Hi-ResNet, the second look
of C2FNet at most 40 % of the first where a tenth of the area holds small objects, in the network
alone and on a whole raster.

    python benchmarks/networks.py [--networks a,b|all] [--size-px N] [--rounds N] [--device cuda]
        [--work FILE] [--output FILE] [--pages docs/networks] [--costs resources/network_costs.json]

Semantic networks see two images of ``--size-px``, instance networks one image of ``--instance-px``.
``--work`` keeps what has been measured, so that an interrupted run continues:
ratios are always to the reference as timed by the process that timed the network. ``--costs``
takes the figures into the file that the plugin and the pages show, and ``--pages`` writes them
into the pages of all families and the table of their README. Ends with 1 if a bound is exceeded.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from _network_bounds import distance_seconds, fastest, look_ratio, loss_ratio, raster_look_ratio
from _network_costs import (
    COSTS,
    INDEX,
    REFERENCE,
    SAME,
    NetworkCost,
    Timing,
    overview_lines,
    put_between,
    read_costs,
    task_of,
    write_costs,
    write_pages,
)
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.models import create_model
from engine.models.c2fnet import C2FNet
from engine.zoo.networks import INSTANCE

SMALLER = (
    REFERENCE, "semantic_fpn_r50", "farseg_r50", "factseg_r50", "unetformer_r18",
    "fcn_hrnet_w18", "c2fnet_w18", "hi_resnet_small", "hi_resnet",
)  # fmt: skip
LARGER = ("hi_resnet_base", "fcn_hrnet_w48", "c2fnet_w48", "hrnet_w48", "ocrnet_w48")
GENERAL = (
    "unetplusplus_r50", "pspnet_r50", "deeplabv3_r50", "deeplabv3plus_r50", "upernet_r50",
    "fcn_r50", "segformer_b1", "unet", "fpn", "linknet", "manet", "pan", "dpt", "farseg",
    "fcn_hrnet", "ocrnet", "semantic_fpn", "unetplusplus", "pspnet", "deeplabv3",
    "deeplabv3plus", "upernet", "segformer", "fcn",
)  # fmt: skip
INSTANCES = (
    "facenet_r50", "facenet_r101", "solov2_r50", "solov2_r101", "solo_r50", "solo_r101",
    "mask_rcnn_r50", "mask_rcnn_r101", "mask_rcnn_hrfpn_w18", "mask_rcnn_hrfpn_w32",
    "mask_rcnn_hrfpn_w40", "mask_scoring_rcnn_r50", "mask_scoring_rcnn_r101",
    "cascade_mask_rcnn_r50", "cascade_mask_rcnn_r101", "point_rend_r50", "point_rend_r101",
    "htc_r50", "htc_r101", "hq_isnet_w18", "hq_isnet_w32", "hq_isnet_w40",
)  # fmt: skip
# Untrained heads without boxes are sure of nothing: their threshold has to let something through.
INSTANCE_OPTIONS: dict[str, dict[str, Any]] = {
    name: {"score_threshold": 0.005, "keep_threshold": 0.001}
    for name in INSTANCES
    if name.startswith(("facenet", "solo"))
}
CLASSES = 6
COUNT_SIDE_PX = 512
BOUND_LOSS, BOUND_DISTANCE, BOUND_LOOK = 1.3, 0.05, 0.40


@dataclass(frozen=True)
class Setting:
    """How networks are timed: number of images and their side, device, repetitions."""

    images: int
    size_px: int
    device: str
    rounds: int

    @property
    def key(self) -> str:
        """What must agree for a measurement to be of use in another run."""
        count = "" if self.images == 2 else f"{self.images} image(s) of "
        return f"{count}{self.size_px} px, {self.device}, {torch.get_num_threads()} thread(s)"


def build(name: str) -> nn.Module:
    """Return a network with random weights and its default options.

    Statistics of a network for single objects come from a batch of noise: as they are at first,
    they let the maps of a deep backbone grow past all numbers, and nothing is found.
    """
    torch.manual_seed(0)
    network = create_model(name, num_classes=CLASSES, **INSTANCE_OPTIONS.get(name, {}))
    if task_of(name) == INSTANCE:
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        before = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 1.0
        with torch.no_grad():
            network.train()(*objects(1, 256, "cpu"))
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
    return network


def objects(count: int, side: int, device: str) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Return images of noise, and eight squares as the truth of each."""
    images = [torch.randn(3, side, side, device=device) for _ in range(count)]
    corners = [(side * (i % 4) // 4 + 8, side * (i // 4) // 4 + 8) for i in range(8)]
    masks = torch.zeros(8, side, side, dtype=torch.uint8)
    for number, (col, row) in enumerate(corners):
        masks[number, row : row + side // 8, col : col + side // 8] = 1
    boxes = torch.tensor([(c, r, c + side // 8, r + side // 8) for c, r in corners])
    labels = torch.arange(8) % CLASSES + 1
    target = {"boxes": boxes.float(), "labels": labels, "masks": masks}
    return images, [{key: value.to(device) for key, value in target.items()}] * count


def deformable(image: Any, weight: Any, *_: Any, out_shape: Any, **__: Any) -> int:
    """Return the floating-point operations of a deformable convolution, those of a plain one."""
    columns = out_shape[0] * out_shape[2] * out_shape[3]
    return int(2 * columns * weight[0] * weight[1] * weight[2] * weight[3])


def count(name: str) -> tuple[float, float]:
    """Return parameters in millions and multiply-accumulates at 512 px in thousand millions."""
    custom = {torch.ops.torchvision.deform_conv2d: deformable}
    # Some builders read values, which meta tensors lack; single objects depend on values.
    for device in ("cpu",) if task_of(name) == INSTANCE else ("meta", "cpu"):
        try:
            with torch.device(device):
                network = build(name).eval()
                part = network.coarse if isinstance(network, C2FNet) else network
                counter = FlopCounterMode(display=False, custom_mapping=custom)
                image = torch.randn(3, COUNT_SIDE_PX, COUNT_SIDE_PX)
                with counter, torch.no_grad():
                    part([image] if task_of(name) == INSTANCE else image[None])
            break
        except (RuntimeError, NotImplementedError):
            if device == "cpu":
                raise
    parameters = sum(p.numel() for p in network.parameters()) / 1e6
    return parameters, counter.get_total_flops() / 2e9


def semantic_calls(network: nn.Module, setting: Setting) -> tuple[Callable, Callable]:
    """Return a forward pass and a training step, as functions to be timed."""
    size = setting.images, setting.size_px, setting.size_px
    images = torch.randn(size[0], 3, *size[1:], device=setting.device)
    target = torch.randint(0, CLASSES, size, device=setting.device)

    def step() -> None:
        network.zero_grad()
        network.loss(network(images), target)["loss"].backward()

    return lambda: network(images), step


def seconds(name: str, setting: Setting) -> tuple[float, float]:
    """Return the seconds of a forward pass and of a training step.

    The step of a network for single objects, which depends on what it proposes, is not timed: 0.
    """
    network = build(name).to(setting.device)
    if task_of(name) == INSTANCE:
        images, _ = objects(setting.images, setting.size_px, setting.device)
        forward, step = (lambda: network(images)), None
    else:
        forward, step = semantic_calls(network, setting)
    network.eval()
    with torch.inference_mode():
        forward_s = fastest(forward, setting.device, setting.rounds)
    network.train()
    return forward_s, fastest(step, setting.device, setting.rounds) if step else 0.0


@dataclass(frozen=True)
class Cost:
    """What a network costs; ratios are to the reference in the same process."""

    parameters_m: float
    gmacs: float
    forward_ratio: float
    step_ratio: float
    forward_s: float
    step_s: float


def kept(work: Path | None) -> dict[str, dict[str, Any]]:
    """Return what earlier runs have measured, by setting."""
    if work is None or not work.is_file():
        return {}
    found: dict[str, dict[str, Any]] = json.loads(work.read_text(encoding="utf-8"))
    return found


def keep(work: Path | None, known: dict[str, dict[str, Any]]) -> None:
    """Write what has been measured."""
    if work is not None:
        work.parent.mkdir(parents=True, exist_ok=True)
        work.write_text(json.dumps(known, indent=1), encoding="utf-8")


def measure(names: list[str], setting: Setting, work: Path | None) -> dict[str, Cost]:
    """Return the costs of networks; those that the work file has are not measured again."""
    known = kept(work)
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
        keep(work, known)
    return {name: Cost(**done[name]) for name in names}


def joined(
    known: dict[str, NetworkCost], costs: dict[str, Cost], setting: Setting
) -> dict[str, NetworkCost]:
    """Return known costs with measured ones in their places, rounded as they are shown."""
    merged = dict(known)
    megapixels = setting.images * setting.size_px**2 / 1e6
    for name, cost in costs.items():
        timing = Timing(
            s_per_megapixel=float(f"{cost.forward_s / megapixels:.3g}"),
            forward_ratio=round(cost.forward_ratio, 2),
            step_ratio=round(cost.step_ratio, 2) if cost.step_s else None,
            images=setting.images,
            side_px=setting.size_px,
        )
        before = known[name].timings if name in known else {}
        kind = setting.device.partition(":")[0]
        merged[name] = NetworkCost(
            round(cost.parameters_m, 6), round(cost.gmacs, 3), {**before, kind: timing}
        )
    merged.update({other: merged[name] for other, name in SAME.items() if name in merged})
    return merged


def table(costs: dict[str, Cost], setting: Setting) -> list[str]:
    """Return the lines of a table of measured costs."""
    kind = setting.device.partition(":")[0]
    shown = joined({}, costs, setting)
    images = {1: "One image", 2: "Two images"}[setting.images]
    lines = [
        f"{images} of {setting.size_px} px, {setting.device}, {torch.get_num_threads()} thread(s); "
        f"GMACs of one image of {COUNT_SIDE_PX} px; {CLASSES} classes."
        + (" C2FNet: GMACs of the first look." if any("c2fnet" in name for name in costs) else ""),
        "",
        *overview_lines(costs, shown, kind),
    ]
    if REFERENCE in costs:
        unit = costs[REFERENCE]
        lines += ["", f"1.00 is {unit.forward_s:.3f} s forward and {unit.step_s:.3f} s per step."]
    if any(not cost.step_s for cost in costs.values()):
        lines += ["", f"Ratios to `{REFERENCE}` on the same image; training steps were not timed."]
    return lines


def bounds(
    costs: dict[str, Cost], setting: Setting, work: Path | None
) -> list[tuple[str, float, float]]:
    """Return what is bounded: name, measured value, greatest allowed one."""
    known = kept(work)
    done = known.setdefault(f"bounds, {setting.key}", {})
    if not done:
        device = setting.device
        step = costs["hi_resnet"].step_s if "hi_resnet" in costs else None
        step = step or seconds("hi_resnet", setting)[1]
        done["foreground-aware loss / cross-entropy"] = loss_ratio(256, device)
        done["distance transform / Hi-ResNet step"] = (
            distance_seconds(setting.size_px, device) / step
        )
        done["second look / first look"] = look_ratio(device)
        done["second look / first look on a raster"] = raster_look_ratio(device)
        keep(work, known)
    limits = (BOUND_LOSS, BOUND_DISTANCE, BOUND_LOOK, BOUND_LOOK)
    return [(name, value, limit) for (name, value), limit in zip(done.items(), limits, strict=True)]


def parsed() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default=",".join(SMALLER), help="names, or: all")
    parser.add_argument("--size-px", type=int, default=128)
    parser.add_argument("--instance-px", type=int, default=512)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2, help="repetitions after one to warm up")
    parser.add_argument("--work", type=Path, help="file that keeps what has been measured")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--costs", type=Path, help=f"take the figures into this file: {COSTS.name}")
    parser.add_argument("--pages", type=Path, help="put the figures into the pages of this folder")
    return parser.parse_args()


def main() -> int:
    """Print the tables and the bounds; return the exit code."""
    options = parsed()
    torch.set_num_threads(options.threads)
    every = ",".join((*SMALLER, *LARGER, *GENERAL, *INSTANCES))
    names = (every if options.networks == "all" else options.networks).split(",")
    semantic = Setting(2, options.size_px, options.device, options.rounds)
    instance = Setting(1, options.instance_px, options.device, options.rounds)
    single = [name for name in names if task_of(name) == INSTANCE]
    costs = measure([name for name in names if name not in single], semantic, options.work)
    lines = table(costs, semantic)
    found = bounds(costs, semantic, options.work)
    lines += ["", "| bound | measured | at most |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {value:.3f} | {bound} |" for name, value, bound in found]
    merged = joined(read_costs(options.costs) if options.costs else {}, costs, semantic)
    if single:
        costs = measure(single, instance, options.work)
        lines += ["", *table(costs, instance)]
        merged = joined(merged, costs, instance)
    print("\n".join(lines))
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if options.costs:
        write_costs(merged, options.costs)
    if options.pages:
        mark = "costs" if options.device == "cpu" else "costs on a GPU"
        put_between(options.pages / INDEX, mark, lines)
        write_pages(merged, options.pages)
    return int(any(value > bound for _, value, bound in found))


if __name__ == "__main__":
    raise SystemExit(main())
