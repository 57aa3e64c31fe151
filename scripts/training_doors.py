"""Two doors to the jobs of a training: the engine in this process, and Processing in QGIS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import demo
from engine.commands.progress import progress_view
from engine.protocol import Event, Log, Metrics, Progress, Result
from engine.runner import run_named

ALGORITHMS = {"chips": "makechips"}
PARAMETERS = {"rasters": "RASTER", "tile_px": "TILE"}
FOLDER_OF_MODEL = "MODEL_FOLDER"


class Door(Protocol):
    """Runs jobs by name."""

    def run(self, name: str, **fields: Any) -> Mapping[str, Any]:
        """Run a job and return what it names as its outputs."""


class ShellDoor:
    """The engine, with its events on stderr as on the command line."""

    def __init__(self) -> None:
        self.view = progress_view()

    def report(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, Progress):
            self.view.update(event)
        elif isinstance(event, Log):
            self.view.line(event.message)
        elif isinstance(event, Metrics) and event.series == "val":
            value = event.values.get("iou_mean", float("nan"))
            self.view.line(f"step {event.step}: validation IoU {value:.3f}")

    def run(self, name: str, **fields: Any) -> Mapping[str, Any]:
        """Run a job.

        Raises:
            demo.DemoError: If it did not end well.
        """
        final = run_named(name, fields, self.report, lambda: False)
        self.view.close()
        if not isinstance(final, Result):
            raise demo.DemoError(f"{name}: {final}")
        return {**final.details, **final.outputs}


class QgisDoor:
    """Algorithms of ``rssegment`` in ``qgis_process``, with the plugin in a profile of its own."""

    def __init__(self) -> None:
        demo.install_plugin()

    def run(self, name: str, **fields: Any) -> Mapping[str, Any]:
        """Run the algorithm of a job.

        Raises:
            demo.DemoError: If it did not end well.
        """
        algorithm = f"rssegment:{ALGORITHMS.get(name, name)}"
        command = ["qgis_process", "--json", "run", algorithm, "-"]
        answer = json.loads(demo.run(command, text=json.dumps({"inputs": inputs(name, fields)})))
        results: dict[str, Any] = answer["results"]
        return {key.lower(): value for key, value in results.items()}


def inputs(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of an algorithm for the fields of its job."""
    found: dict[str, Any] = {}
    for field, value in fields.items():
        if field == "overwrite":  # Processing replaces what it is told to write
            continue
        key = PARAMETERS.get(field, field.upper())
        if name == "segment" and field == "model":
            key = FOLDER_OF_MODEL
        if field == "options":
            value = "; ".join(value)
        elif field == "split" and isinstance(value, list):
            value = ",".join(map(str, value))
        found[key] = value
    return found
