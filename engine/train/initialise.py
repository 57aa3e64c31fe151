"""Pretrained encoder weights from a local file, made fit for training.

Some published encoders come with batch normalisation folded into the convolutions: the
normalisation layers are the identity with a bias. Used as they are, training mode would
normalise such activations to zero mean and unit variance and destroy what was learnt.
:func:`recalibrate_batch_norm` measures the activations of training images and rewrites each
layer so that it computes the same function through true statistics.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import ModelError

logger = logging.getLogger(__name__)


def read_npz_tensors(path: Path) -> dict[str, Tensor]:
    """Return the arrays of a NumPy archive as tensors; pickled objects are refused.

    Raises:
        ModelError: If the file is missing or no archive of plain arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: torch.from_numpy(np.array(archive[name])) for name in archive.files}
    except (OSError, ValueError, EOFError) as error:
        raise ModelError(
            f"weights {path} cannot be read: {error}", "give an .npz file of plain arrays"
        ) from None


def load_encoder(
    encoder: nn.Module, weights: Mapping[str, Tensor], prefix: str = "features."
) -> int:
    """Copy pretrained tensors into an encoder; the names must agree.

    Args:
        encoder: Network whose state has the names of ``weights``.
        weights: Tensors by name; names without ``prefix`` (the classifier) are left out.
        prefix: Start of the names that belong to the encoder.

    Returns:
        Number of tensors copied.

    Raises:
        ModelError: If a tensor of the encoder is missing or has another shape.
    """
    state = encoder.state_dict()
    chosen = {name: tensor for name, tensor in weights.items() if name.startswith(prefix)}
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        if name not in chosen or chosen[name].shape != tensor.shape:
            found = tuple(chosen[name].shape) if name in chosen else "nothing"
            raise ModelError(
                f"encoder weights: {name} needs {tuple(tensor.shape)}, found {found}",
                "take the weights of the same encoder",
            )
    encoder.load_state_dict({name: chosen.get(name, tensor) for name, tensor in state.items()})
    return sum(name in chosen for name in state)


@contextmanager
def _input_moments(
    layers: Mapping[str, nn.BatchNorm2d],
) -> Iterator[dict[str, list[tuple[int, Tensor, Tensor]]]]:
    """Collect count, sum and sum of squares per channel of what enters each layer."""
    moments: dict[str, list[tuple[int, Tensor, Tensor]]] = {name: [] for name in layers}

    def watch(name: str) -> torch.utils.hooks.RemovableHandle:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].detach().double()
            count = x.numel() // x.shape[1]
            moments[name].append((count, x.sum((0, 2, 3)), x.square().sum((0, 2, 3))))

        return layers[name].register_forward_pre_hook(hook)

    handles = [watch(name) for name in layers]
    try:
        yield moments
    finally:
        for handle in handles:
            handle.remove()


def recalibrate_batch_norm(module: nn.Module, batches: Iterable[Tensor]) -> int:
    """Give every batch normalisation true statistics without changing the function.

    With ``m`` and ``v`` the mean and variance of a layer's input over ``batches``, the layer
    ``weight * (x - mean) / sqrt(var + eps) + bias`` gets ``m``, ``v`` and the weight and bias
    that give the same values. In training mode a batch whose statistics are near ``m`` and
    ``v`` then gives nearly the same output, too.

    Args:
        module: Network in any mode; it is left in evaluation mode.
        batches: Normalised images ``[N, C, H, W]``.

    Returns:
        Number of layers changed.

    Raises:
        ValueError: If there is no batch.
    """
    module.eval()
    layers = {n: m for n, m in module.named_modules() if isinstance(m, nn.BatchNorm2d)}
    with torch.no_grad(), _input_moments(layers) as moments:
        for batch in batches:
            module(batch)
    used = {name: layer for name, layer in layers.items() if moments[name]}
    if layers and not used:
        raise ValueError("no batch of images to measure")
    for name, layer in used.items():
        count = sum(m[0] for m in moments[name])
        mean = sum((m[1] for m in moments[name]), torch.zeros(())) / count
        square = sum((m[2] for m in moments[name]), torch.zeros(())) / count
        _set_statistics(layer, mean, (square - mean.square()).clamp_min(0))
    logger.info("recalibrated %d batch normalisations", len(used))
    return len(used)


@torch.no_grad()
def _set_statistics(layer: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """Set mean and variance of a layer and keep its function in evaluation mode."""
    if layer.running_mean is None or layer.running_var is None:
        raise ValueError("a batch normalisation without running statistics")
    slope = layer.weight.double() / (layer.running_var.double() + layer.eps).sqrt()
    value_at_mean = layer.bias.double() + slope * (mean - layer.running_mean.double())
    layer.weight.copy_(slope * (variance + layer.eps).sqrt())
    layer.bias.copy_(value_at_mean)
    layer.running_mean.copy_(mean)
    layer.running_var.copy_(variance)
