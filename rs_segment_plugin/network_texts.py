"""What people are told of a network before they train it: what it is good at, and what it costs.

The texts come from the engine's table of families, the figures from
``resources/network_costs.json``, which ``make bench-networks`` writes.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Dict, List

from .engine_api import NetworkInfo, list_networks, resource
from .messages import tr

COSTS = "network_costs.json"


@lru_cache(maxsize=1)
def _costs() -> Dict[str, Dict[str, Any]]:
    """Return the record of each network's cost; empty without a readable file."""
    try:
        record = json.loads(resource(COSTS).read_text(encoding="utf-8"))
        return dict(record["networks"])
    except (OSError, ValueError, KeyError):
        return {}


def good_at_text(info: NetworkInfo) -> str:
    """Return a sentence on what a network is good at."""
    return tr("Good at {what}.").format(what=info.good_at)


def cost_text(info: NetworkInfo) -> str:
    """Return parameters and time of a network, an empty text if they were not measured."""
    cost = _costs().get(info.name)
    if not cost or "cpu" not in cost:
        return ""
    return tr(
        "{parameters} million parameters; {seconds} s per megapixel on one processor core, "
        "{ratio} times U-Net (ResNet-50)."
    ).format(
        parameters=f"{cost['parameters_m']:.1f}",
        seconds=f"{cost['cpu']['s_per_megapixel']:.2g}",
        ratio=f"{cost['cpu']['forward_ratio']:.2g}",
    )


def weight_text(info: NetworkInfo) -> str:
    """Return a sentence on the computer that a training wants."""
    texts = {
        "light": tr("Light: trains on any computer."),
        "medium": tr("Medium: a graphics card is better."),
        "heavy": tr("Heavy: wants a graphics card."),
    }
    return texts[info.weight]


def network_lines(task: str) -> List[str]:
    """Return a line for each family of a task: titles with names, what it is good at."""
    families: Dict[str, List[NetworkInfo]] = {}
    for info in list_networks(task):
        families.setdefault(info.family, []).append(info)
    return [
        "{names}. {good}".format(
            names="; ".join(f"{info.title}: {info.name}" for info in infos),
            good=good_at_text(infos[0]),
        )
        for infos in families.values()
    ]
