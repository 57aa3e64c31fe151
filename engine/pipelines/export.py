"""Export of a semantic model for other programs, checked against the engine's own scores."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from ..errors import ModelError
from ..models.export import (
    INPUT_NAME,
    TileScores,
    example_tiles,
    export_onnx,
    export_torchscript,
)
from ..models.load import load_network
from ..protocol import Log, Report
from ..zoo.card import ModelCard
from ..zoo.registry import ModelEntry

ENDINGS = {"torchscript": ".pt", "onnx": ".onnx"}
TOLERANCE = 1e-4
# Where the fine network of C2FNet is within rounding of one half, its verdict may tip.
TOLERATED_RATIO = 1e-3


def export_network(entry: ModelEntry, kind: str, path: Path, report: Report) -> float | None:
    """Write the network of a model with its weights into one file, and compare the scores.

    Args:
        entry: A semantic model with weights.
        kind: ``torchscript`` or ``onnx``.
        path: File to write.
        report: Told when there is nothing to check the file with.

    Returns:
        Largest difference of a score, None if it could not be checked.

    Raises:
        ModelError: If the model is none of that kind, or the file gives other scores.
    """
    card = _exportable(entry)
    network = TileScores(load_network(entry), card.bands).eval()
    side_px = -(-card.tile_px // card.stride) * card.stride
    tiles = example_tiles(card, side_px)
    if kind == "onnx":
        export_onnx(network, tiles, card, path)
    else:
        export_torchscript(network, tiles, card, path)
    if kind == "onnx" and find_spec("onnxruntime") is None:
        report(Log("onnxruntime is not installed: the file was not checked", "warning"))
        return None
    # Another number of tiles than the example's.
    tiles = example_tiles(card, side_px, count=1)
    with torch.no_grad():
        wanted = network(tiles)
    found = _onnx_scores(path, tiles) if kind == "onnx" else _torchscript_scores(path, tiles)
    return _compare(found, wanted, card, kind)


def _exportable(entry: ModelEntry) -> ModelCard:
    card = entry.card
    if card is None or card.weights is None:
        raise ModelError(f"model {entry.id!r} has no weights", "train it first, or import weights")
    if card.task != "semantic":
        raise ModelError(
            f"model {card.id!r} is for {card.task} segmentation, which these formats do not carry",
            "export it as a folder or zip",
        )
    return card


def _torchscript_scores(path: Path, tiles: Tensor) -> Tensor:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", FutureWarning)
        network = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
        scores: Tensor = network(tiles)
    return scores


def _onnx_scores(path: Path, tiles: Tensor) -> Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {INPUT_NAME: tiles.numpy()})[0])


def _compare(found: Tensor, wanted: Tensor, card: ModelCard, kind: str) -> float:
    """Return the largest difference of a score after comparing all of them."""
    if found.shape != wanted.shape:
        raise ModelError(
            f"{kind} file of {card.id!r} gives {tuple(found.shape)}, not {tuple(wanted.shape)}",
            "export another format",
        )
    difference = (found - wanted).abs().amax(dim=1)
    tolerated = TOLERATED_RATIO if card.builder.startswith("c2fnet") else 0.0
    beyond = float((difference > TOLERANCE).float().mean())
    if beyond > tolerated or not bool(found.isfinite().all()):
        raise ModelError(
            f"{kind} file of {card.id!r} gives other scores, by {float(difference.max()):.2g}",
            "export another format",
        )
    return float(difference.max())
