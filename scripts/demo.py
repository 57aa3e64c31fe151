#!/usr/bin/env python3
"""Segment the shipped sample in headless QGIS, measure it and render the map.

Run by ``make demo`` in the engine's environment. The plugin goes into a profile of its own under
``build/``, so nothing of the user's QGIS is touched. Writes ``demo/buildings.gpkg`` and
``demo/buildings.png``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.features import rasterize

from engine.geo.raster import RasterReader
from engine.geo.vector import read_polygons

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "resources" / "samples" / "banepa.tif"
LABELS = ROOT / "resources" / "samples" / "banepa_buildings.gpkg"
MODEL = "buildings_mobilenetv2"
CONFIGURATION = ROOT / "build" / "demo-qgis"
PROFILE = CONFIGURATION / "profiles" / "default"
LAYER = ROOT / "demo" / "buildings.gpkg"
PICTURE = ROOT / "demo" / "buildings.png"
MIN_AREA_M2 = 6.0
SIMPLIFY_M = 0.3
QGIS_PYTHON = os.environ.get("QGIS_PYTHON", "/usr/bin/python3")
CREDITS = (
    "Imagery: OpenAerialMap, HOT, CC BY 4.0. Model: trained on labels by OpenStreetMap "
    "contributors (ODbL), on other ground than this."
)


class DemoError(Exception):
    """A step of the demo failed; the message is for people."""


def run(command: list[str], *, text: str = "") -> str:
    """Return what a command prints; DemoError with its last lines if it fails."""
    environment = {
        **os.environ,
        "QT_QPA_PLATFORM": "offscreen",
        "GDAL_PAM_ENABLED": "NO",  # no statistics file beside the sample
        "QGIS_CUSTOM_CONFIG_PATH": str(CONFIGURATION),
        "RS_SEGMENT_PYTHON": sys.executable,
    }
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise DemoError(f"{' '.join(command[:3])} ended with {done.returncode}:\n{last}")
    return done.stdout


def install_plugin() -> None:
    """Put the plugin into the demo's own QGIS profile and switch it on."""
    run(
        [sys.executable, str(ROOT / "scripts" / "install_plugin.py"), "--profile-dir", str(PROFILE)]
    )


def segment() -> dict[str, Any]:
    """Run ``rssegment:segment`` in qgis_process; returns its results by name."""
    LAYER.parent.mkdir(exist_ok=True)
    LAYER.unlink(missing_ok=True)
    inputs = {
        "RASTER": str(SAMPLE),
        "MODEL": MODEL,
        "MIN_AREA": MIN_AREA_M2,
        "SIMPLIFY": SIMPLIFY_M,
        "OUTPUT": str(LAYER),
    }
    command = ["qgis_process", "--json", "run", "rssegment:segment", "-"]
    answer = json.loads(run(command, text=json.dumps({"inputs": inputs})))
    results: dict[str, Any] = answer["results"]
    return results


def iou(predicted: Path, truth: Path, raster: Path) -> tuple[float, float, float]:
    """Return (IoU, precision, recall) of two polygon layers on the pixels of a raster."""
    with RasterReader(str(raster)) as reader:
        grid = reader.grid
    masks = []
    for path in (predicted, truth):
        polygons = read_polygons(str(path), crs_wkt=grid.crs_wkt)
        shape = (grid.height, grid.width)
        masks.append(rasterize(list(polygons), shape, transform=grid.transform).astype(bool))
    both = np.count_nonzero(masks[0] & masks[1])
    either = np.count_nonzero(masks[0] | masks[1])
    ratios = [both / max(np.count_nonzero(part), 1) for part in masks]
    return both / max(either, 1), ratios[0], ratios[1]


def render() -> None:
    """Render image, polygons and legend with QGIS."""
    script = str(ROOT / "scripts" / "render_map.py")
    layer = f"{LAYER}|layername=classes"
    texts = ["--title", f"Banepa, Nepal: buildings found by {MODEL}", "--credits", CREDITS]
    run([QGIS_PYTHON, script, str(SAMPLE), layer, str(PICTURE), "--name", "buildings", *texts])


def main() -> int:
    """Run the demo; returns the exit code."""
    try:
        install_plugin()
        start = time.monotonic()
        results = segment()
        seconds = time.monotonic() - start
        ratio, precision, recall = iou(LAYER, LABELS, SAMPLE)
        render()
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print(f"model     {MODEL}")
    print(f"sample    {SAMPLE.relative_to(ROOT)} (ground that training has not seen)")
    print(f"buildings {results['COUNT']}")
    print(f"seconds   {seconds:.1f} with the start of QGIS, {results['SECONDS']:.1f} in the engine")
    print(f"IoU       {ratio:.3f} (precision {precision:.3f}, recall {recall:.3f}) on pixels")
    print(f"layer     {LAYER.relative_to(ROOT)}")
    print(f"map       {PICTURE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
