#!/usr/bin/env python3
"""Segment the shipped sample through QGIS and on the command line, and compare the features.

Run by ``make doors`` in the engine's environment. Both doors get the same job; their layers must
agree in every attribute and in every coordinate. Ends with 1 if they do not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyogrio

import demo

FOLDER = demo.ROOT / "build" / "doors"
OPTIONS = {"MIN_AREA": ("--min-area", 6.0), "SIMPLIFY": ("--simplify", 0.3)}


def through_qgis(output: Path) -> None:
    """Run ``rssegment:segment`` in qgis_process."""
    inputs: dict[str, Any] = {name: value for name, (_, value) in OPTIONS.items()}
    inputs |= {"RASTER": str(demo.SAMPLE), "MODEL": demo.MODEL, "OUTPUT": str(output)}
    command = ["qgis_process", "--json", "run", "rssegment:segment", "-"]
    demo.run(command, text=json.dumps({"inputs": inputs}))


def through_shell(output: Path) -> None:
    """Run ``python -m engine segment``."""
    command = [sys.executable, "-m", "engine", "segment", str(demo.SAMPLE), "--model", demo.MODEL]
    options = [str(part) for pair in OPTIONS.values() for part in pair]
    subprocess.run([*command, "--output", str(output), *options], check=True, cwd=demo.ROOT)


def rows(layer: Path) -> list[tuple[object, ...]]:
    """Return every feature as (geometry as WKB, attributes), in the layer's order."""
    _, _, geometry, fields = pyogrio.raw.read(layer, layer="classes")
    return list(zip(geometry, *fields, strict=True))


def main() -> int:
    """Compare the doors; returns the exit code."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    layers = {name: FOLDER / f"{name}.gpkg" for name in ("qgis", "shell")}
    for layer in layers.values():
        layer.unlink(missing_ok=True)
    demo.install_plugin()
    through_qgis(layers["qgis"])
    through_shell(layers["shell"])
    qgis, shell = rows(layers["qgis"]), rows(layers["shell"])
    equal = sum(one == other for one, other in zip(qgis, shell, strict=False))
    print(f"features: {len(qgis)} through QGIS, {len(shell)} from the shell, {equal} equal")
    return 0 if len(qgis) == len(shell) == equal > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
