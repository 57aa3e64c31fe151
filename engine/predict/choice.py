"""What runs a model's tiles: what the job asks for, or the fastest that agrees with float32."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from ..errors import DeviceError, JobError
from ..zoo.card import ModelCard
from ..zoo.registry import ModelEntry
from .backend import Backend, choose_backend, gains_from_bf16, set_cpu_threads
from .batches import is_out_of_memory
from .probe import Trial, Way, fastest_way
from .runtimes.contract import Runtime
from .runtimes.table import RUNTIMES, TORCH, installed_runtime, missing_packages
from .second_look import card_look, first_look
from .semantic import model_key, warm_network

AUTO = "auto"
BACKEND_VARIABLE = "RS_SEGMENT_BACKEND"
"""Environment variable that says what ``auto`` means: ``openvino``, ``torch:fp32``."""
REDUCED = ("bf16", "mixed")
INSTANCE = "instance"


@dataclass(frozen=True)
class Wish:
    """What a job asks for.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
        precision: ``auto``, ``fp32``, ``mixed`` or ``bf16``.
        batch: Tiles per batch, 0 means automatic.
        runtime: ``auto`` or the name of a runtime.
    """

    device: str = AUTO
    precision: str = AUTO
    batch: int = 0
    runtime: str = AUTO

    def with_defaults(self) -> Wish:
        """Return the wish with what the environment says in place of ``auto``."""
        runtime, _, precision = os.environ.get(BACKEND_VARIABLE, "").partition(":")
        return replace(
            self,
            runtime=(runtime or AUTO) if self.runtime == AUTO else self.runtime,
            precision=(precision or AUTO) if self.precision == AUTO else self.precision,
        )


def choose_for_tiles(
    wish: Wish,
    entry: ModelEntry,
    input_px: tuple[int, int],
    tiles: Callable[[], Tensor] | None,
) -> tuple[Backend, str]:
    """Choose device, precision and runtime for a model.

    Where a semantic network can run in several ways, each is compared with float32 on some tiles
    and timed for half a second, once per model and machine. Without tiles, and for C2FNet with
    its two networks, the choice is torch in mixed precision where hardware has bf16. Instance
    networks run in float32 unless the job asks for bf16: corners of boxes in a tile of 1000 px
    would be off by several pixels.

    Args:
        wish: What the job asks for.
        entry: A model with weights.
        input_px: Height and width of a tile as the network sees it.
        tiles: Called for normalised tiles of the ground that is to be segmented; None if there
            are none.

    Returns:
        The backend, and a note for the user on why it was chosen, "" if there was no choice.

    Raises:
        DeviceError: If device or runtime is unknown or absent, or they do not go together.
        JobError: If the model cannot run on what was asked for.
    """
    card = entry.card
    if card is None or card.task == INSTANCE:
        return _for_instances(wish, entry.id), ""
    wish = wish.with_defaults()
    device = _device(wish)
    ways = possible_ways(wish, device)
    if len(ways) > 1 and (tiles is None or card_look(card) is not None):
        ways = [(TORCH, "mixed" if (TORCH, "mixed") in ways else ways[0][1])]
    backend = choose_backend(device, ways[0][1], wish.batch)
    if len(ways) == 1 or tiles is None:
        return replace(backend, runtime=ways[0][0]), ""
    set_cpu_threads()
    trial = _trial(entry, card, backend, input_px, tiles)
    try:
        found = fastest_way(ways, trial, any_agreement=wish.precision != AUTO)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        precision = "fp32" if wish.precision == AUTO else wish.precision
        note = f"too little memory to try the backends: the model runs on torch in {precision}"
        return replace(choose_backend(device, precision, wish.batch), runtime=TORCH), note
    chosen = replace(backend, runtime=found.runtime, precision=found.precision)
    return chosen, found.text


def _trial(
    entry: ModelEntry,
    card: ModelCard,
    backend: Backend,
    input_px: tuple[int, int],
    tiles: Callable[[], Tensor],
) -> Trial:
    return Trial(
        lambda: first_look(warm_network(entry, backend)),
        tiles,
        backend.device,
        (*input_px, len(card.bands)),
        model_key(card),
    )


def possible_ways(wish: Wish, device: str) -> list[Way]:
    """Return runtimes and precisions that a wish leaves, the least exact first.

    ONNX Runtime, which has no bf16, is a candidate only where the processor has none either, or
    where the job names it.

    Raises:
        DeviceError: If none is left, or the runtime that the job names is not installed.
    """
    gains = gains_from_bf16(device)
    named = None if wish.runtime == AUTO else installed_runtime(wish.runtime)
    runtimes = [named] if named else _installed(device.partition(":")[0], gains)
    if wish.precision == AUTO:
        precisions = [*REDUCED, "fp32"] if gains else ["fp32"]
    else:
        precisions = [wish.precision]
    ways = [(r.name, p) for p in precisions for r in runtimes if p in r.precisions]
    if not ways:
        raise DeviceError(
            f"backend {wish.runtime!r} does not compute in {wish.precision}",
            f"choose {' or '.join(named.precisions) if named else 'fp32'}, or another backend",
        )
    return ways


def _installed(kind: str, gains: bool) -> list[Runtime]:
    return [
        runtime
        for runtime in RUNTIMES.values()
        if kind in runtime.devices
        and not missing_packages(runtime)
        and not (gains and set(runtime.precisions).isdisjoint(REDUCED))
    ]


def _for_instances(wish: Wish, model_id: str) -> Backend:
    if wish.runtime not in (AUTO, TORCH) or wish.precision == "mixed":
        what = f"backend {wish.runtime!r}" if wish.precision != "mixed" else "precision 'mixed'"
        raise JobError(
            f"{what} is for semantic networks, {model_id!r} finds instances",
            "use the backend torch with precision fp32 or bf16",
        )
    precision = "fp32" if wish.precision == AUTO else wish.precision
    return choose_backend(wish.device, precision, wish.batch)


def _device(wish: Wish) -> str:
    """Return the device; a runtime without CUDA runs on the CPU unless the job says otherwise.

    Raises:
        DeviceError: If it is unknown or absent, or the runtime does not run on it.
    """
    runtime = None if wish.runtime == AUTO else installed_runtime(wish.runtime)
    if runtime is None or "cuda" in runtime.devices:
        return choose_backend(wish.device, "fp32", 1).device
    if wish.device.startswith("cuda"):
        raise DeviceError(
            f"backend {runtime.name!r} runs on the CPU, the job asks for {wish.device!r}",
            "choose the device cpu, or the backend torch",
        )
    return choose_backend("cpu" if wish.device == AUTO else wish.device, "fp32", 1).device
