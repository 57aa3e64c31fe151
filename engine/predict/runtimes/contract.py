"""The one interface behind which a semantic network runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

Forward = Callable[[Tensor], Tensor]
"""Images float32 ``[N, C, H, W]`` on the device to float32 logits ``[N, K, H, W]``."""


@dataclass(frozen=True)
class Opening:
    """A network that is to be run, and how.

    Attributes:
        network: Semantic network in evaluation mode, float32, on ``device``.
        device: ``cpu`` or ``cuda:i``.
        precision: ``bf16`` (all layers), ``mixed`` (the costliest ones) or ``fp32``.
        tile_shape: Height, width and bands of a tile.
        key: Identifies weights and structure, for files that are kept; "" keeps none.
    """

    network: nn.Module
    device: str
    precision: str
    tile_shape: tuple[int, int, int]
    key: str = ""


@dataclass(frozen=True)
class Runtime:
    """A library that runs networks.

    Attributes:
        name: Its name in jobs and manifests.
        packages: What must be installed beside the engine's own packages, as names on the
            package index.
        modules: The same as names that Python imports.
        extra: Extra of the distribution that installs them.
        devices: Kinds of devices: ``cpu``, ``cuda``.
        precisions: Precisions that it computes in, the least exact first.
        open: Prepare a network; may take seconds.
    """

    name: str
    packages: tuple[str, ...]
    modules: tuple[str, ...]
    extra: str
    devices: tuple[str, ...]
    precisions: tuple[str, ...]
    open: Callable[[Opening], Forward]
