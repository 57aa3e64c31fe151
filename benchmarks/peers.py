"""Raster to class raster and polygons: this engine against other programs as they ship.

One raster (the shipped sample, mirrored to the wanted size), one network (U-Net on ResNet-18 of
segmentation_models_pytorch, trained here on the sample for a few steps), tiles of 512 pixels that
overlap by 64. Each side runs in a process of its own with the network loaded and warm; the clock
runs from the first window read to the last file closed. The peers are called as their own
documentation does, in scripts under ``benchmarks/peers``.

    python benchmarks/peers.py [--size N] [--rounds N] [--steps N]

Prints JSON; a peer that is not installed or fails is named with its reason. The engine runs twice:
``engine`` as it chooses by itself (99.9 % of the labels of float32), ``engine_bf16`` as asked for
bf16. Peers live in ``build/peers``: ``make bench-peers``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import rasterio
import shapely
import torch
from rasterio import features
from rasterio.transform import from_origin
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.models import create_model
from engine.predict.backend import cpu_gains_from_bf16, set_cpu_threads
from engine.zoo.card import (
    CARD_NAME,
    BandSpec,
    ClassInfo,
    ModelCard,
    Resolution,
    WeightsInfo,
)
from engine.zoo.registry import file_sha256

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS, PEERS_PYTHON = ROOT / "benchmarks" / "peers", ROOT / "build" / "peers" / "bin" / "python"
SAMPLES = ROOT / "resources" / "samples"
PEERS = ("torchgeo", "geoai", "samgeo", "rastervision")
NOT_COMPARED = {
    "sahi": "slices for detection only, no semantic result; see benchmarks/instances.py"
}
TILE_PX, OVERLAP_PX = 512, 64
CROP_PX, CROPS = 256, 4
LIMIT_S = 1200


def read_sample() -> tuple[np.ndarray, np.ndarray]:
    """Return the sample's pixels ``[3, H, W]`` and its buildings ``[H, W]``."""
    with rasterio.open(SAMPLES / "banepa.tif") as raster:
        pixels, transform, shape = raster.read(), raster.transform, raster.shape
    outlines = shapely.from_wkb(pyogrio.raw.read(SAMPLES / "banepa_buildings.gpkg")[2])
    return pixels, features.rasterize(outlines, shape, transform=transform, dtype="uint8")


def train(steps: int) -> dict[str, torch.Tensor]:
    """Return the weights of a network that has learnt a little of the sample's buildings."""
    pixels, truth = read_sample()
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    network = create_model("unet", encoder="resnet18", num_classes=2).train()
    network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, fused=True)
    for _ in range(steps):
        images, targets = [], []
        for _ in range(CROPS):
            row, col = (int(random.integers(0, n - CROP_PX)) for n in truth.shape)
            part = (slice(row, row + CROP_PX), slice(col, col + CROP_PX))
            images.append(pixels[(slice(None), *part)])
            targets.append(truth[part])
        batch = torch.from_numpy(np.stack(images)).float() / 255
        target = torch.from_numpy(np.stack(targets)).long()
        with torch.autocast("cpu", torch.bfloat16, enabled=cpu_gains_from_bf16()):
            loss = network.loss(network(batch), target)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.state_dict()


def write_scene(path: Path, size_px: int) -> None:
    """Write the sample, mirrored at its borders, as a tiled raster."""
    pixels, _ = read_sample()
    missing = [(0, max(0, size_px - n)) for n in pixels.shape[1:]]
    scene = np.pad(pixels, [(0, 0), *missing], mode="symmetric")[:, :size_px, :size_px]
    profile = {
        "driver": "GTiff", "width": size_px, "height": size_px, "count": 3, "dtype": "uint8",
        "crs": "EPSG:32645", "transform": from_origin(350_000, 3_060_000, 0.1, 0.1),
        "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as raster:
        raster.write(scene)
        raster.colorinterp = [rasterio.enums.ColorInterp(n) for n in (3, 4, 5)]


def write_model(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write the weights as a model folder of the engine and as a file for the peers."""
    folder.mkdir()
    weights = folder / "weights.safetensors"
    save_file({name: t.contiguous() for name, t in tensors.items()}, weights)
    card = ModelCard(
        id="peers_unet_r18",
        title="U-Net for a comparison",
        task="semantic",
        builder="unet",
        builder_args={"encoder": "resnet18"},
        classes=(
            ClassInfo(0, "background", "#bdbdbd", True),
            ClassInfo(1, "building", "#e31a1c", False),
        ),
        bands=tuple(
            BandSpec(name, 1 / 255, 0.0, 0.0, 1.0, (name,)) for name in ("red", "green", "blue")
        ),
        resolution_m=Resolution(0.01, 0.1, 10.0),
        tile_px=TILE_PX,
        overlap_px=OVERLAP_PX,
        stride=32,
        score_threshold=0.0,
        weights=WeightsInfo(weights.name, file_sha256(weights), weights.stat().st_size),
    )
    (folder / CARD_NAME).write_text(card.to_json(), encoding="utf-8")
    plain = {name.removeprefix("net."): t.contiguous() for name, t in tensors.items()}
    torch.save(plain, folder / "weights.pt")


def run_engine(folder: Path, precision: str) -> dict[str, Any]:
    """Return what the engine's side prints; it runs twice and the second run counts."""
    command = [sys.executable, str(SCRIPTS / "engine_scene.py"), str(folder), precision]
    return last_json(command, {"PYTHONPATH": str(ROOT), "RS_SEGMENT_BACKEND": "auto"})


def run_peer(name: str, folder: Path) -> dict[str, Any]:
    """Return what a peer's script prints, or why there is nothing."""
    if not PEERS_PYTHON.is_file():
        return {"failed": "not installed, see make bench-peers"}
    out = folder / name
    out.mkdir(exist_ok=True)
    for path in out.glob("*.*"):
        path.unlink()
    arguments = [folder / "scene.tif", folder / "model" / "weights.pt", out]
    command = [str(PEERS_PYTHON), str(SCRIPTS / f"{name}_scene.py"), *map(str, arguments)]
    return last_json(command, {"PYTHONPATH": str(SCRIPTS)})


def last_json(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """Run a command and return the JSON of its last line, or its last error."""
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1][:300]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=120)
    arguments = parser.parse_args()
    set_cpu_threads()
    runs: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scene(folder / "scene.tif", arguments.size)
        write_model(folder / "model", train(arguments.steps))
        for _ in range(arguments.rounds):
            for precision in ("auto", "bf16"):
                key = "engine" if precision == "auto" else "engine_bf16"
                runs.setdefault(key, []).append(run_engine(folder, precision))
            for peer in PEERS:
                runs.setdefault(peer, []).append(run_peer(peer, folder))
    print(json.dumps(report(runs, arguments.size), indent=1))


def report(runs: dict[str, list[dict[str, Any]]], size_px: int) -> dict[str, Any]:
    """Return seconds, ratios to the engine, and the reasons of those that failed."""
    sound = {name: [r for r in rs if "seconds" in r] for name, rs in runs.items()}
    best = {name: min(rs, key=lambda r: r["seconds"]) for name, rs in sound.items() if rs}
    ratios = {
        f"{peer}/{own}": round(best[peer]["seconds"] / best[own]["seconds"], 2)
        for peer in PEERS
        for own in ("engine", "engine_bf16")
        if peer in best and own in best
    }
    least = [
        min((r for key, r in ratios.items() if key.endswith(f"/{own}")), default=None)
        for own in ("engine", "engine_bf16")
    ]
    return {
        "size_px": size_px,
        "runs": best,
        "ratios": ratios,
        "least_ratio": least[0],
        "least_ratio_bf16": least[1],
        "failed": {name: rs[0]["failed"] for name, rs in runs.items() if "failed" in rs[0]},
        "not_compared": NOT_COMPARED,
    }


if __name__ == "__main__":
    main()
