"""Weights of a backbone from a local file or, when asked for, from timm.

Files of timm, torchvision and segmentation-models-pytorch name the same tensors with different
prefixes, hold a classifier, and see three bands. Here the prefix is found, the classifier left
out and the first convolution made fit for the bands as timm does it. A file of a deeper backbone of
the same family, which has all tensors and more of them in the same stages, is refused as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import timm
from timm.models import adapt_input_conv
from torch import Tensor, nn

from ..load import read_weights

FROM_TIMM = "timm"
PREFIXES = ("", "model.", "encoder.", "backbone.", "module.", "net.encoder.", "net.backbone.")
COUNTERS = "num_batches_tracked"
STAGE = re.compile(r"^(.*?\d+)\.")


def load_backbone(backbone: nn.Module, pretrained: str, timm_name: str = "") -> None:
    """Copy pretrained weights into a backbone.

    Args:
        backbone: Encoder or backbone; changed in place.
        pretrained: ``timm`` (downloads the weights of ``timm_name``) or the path of a
            safetensors file.
        timm_name: timm's name of the backbone, empty if timm has none.

    Raises:
        ModelError: If the file cannot be read.
        ValueError: If the weights are of another backbone, or timm has none.
    """
    if pretrained == FROM_TIMM:
        if not timm_name:
            raise ValueError("timm has no weights of this backbone: give a .safetensors file")
        source: nn.Module = timm.create_model(timm_name, pretrained=True)
        tensors: Mapping[str, Tensor] = source.state_dict()
    else:
        tensors = read_weights(Path(pretrained))
    backbone.load_state_dict(fit_tensors(tensors, backbone.state_dict(), pretrained))


def fit_tensors(
    tensors: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str
) -> dict[str, Tensor]:
    """Return the tensors under the names and with the bands of a backbone's state.

    Args:
        tensors: Of a backbone, with a classifier or without.
        state: Of the backbone that gets them.
        source: Where the tensors come from, for messages.

    Raises:
        ValueError: If a tensor is missing or of another shape, or a stage has more of them.
    """
    named = _renamed(tensors, state)
    fitted: dict[str, Tensor] = {}
    wrong = []
    for name, old in state.items():
        new = named.get(name)
        if new is not None and new.shape != old.shape:
            new = _other_bands(new, old)
        if new is None and not name.endswith(COUNTERS):
            wrong.append(name)
        fitted[name] = old if new is None else new
    if wrong:
        raise ValueError(
            f"weights {source!r} are not of this backbone: {len(wrong)} of {len(state)} tensors "
            f"are missing or of another shape, the first is {wrong[0]!r}"
        )
    more = _further(named, state)
    if more:
        raise ValueError(
            f"weights {source!r} are of a deeper backbone: {len(more)} tensors have no place, the "
            f"first is {more[0]!r}"
        )
    return fitted


def _renamed(tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with the prefixes exchanged that make most names agree."""
    best: dict[str, Tensor] = {}
    most = 0
    for theirs in PREFIXES:
        for ours in PREFIXES:
            found = {
                ours + name.removeprefix(theirs): tensor
                for name, tensor in tensors.items()
                if name.startswith(theirs)
            }
            agreed = sum(name in state for name in found)
            if agreed > most:
                best, most = found, agreed
    return best


def _further(named: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """Return the tensors without a place in stages that the backbone has, such as ``layer1.2``."""
    stages = {found.group(1) for name in state if (found := STAGE.match(name))}
    return [
        name
        for name in named
        if name not in state
        and not name.endswith(COUNTERS)
        and (found := STAGE.match(name))
        and found.group(1) in stages
    ]


def _other_bands(new: Tensor, old: Tensor) -> Tensor | None:
    """Return a first convolution for three bands as one for other bands, None for others."""
    first = new.ndim == 4 and new.shape[1] == 3
    if not first or new.shape[0] != old.shape[0] or new.shape[2:] != old.shape[2:]:
        return None
    adapted: Tensor = adapt_input_conv(old.shape[1], new)
    return adapted
