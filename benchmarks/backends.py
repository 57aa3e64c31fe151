"""Backends on the CPU: speed against the machine's matrix products, labels against float32.

Times one tile of U-Net on ResNet-18 on every installed backend, in turns with plain matrix
products of the same precision; the fastest of the rounds counts. ``share_of_gemm`` is the
network's rate of arithmetic over that of the products: what is left to gain. ``eager`` is float32
in the usual layout, which is what programs on torch run that set nothing.

Then the shipped model labels the shipped sample on every backend; ``agreement`` is the share of
the pixels with the label that torch gives in float32. ``chosen`` is what the engine takes by
itself: the fastest one with at least 99.9 %.

    python benchmarks/backends.py [--side N] [--rounds N]

Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.geo.normalize import normalize
from engine.models import create_model
from engine.predict.backend import Backend, cpu_name, set_cpu_threads
from engine.predict.choice import Wish, choose_for_tiles
from engine.predict.probe import label_agreement
from engine.predict.runtimes.check import texture
from engine.predict.runtimes.contract import Opening
from engine.predict.runtimes.mixed import layer_costs
from engine.predict.runtimes.table import RUNTIMES, missing_packages, open_network
from engine.predict.semantic import warm_network
from engine.zoo.registry import find_model

ROOT = Path(__file__).resolve().parents[1]
SAMPLE, MODEL = ROOT / "resources" / "samples" / "banepa.tif", "buildings_mobilenetv2"
GEMM_SIDE = 2048
CLASSES = 5
SETTLE = 2


def installed_ways() -> list[tuple[str, str]]:
    """Return the backends that are there with their precisions."""
    return [
        (name, precision)
        for name, runtime in RUNTIMES.items()
        if not missing_packages(runtime)
        for precision in runtime.precisions
    ]


def gemm(dtype: torch.dtype) -> Callable[[], Any]:
    """Return a product of two square matrices."""
    left, right = (torch.randn(GEMM_SIDE, GEMM_SIDE).to(dtype) for _ in range(2))
    return lambda: left @ right


def fastest_ms(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the least milliseconds of each call; the calls take turns."""
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            call()  # fills the caches after the other calls
            for _ in range(SETTLE):
                begin = time.perf_counter()
                call()
                best[name] = min(best[name], 1e3 * (time.perf_counter() - begin))
    return best


def on_tile(forward: Callable[[Tensor], Tensor], tile: Tensor) -> Callable[[], Tensor]:
    """Return the forward pass of a tile as a call without arguments."""
    return lambda: forward(tile)


def speeds(side: int, rounds: int) -> dict[str, Any]:
    """Return times of a tile and shares of the machine's rate by backend."""
    torch.manual_seed(0)
    eager = create_model("unet", encoder="resnet18", num_classes=CLASSES).eval()
    torch.manual_seed(0)
    network: nn.Module = create_model("unet", encoder="resnet18", num_classes=CLASSES).eval()
    network = network.to(memory_format=torch.channels_last)
    shape = (side, side, 3)
    tile = texture(shape)
    calls: dict[str, Callable[[], Any]] = {
        "gemm fp32": gemm(torch.float32),
        "gemm bf16": gemm(torch.bfloat16),
        "eager fp32": on_tile(eager, tile.contiguous(memory_format=torch.contiguous_format)),
    }
    for name, precision in installed_ways():
        forward = open_network(name, Opening(network, "cpu", precision, shape))
        calls[f"{name} {precision}"] = on_tile(forward, tile)
    ms = fastest_ms(calls, rounds)
    flop = 2 * sum(layer_costs(network, Opening(network, "cpu", "fp32", shape)).values())
    rates = {p: 2 * GEMM_SIDE**3 / ms.pop(f"gemm {p}") for p in ("fp32", "bf16")}
    shares = {
        name: round(flop / t / rates["fp32" if name.endswith("fp32") else "bf16"], 3)
        for name, t in ms.items()
    }
    bf16 = [name for name in shares if not name.endswith("fp32")]
    return {
        "gflop_per_tile": round(flop / 1e9, 1),
        "gemm_gflop_s": {p: round(rate / 1e6) for p, rate in rates.items()},
        "tile_ms": {name: round(t, 1) for name, t in ms.items()},
        "share_of_gemm": shares,
        "best_share_of_gemm": max(shares[name] for name in bf16 or shares),
        "eager_over_best": round(ms["eager fp32"] / min(ms.values()), 2),
    }


def sample_tiles(side: int, bands: Any) -> Tensor:
    """Return the whole tiles of the sample, normalised."""
    with rasterio.open(SAMPLE) as raster:
        pixels = raster.read()
    _, height, width = pixels.shape
    tiles = [
        normalize(np.ascontiguousarray(part), bands, np.ones((side, side), bool))
        for row in range(0, height - side + 1, side)
        for col in range(0, width - side + 1, side)
        for part in [pixels[:, row : row + side, col : col + side]]
    ]
    stacked = torch.from_numpy(np.stack(tiles))
    return stacked.contiguous(memory_format=torch.channels_last)


def agreements() -> dict[str, Any]:
    """Return the share of equal labels by backend, and what the engine chooses."""
    entry = find_model(MODEL)
    if entry.card is None:
        raise SystemExit(entry.problem)
    side = entry.card.tile_px
    tiles = sample_tiles(side, entry.card.bands)
    network = warm_network(entry, Backend("cpu", "fp32", 1))
    with torch.inference_mode():
        wanted = network(tiles).float()
        found = {}
        for name, precision in installed_ways():
            opening = Opening(network, "cpu", precision, (side, side, len(entry.card.bands)))
            share = label_agreement(open_network(name, opening)(tiles), wanted)
            found[f"{name} {precision}"] = round(share, 6)
    backend, _ = choose_for_tiles(Wish(device="cpu"), entry, (side, side), lambda: tiles[:2])
    chosen = f"{backend.runtime} {backend.precision}"
    return {"agreement": found, "chosen": chosen, "chosen_agreement": found[chosen]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    threads = set_cpu_threads()
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        with_own_cache(folder)
        found = {"cpu": cpu_name(), "threads": threads}
        found |= speeds(arguments.side, arguments.rounds)
        found |= agreements()
    print(json.dumps(found, indent=1))


def with_own_cache(folder: str) -> None:
    """Let this process try the backends anew, whatever earlier runs found."""
    os.environ["RS_SEGMENT_CACHE"] = folder
    os.environ.pop("RS_SEGMENT_BACKEND", None)


if __name__ == "__main__":
    main()
