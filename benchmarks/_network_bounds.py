"""Ratios within the networks that have a bound: losses, distance transform, second look."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.merge.scores import LabelRule
from engine.models import create_model
from engine.models.blocks.distance import boundary_distance
from engine.models.c2fnet import C2FNet
from engine.models.farseg import ForegroundAwareLoss
from engine.predict.backend import Backend
from engine.predict.plan import TilePlan, plan_tiles
from engine.predict.second_look import first_look, look_twice
from engine.predict.semantic import SemanticPredictor
from engine.predict.strips import TileCounts, TileLoop
from engine.zoo.card import BandSpec


def fastest(work: Callable[[], object], device: str, repeats: int = 2) -> float:
    """Return the seconds of the fastest of some repetitions, after one to warm up.

    On one CPU thread this is the time that the processor worked, whoever else it works for.
    """
    alone = device == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    times = []
    for turn in range(repeats + 1):
        begin = clock()
        work()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        if turn:
            times.append(clock() - begin)
    return min(times)


def loss_ratio(size_px: int, device: str) -> float:
    """Return the time of the foreground-aware loss over that of cross-entropy, both ways."""
    logits = torch.randn(4, 16, size_px, size_px, device=device, requires_grad=True)
    target = torch.randint(0, 16, (4, size_px, size_px), device=device)
    criterion = ForegroundAwareLoss().to(device)
    criterion.step.fill_(5_000)
    ours, plain = [], []
    for _ in range(12):  # side by side, as the machine may slow down meanwhile
        ours.append(fastest(lambda: criterion(logits, target).backward(), device, 1))
        plain.append(
            fastest(lambda: functional.cross_entropy(logits, target).backward(), device, 1)
        )
    return min(ours) / min(plain)


def distance_seconds(size_px: int, device: str) -> float:
    """Return the time of the transforms of one step: truth and prediction of two outputs."""
    masks = torch.rand(2, 2, size_px, size_px, device=device) < 0.5

    def both() -> None:
        boundary_distance(masks)
        boundary_distance(masks)

    return fastest(both, device)


def look_ratio(device: str) -> float:
    """Return the time of the second look over the first, small objects in 10 % of the area."""
    network = create_model("c2fnet_w18", num_classes=16, small_classes=[1, 8, 9]).to(device).eval()
    images = torch.randn(1, 3, 640, 512, device=device)
    coarse = torch.zeros(1, 16, 640, 512, device=device)
    coarse[:, 0] = 5
    for row, col in ((10, 10), (300, 300)):  # in 2 of 20 windows
        coarse[:, 9, row : row + 20, col : col + 20] = 9
    parts: tuple[nn.Module, Tensor] = (network, images)
    with torch.inference_mode():
        first = fastest(lambda: parts[0].first_look(parts[1]), device)
        second = fastest(lambda: parts[0].second_look(parts[1], coarse), device)
    return second / first


class MarkedC2FNet(C2FNet):
    """A C2FNet whose first look costs what it costs, but finds what the first band marks."""

    def first_look(self, images: Tensor) -> Tensor:
        """Return logits of class 9 where the first band is above 0.5, of class 0 elsewhere."""
        logits = super().first_look(images) * 0
        logits[:, 0] += 5
        logits[:, 9] += 10 * (images[:, 0] > 0.5)
        return logits


def raster_look_ratio(device: str, side_px: int = 1024) -> float:
    """Return the time that a second look adds to a raster, 7 of 64 windows with small objects."""
    parts = [create_model("fcn_hrnet_w18", num_classes=k) for k in (16, 2)]
    network = MarkedC2FNet(*parts, num_classes=16, small_classes=[1, 8, 9], stage="fine")
    network = network.to(device).eval()
    pixels = np.zeros((3, side_px, side_px), np.float32)
    for window in range(0, 64, 10):
        row, col = 128 * (window // 8) + 40, 128 * (window % 8) + 40
        pixels[0, row : row + 20, col : col + 20] = 1
    backend = Backend(device, "fp32", 1)
    plan = plan_tiles(
        (side_px, side_px), tile_px=512, overlap_px=64, stride=32, column_bytes=1, halo_px=127
    )
    predictor = SemanticPredictor(first_look(network), backend)
    once = TileLoop(
        plan=plan,
        bands=tuple(BandSpec(name, 1.0, 0.0, 0.0, 1.0) for name in "rgb"),
        classes=16,
        rule=LabelRule(),
        predict=predictor,
        logits=predictor.gives_logits,
        batch=1,
        cancelled=lambda: False,
        on_tiles=lambda counts: None,
    )
    twice = look_twice(once, network, backend)
    first, both = (
        fastest(lambda loop=loop: run_loop(loop, plan, pixels), device, 1) for loop in (once, twice)
    )
    return both / first - 1


class Rows:
    """A raster in memory."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels

    def read_rows(self, row0: int, row1: int) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels and validity of some rows."""
        part = self.pixels[:, row0:row1]
        return part, np.ones(part.shape[1:], np.bool_)


def run_loop(loop: TileLoop, plan: TilePlan, pixels: np.ndarray) -> int:
    """Run a loop over a raster in one panel; return the number of strips."""
    return len(list(loop.run_panel(Rows(pixels), plan.panels[0], 0, TileCounts())))
