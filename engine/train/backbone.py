"""Where the backbone of a network is, and what its maps are; for tuning and pre-training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from ..errors import ModelError

BACKBONE_NAMES = ("encoder", "backbone", "body")
PROBE_PX = 64


def backbone_prefixes(network: nn.Module) -> list[str]:
    """Return the prefixes of the backbones, with a final dot.

    C2FNet has two (``coarse.backbone.`` and ``fine.backbone.``), other networks one.
    """
    names = [n for n, _ in network.named_modules() if n.rpartition(".")[2] in BACKBONE_NAMES]
    outer = [n for n in names if not any(n.startswith(f"{other}.") for other in names)]
    found = [_innermost(network, name) for name in outer]
    return [f"{name}." for name in found if any(True for _ in _parameters(network, name))]


def _parameters(network: nn.Module, name: str) -> Iterator[nn.Parameter]:
    return network.get_submodule(name).parameters()


def _innermost(network: nn.Module, name: str) -> str:
    """Follow direct children that are backbones themselves (detectors keep a neck beside it)."""
    children = dict(network.get_submodule(name).named_children())
    inner = next((part for part in BACKBONE_NAMES if part in children), "")
    return _innermost(network, f"{name}.{inner}") if inner else name


def first_backbone(network: nn.Module, name: str) -> nn.Module:
    """Return the backbone of a network.

    Raises:
        ModelError: If it has none.
    """
    prefixes = backbone_prefixes(network)
    if not prefixes:
        raise ModelError(f"network {name!r} has no backbone", "choose a network with a backbone")
    return network.get_submodule(prefixes[0].rstrip("."))


class Pyramid(nn.Module):
    """A backbone as a module that returns a list of maps, whatever its own form is.

    Args:
        backbone: Returns a list, tuple or mapping of maps, or one map.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.body = backbone

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps ``[N, c, h, w]`` of images that are smaller than the images."""
        found = self.body(images)
        if isinstance(found, Tensor):
            return [found]
        maps: Sequence[Tensor] = list(found.values() if isinstance(found, Mapping) else found)
        return [m for m in maps if m.shape[-1] < images.shape[-1] and m.shape[1] > 0]


def pyramid_widths(pyramid: Pyramid, bands: int) -> list[int]:
    """Return the widths of the maps, from one pass over zeros."""
    was_training = pyramid.training
    pyramid.eval()
    with torch.no_grad():
        maps = pyramid(torch.zeros(1, bands, PROBE_PX, PROBE_PX))
    pyramid.train(was_training)
    return [int(m.shape[1]) for m in maps]
