"""What networks cost: one file of figures, and the tables that are made of it.

``resources/network_costs.json`` is the one source: ``networks.py`` writes it, the plugin shows its
figures beside a network, and the pages below ``docs/networks`` get theirs from it between marks.
Nothing but the standard library and the engine's table of networks is needed here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.zoo.families import FAMILIES
from engine.zoo.networks import INSTANCE, SEMANTIC, list_networks, network_info

ROOT = Path(__file__).resolve().parent.parent
COSTS = ROOT / "resources" / "network_costs.json"
PAGES = ROOT / "docs" / "networks"
INDEX = "README.md"
REFERENCE = "unet_r50"
NOT_MEASURED = "not measured"
# Names whose default options make the very network of another name.
SAME = {
    "c2fnet": "c2fnet_w18", "hq_isnet": "hq_isnet_w18", "facenet": "facenet_r50",
    "solov2": "solov2_r50", "solo": "solo_r50", "mask_rcnn": "mask_rcnn_r50",
    "mask_scoring_rcnn": "mask_scoring_rcnn_r50", "cascade_mask_rcnn": "cascade_mask_rcnn_r50",
    "point_rend": "point_rend_r50", "htc": "htc_r50",
}  # fmt: skip
GPU_COMMAND = '`make bench-networks BENCH="--device cuda"`'


@dataclass(frozen=True)
class Timing:
    """Times of a network on one kind of device.

    Attributes:
        s_per_megapixel: Seconds of a forward pass per million pixels.
        forward_ratio: Time of a forward pass over that of U-Net-R50 in the same process.
        step_ratio: The same of a training step; None if it was not timed.
        images: Images of a pass.
        side_px: Side of each.
    """

    s_per_megapixel: float
    forward_ratio: float
    step_ratio: float | None
    images: int
    side_px: int


@dataclass(frozen=True)
class NetworkCost:
    """What is known of a network: size, multiplications, times by kind of device (cpu, cuda)."""

    parameters_m: float
    gmacs: float
    timings: Mapping[str, Timing]


def read_costs(path: Path = COSTS) -> dict[str, NetworkCost]:
    """Return the costs by network; none if there is no file."""
    if not path.is_file():
        return {}
    record = json.loads(path.read_text(encoding="utf-8"))["networks"]
    return {
        name: NetworkCost(
            entry["parameters_m"],
            entry["gmacs"],
            {kind: Timing(**entry[kind]) for kind in ("cpu", "cuda") if kind in entry},
        )
        for name, entry in record.items()
    }


def write_costs(costs: Mapping[str, NetworkCost], path: Path = COSTS) -> None:
    """Write the costs in the order in which people see the networks."""
    networks = {}
    for info in list_networks():
        if info.name in costs:
            cost = costs[info.name]
            times = {kind: vars(timing) for kind, timing in cost.timings.items()}
            networks[info.name] = {
                **{"parameters_m": cost.parameters_m, "gmacs": cost.gmacs},
                **times,
            }
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"classes": 6, "gmacs_side_px": 512, "networks": networks}
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def gmacs_text(gmacs: float) -> str:
    """Return thousand millions of multiplications as the tables show them."""
    return f"{gmacs:.1f}"


def _cells(name: str, cost: NetworkCost) -> list[str]:
    """Return name, size, multiplications and seconds on CPU and GPU."""
    seconds = [
        f"{cost.timings[kind].s_per_megapixel:.3g}" if kind in cost.timings else NOT_MEASURED
        for kind in ("cpu", "cuda")
    ]
    return [f"`{name}`", f"{cost.parameters_m:.2f} M", gmacs_text(cost.gmacs), *seconds]


def page_lines(page: str, costs: Mapping[str, NetworkCost]) -> list[str]:
    """Return the lines of a page's table of costs, with a line on how they were measured."""
    named = [info for info in list_networks() if info.page == page]
    infos = [info for info in named if info.name in costs]
    task = SEMANTIC if any(info.task == SEMANTIC for info in infos) else INSTANCE
    lines = [
        "| network | parameters | GMACs (512 px) | s per megapixel, one CPU core | GPU "
        "| time of U-Net-R50 |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for info in infos:
        cost = costs[info.name]
        cpu = cost.timings.get("cpu")
        ratio = f"{cpu.forward_ratio:.2f}" if cpu else NOT_MEASURED
        lines.append(f"| {' | '.join([*_cells(info.name, cost), ratio])} |")
    how = "Six classes, default options"
    if task == INSTANCE:
        how += ", untrained and finding as many objects as it may"
    if any("cuda" not in costs[info.name].timings for info in infos):
        how += f"; for a GPU: {GPU_COMMAND}"
    missing = ", ".join(f"`{info.name}`" for info in named if info not in infos)
    if missing:
        how += f". {NOT_MEASURED.capitalize()}: {missing}"
    return [*lines, "", f"{how}. How it was measured: [costs]({INDEX}#cost)."]


def overview_lines(
    names: Iterable[str], costs: Mapping[str, NetworkCost], kind: str = "cpu"
) -> list[str]:
    """Return the lines of a table of many networks: ratios to U-Net-R50 and seconds."""
    lines = [
        "| network | parameters (M) | GMACs | forward | training step | s per megapixel |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in names:
        cost = costs[name]
        timing = cost.timings[kind]
        step = NOT_MEASURED if timing.step_ratio is None else f"{timing.step_ratio:.2f}"
        lines.append(
            f"| `{name}` | {cost.parameters_m:.2f} | {gmacs_text(cost.gmacs)} "
            f"| {timing.forward_ratio:.2f} | {step} "
            f"| {timing.s_per_megapixel:.3g} |"
        )
    return lines


def between(text: str, mark: str) -> str:
    """Return what stands between the two marks of a text.

    Raises:
        ValueError: If the text lacks them.
    """
    start, end = f"<!-- {mark}: start -->", f"<!-- {mark}: end -->"
    if start not in text or end not in text:
        raise ValueError(f"no marks {start!r} and {end!r}")
    return text.split(start, 1)[1].split(end, 1)[0].strip("\n")


def put_between(page: Path, mark: str, lines: Sequence[str]) -> None:
    """Put lines between the two marks of a page.

    Raises:
        ValueError: If the page lacks them.
    """
    text = page.read_text(encoding="utf-8")
    between(text, mark)
    start, end = f"<!-- {mark}: start -->", f"<!-- {mark}: end -->"
    before, rest = text.split(start, 1)
    body = "\n".join(lines)
    page.write_text(f"{before}{start}\n{body}\n{end}{rest.split(end, 1)[1]}", encoding="utf-8")


def family_lines() -> list[str]:
    """Return the lines of the index of families: page, names, what it is good at."""
    lines = ["| page | names | good at |", "| --- | --- | --- |"]
    for page in dict.fromkeys(family.page for family in FAMILIES):
        families = [family for family in FAMILIES if family.page == page]
        names = [f"`{info.name}`" for info in list_networks() if info.page == page]
        titles = ", ".join(family.title for family in families)
        lines.append(f"| [{titles}]({page}.md) | {', '.join(names)} | {families[0].good_at} |")
    return lines


def write_pages(costs: Mapping[str, NetworkCost], folder: Path = PAGES) -> None:
    """Put the index of families into the README, and each family's costs into its page."""
    put_between(folder / INDEX, "families", family_lines())
    for page in sorted({info.page for info in list_networks()}):
        put_between(folder / f"{page}.md", "cost", page_lines(page, costs))


def task_of(name: str) -> str:
    """Return the task of a network of the table."""
    info = network_info(name)
    return info.task if info else SEMANTIC
