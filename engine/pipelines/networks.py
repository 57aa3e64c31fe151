"""The networks that can be trained, with their recipes; needs no torch."""

from __future__ import annotations

from ..train.recipe import network_layers, recipe_source
from ..zoo.networks import NETWORKS


def list_networks() -> list[dict[str, object]]:
    """Return name, title, task, weight, paper and recipe of all networks, by task and name."""
    rows: list[dict[str, object]] = [
        {
            "name": network.name,
            "title": network.title,
            "task": network.task,
            "weight": network.weight,
            "paper": network.paper,
            "recipe_source": recipe_source(network.name),
            "recipe": _merged(network.name, network.task),
        }
        for network in NETWORKS
    ]
    return sorted(rows, key=lambda row: (str(row["task"]), str(row["name"])))


def _merged(name: str, task: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for layer in network_layers(name, task):
        for key, value in layer.items():
            earlier = found.get(key)
            both = isinstance(earlier, dict) and isinstance(value, dict)
            found[key] = {**earlier, **value} if both else value  # type: ignore[dict-item]
    return found
