"""From a model folder to a network that is ready to run."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import ModelError
from ..zoo.card import ModelCard
from ..zoo.registry import ModelEntry, verify_weights
from .registry import INSTANCE, create_model, list_models

CARD_DECIDES = frozenset({"num_classes", "in_channels", "pretrained", "encoder_weights", "weights"})
REIMPORT_HINT = "import the model again, or get it from where it was trained"


def load_network(entry: ModelEntry) -> nn.Module:
    """Build the network of a model folder and load its weights.

    Args:
        entry: Model of the zoo, see ``engine.zoo.registry.find_model``.

    Returns:
        The network in evaluation mode, on the CPU, in float32.

    Raises:
        ModelError: If the card is unusable, the builder is not one of ``engine.models``, the
            file is damaged or not the card's, or the tensors do not fit the network.
    """
    card = entry.card
    if card is None:
        raise ModelError(f"model {entry.id!r} is unusable: {entry.problem}", REIMPORT_HINT)
    network = build_network(card)
    load_weights(network, read_weights(verify_weights(entry)), card.id)
    return network.eval()


def build_network(card: ModelCard) -> nn.Module:
    """Return the network that a card describes, with fresh weights.

    Raises:
        ModelError: If the builder is unknown, of another task, or refuses its arguments.
    """
    if card.builder not in list_models(card.task):
        raise ModelError(
            f"model {card.id!r} needs the {card.task} network {card.builder!r}, "
            "which is not in engine.models",
            "update RS Segment; code from a model folder is never run",
        )
    foreign = sorted(CARD_DECIDES & set(card.builder_args))
    if foreign:
        raise ModelError(
            f"model {card.id!r}: builder_args has {foreign[0]!r}",
            "remove it: classes, bands and weights of the card decide",
        )
    classes = [c for c in card.classes if not (card.task == INSTANCE and c.background)]
    return create_model(
        card.builder,
        num_classes=len(classes),
        in_channels=len(card.bands),
        **card.builder_args,
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file; half precision becomes float32.

    Raises:
        ModelError: If the file is missing, damaged or of another format.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"weights {path} cannot be read: {error}", REIMPORT_HINT) from None
    half = (torch.float16, torch.bfloat16)
    return {name: t.float() if t.dtype in half else t for name, t in tensors.items()}


def load_weights(network: nn.Module, tensors: dict[str, Tensor], model_id: str) -> None:
    """Copy tensors into a network; names and shapes must agree.

    Raises:
        ModelError: If they do not, or if a value is not finite; the first ones are named.
    """
    state = network.state_dict()
    missing = sorted(set(state) - set(tensors))
    unexpected = sorted(set(tensors) - set(state))
    wrong = [
        f"{name} is {tuple(tensors[name].shape)}, not {tuple(state[name].shape)}"
        for name in state
        if name in tensors and tensors[name].shape != state[name].shape
    ]
    problems = [
        *([f"missing {', '.join(missing[:3])}"] if missing else []),
        *([f"unexpected {', '.join(unexpected[:3])}"] if unexpected else []),
        *wrong[:3],
    ]
    if problems:
        raise ModelError(
            f"weights of {model_id!r} do not fit its network: {'; '.join(problems)}",
            "builder_args, classes and bands of the card must be those of the training",
        )
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"weights of {model_id!r}: {name} is not finite", REIMPORT_HINT)
    network.load_state_dict(tensors)
