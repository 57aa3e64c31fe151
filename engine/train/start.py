"""Initial weights: from scratch, from a model folder, or a backbone from a safetensors file.

A model of other classes or bands is taken over as far as it goes: heads of other classes start
anew (rows of classes with equal names are kept), the first layer is adapted to other bands, and
what was done is said in words.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..models.load import build_network, read_weights
from ..zoo.card import BandSpec, ClassInfo, ModelCard
from ..zoo.registry import ModelEntry, verify_weights
from .backbone import backbone_prefixes

logger = logging.getLogger(__name__)

LEAST_BACKBONE_RATIO = 0.9


@dataclass
class Start:
    """What a network starts from.

    Attributes:
        text: For the card: ``random weights``, or what was loaded.
        tuned: Whether the backbone starts from weights.
        notes: What was done about other classes and bands.
    """

    text: str = "random weights"
    tuned: bool = False
    notes: list[str] = field(default_factory=list)


def start_from_model(
    network: nn.Module,
    entry: ModelEntry,
    class_names: Sequence[str],
    bands: Sequence[BandSpec],
) -> Start:
    """Copy the weights of a model as far as classes and bands allow.

    Args:
        network: Fresh network of the card's builder.
        entry: Model to start from.
        class_names: Classes of the new model, in the order of its outputs.
        bands: Bands of the new model.

    Raises:
        ModelError: If the weights are not those of this network.
    """
    card = entry.card
    if card is None:
        raise ModelError(f"model {entry.id!r} is unusable: {entry.problem}", "choose another one")
    tensors = read_weights(verify_weights(entry))
    rows = _class_rows(card, class_names)
    columns = _band_columns(card.bands, bands)
    state = network.state_dict()
    heads = _class_tensors(card, tensors) if rows is not None else frozenset()
    fresh: list[str] = []
    chosen: dict[str, Tensor] = {}
    for name, wanted in state.items():
        found = tensors.get(name)
        if found is None:
            raise _foreign(entry.id, f"{name} is missing")
        fitted = _fitted(found, wanted, rows if name in heads else None, columns)
        if fitted is None:
            fresh.append(name)
            fitted = wanted
        chosen[name] = fitted
    if len(fresh) > len(state) // 2:
        raise _foreign(entry.id, f"{fresh[0]} is {tuple(state[fresh[0]].shape)}")
    network.load_state_dict(chosen)
    return Start(f"model {card.id}", True, _notes(card, class_names, bands, fresh))


def start_from_backbone(network: nn.Module, path: Path) -> Start:
    """Copy backbone weights, ``backbone.*`` or bare names, into each backbone of a network.

    Raises:
        ModelError: If fewer than nine in ten tensors of the backbone are in the file.
    """
    tensors = {name.removeprefix("backbone."): t for name, t in read_weights(path).items()}
    state = network.state_dict()
    prefixes = backbone_prefixes(network)
    if not prefixes:
        raise ModelError("the network has no backbone to load", "train it without init")
    for prefix in prefixes:
        own = {n[len(prefix) :]: t for n, t in state.items() if n.startswith(prefix)}
        fitting = {n: tensors[n] for n, t in own.items() if n in tensors and _fits(tensors[n], t)}
        if len(fitting) < LEAST_BACKBONE_RATIO * len(own):
            missing = next(n for n in own if n not in fitting)
            raise ModelError(
                f"{path} holds {len(fitting)} of the {len(own)} tensors of the network's "
                f"backbone; {missing} is missing or has another shape",
                "take weights of the same backbone and number of bands",
            )
        state.update({f"{prefix}{n}": t for n, t in fitting.items()})
    network.load_state_dict(state)
    return Start(f"backbone weights {path.name}", True)


def _fits(found: Tensor, wanted: Tensor) -> bool:
    return found.shape == wanted.shape


def _class_rows(card: ModelCard, class_names: Sequence[str]) -> tuple[int, ...] | None:
    """Return the old output of each new class, -1 for a new one; None if nothing changes."""
    old = [c.name for c in card.classes if not (card.task == "instance" and c.background)]
    if list(class_names) == old:
        return None
    return tuple(old.index(name) if name in old else -1 for name in class_names)


def _class_tensors(card: ModelCard, tensors: Mapping[str, Tensor]) -> frozenset[str]:
    """Return the names of the tensors whose shape follows from the number of classes.

    Others may have as many rows by chance: they belong to the features, not to the classes.
    """
    unused = max(c.id for c in card.classes) + 1
    more = replace(card, classes=(*card.classes, ClassInfo(unused, "one more", "#000000")))
    with torch.random.fork_rng(devices=[]):
        state = build_network(more).state_dict()
    return frozenset(n for n, t in tensors.items() if n not in state or state[n].shape != t.shape)


def _band_columns(old: Sequence[BandSpec], new: Sequence[BandSpec]) -> tuple[int, ...] | None:
    names = [band.name for band in old]
    if len(old) == len(new):
        return None
    return tuple(names.index(b.name) if b.name in names else -1 for b in new)


def _fitted(
    found: Tensor,
    wanted: Tensor,
    rows: tuple[int, ...] | None,
    columns: tuple[int, ...] | None,
) -> Tensor | None:
    """Return a tensor in the shape of the new network, None if it has to start anew."""
    if found.shape == wanted.shape and rows is None:
        return found
    if columns is not None and found.ndim == wanted.ndim == 4:
        same = found.shape[0] == wanted.shape[0] and found.shape[2:] == wanted.shape[2:]
        if same and wanted.shape[1] == len(columns):
            return _other_bands(found, columns)
    if rows is not None and wanted.shape[:1] == (len(rows) + 1,):  # background comes first
        rows = (0, *(row + 1 if row >= 0 else -1 for row in rows))
    if rows is not None and wanted.shape[:1] == (len(rows),):
        if found.shape[1:] != wanted.shape[1:]:
            return None
        kept = wanted.clone()
        for new, old in enumerate(rows):
            if 0 <= old < found.shape[0]:
                kept[new] = found[old]
        return kept
    return found if found.shape == wanted.shape else None


def _other_bands(kernels: Tensor, columns: Sequence[int]) -> Tensor:
    """Return first-layer kernels for other bands: known bands keep theirs, new ones the mean.

    Everything is scaled so that an input equal in all bands gives the same as before.
    """
    mean = kernels.mean(dim=1)
    parts = [kernels[:, c] if c >= 0 else mean for c in columns]
    return torch.stack(parts, dim=1) * (kernels.shape[1] / len(columns))


def _notes(
    card: ModelCard, class_names: Sequence[str], bands: Sequence[BandSpec], fresh: Sequence[str]
) -> list[str]:
    notes = []
    old = [c.name for c in card.classes]
    added = [name for name in class_names if name not in old]
    if added:
        notes.append(f"new classes start from random weights: {', '.join(added)}")
    if len(card.bands) != len(bands):
        notes.append(f"the first layer was adapted from {len(card.bands)} to {len(bands)} bands")
    if fresh:
        notes.append(f"{len(fresh)} tensors start from random weights, the first is {fresh[0]}")
    return notes


def _foreign(model_id: str, detail: str) -> ModelError:
    return ModelError(
        f"the weights of {model_id!r} are of another network: {detail}",
        "leave 'network' empty to take the model's own, or train from scratch",
    )


def check_same_network(card: ModelCard, network: str, options: Mapping[str, object]) -> None:
    """Refuse to start a network from a model of another one.

    Raises:
        ModelError: If the builders differ.
    """
    if network and network != card.builder:
        raise ModelError(
            f"model {card.id!r} is a {card.builder}, it cannot start a {network}",
            "leave 'network' empty to take the model's own, or train from scratch",
        )
