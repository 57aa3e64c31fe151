"""Which runtime and precision is the fastest that agrees with float32: tried once, remembered."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import EngineError
from ..zoo.user_cache import user_cache
from .backend import cpu_name
from .runtimes.contract import Forward, Opening
from .runtimes.table import RUNTIMES, TORCH, open_network, runtime_version

logger = logging.getLogger(__name__)

PROBE_SECONDS = 0.5
"""Time of forward passes per way at least; two are made at least, after the comparison."""
LEAST_AGREEMENT = 0.999
"""Share of the pixels that must get the label that torch gives them in float32."""
WORTH_RATIO = 0.95
"""A way is preferred to one before it if it needs less than this share of its time."""

Way = tuple[str, str]
"""A runtime and a precision."""


@dataclass(frozen=True)
class Trial:
    """A network that is to be tried.

    Attributes:
        network: Called for the network, on ``device``, if there is no answer yet.
        tiles: Called for normalised tiles ``[N, C, H, W]`` of real ground.
        device: ``cpu`` or ``cuda:i``.
        tile_shape: Height, width and bands of a tile.
        key: Identifies weights and structure.
    """

    network: Callable[[], nn.Module]
    tiles: Callable[[], Tensor]
    device: str
    tile_shape: tuple[int, int, int]
    key: str


@dataclass(frozen=True)
class Probe:
    """What a trial found.

    Attributes:
        runtime: Name of the runtime to take.
        precision: The precision to take.
        tile_ms: Fastest forward pass of one tile by ``"runtime precision"``, in milliseconds.
        agreement: Share of the pixels with the label of float32, by the same names.
    """

    runtime: str
    precision: str
    tile_ms: dict[str, float] = field(default_factory=dict)
    agreement: dict[str, float] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What was found, in words."""
        parts = []
        for name, share in self.agreement.items():
            ms = f"{self.tile_ms[name]:.0f} ms per tile, " if name in self.tile_ms else ""
            parts.append(f"{name}: {ms}{share:.2%} of the labels of float32")
        return f"the model runs on {self.runtime} {self.precision} ({'; '.join(parts)})"


def fastest_way(ways: Sequence[Way], trial: Trial, *, any_agreement: bool) -> Probe:
    """Return the fastest runtime and precision for a network.

    The answer is kept in the user's cache folder and holds for this network, tile size,
    processor, number of threads and these versions.

    Args:
        ways: The candidates.
        trial: The network.
        any_agreement: Whether labels may differ from float32 at any number of pixels.
    """
    place = _place(ways, trial, any_agreement)
    with contextlib.suppress(KeyError, TypeError):
        return Probe(**_read()[place])
    found = _try_all(ways, trial, any_agreement)
    _remember(place, found)
    return found


def _try_all(ways: Sequence[Way], trial: Trial, any_agreement: bool) -> Probe:
    """Compare all ways with float32 and time those that agree."""
    network, tiles = trial.network(), trial.tiles().to(trial.device)
    key = f"{trial.key}-{type(network).__name__}"
    with torch.inference_mode():
        wanted = _one_by_one(network, tiles)
    agreeing: dict[str, Forward] = {}
    agreement: dict[str, float] = {}
    for runtime, precision in ways:
        opening = Opening(network, trial.device, precision, trial.tile_shape, key)
        name = f"{runtime} {precision}"
        try:
            forward = open_network(runtime, opening)
            with torch.inference_mode():
                found = _one_by_one(forward, tiles)
            agreement[name] = round(label_agreement(found, wanted), 6)
        except EngineError as error:
            logger.warning("%s is left out: %s", name, error.message)
            continue
        if any_agreement or agreement[name] >= LEAST_AGREEMENT:
            agreeing[name] = forward
    tile_ms = _fastest_ms(agreeing, tiles[:1])
    runtime, precision = decide(tile_ms).split(" ")
    return Probe(runtime, precision, tile_ms, agreement)


def _one_by_one(forward: Callable[[Tensor], Tensor], tiles: Tensor) -> Tensor:
    """Return the logits of some tiles, in the memory that one tile needs."""
    return torch.cat([forward(tile[None]).float() for tile in tiles])


def label_agreement(found: Tensor, wanted: Tensor) -> float:
    """Return the share of the pixels at which two logits ``[N, K, H, W]`` name one class.

    One logit means two classes: the front where it is above 0.
    """
    if found.shape[1] == 1:
        return float(((found > 0) == (wanted > 0)).float().mean())
    return float((found.max(1).indices == wanted.max(1).indices).float().mean())


def decide(tile_ms: dict[str, float]) -> str:
    """Return the fastest way; of ways that are about as fast the first one.

    Without any, it is torch in float32.
    """
    best = f"{TORCH} fp32"
    best_ms = float("inf")
    for name, ms in tile_ms.items():
        if ms < WORTH_RATIO * best_ms:
            best, best_ms = name, ms
    return best


def _fastest_ms(forwards: Mapping[str, Forward], tile: Tensor) -> dict[str, float]:
    """Return the least milliseconds of each; they take turns, so that other load hits all."""
    times: dict[str, list[float]] = {name: [] for name in forwards}
    with torch.inference_mode():
        while any(len(found) < 2 or sum(found) < PROBE_SECONDS for found in times.values()):
            for name, forward in forwards.items():
                begin = time.perf_counter()
                forward(tile).cpu()
                times[name].append(time.perf_counter() - begin)
    return {name: round(1e3 * min(found), 2) for name, found in times.items()}


def _place(ways: Sequence[Way], trial: Trial, any_agreement: bool) -> str:
    """Return a hash of all that an answer depends on."""
    versions = [(name, runtime_version(RUNTIMES[name])) for name in sorted({w[0] for w in ways})]
    machine = (_machine(trial.device), torch.get_num_threads())
    values = (tuple(ways), any_agreement, versions, machine, trial.tile_shape, trial.key)
    return sha256(repr(values).encode("utf-8")).hexdigest()[:24]


def _machine(device: str) -> str:
    return cpu_name() if device == "cpu" else torch.cuda.get_device_name(device)


def _file() -> Path:
    return user_cache() / "fastest_runtimes.json"


def _read() -> dict[str, Any]:
    try:
        found = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(place: str, probe: Probe) -> None:
    """Add an answer to those on the disk; a disk that cannot be written changes nothing."""
    record = {
        "runtime": probe.runtime,
        "precision": probe.precision,
        "tile_ms": probe.tile_ms,
        "agreement": probe.agreement,
    }
    partial = _file().with_name(f".{place}.partial")
    with contextlib.suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps({**_read(), place: record}, indent=1), encoding="utf-8")
        partial.replace(_file())
