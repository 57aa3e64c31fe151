"""From trained tensors to a model folder: half-precision weights, card and README."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..errors import DiskError
from ..zoo.card import CARD_NAME, WEIGHTS_NAME, ModelCard, WeightsInfo, card_problems
from ..zoo.registry import file_sha256
from .record_rows import record_rows
from .tensor_file import write_tensors

README_NAME = "README.md"
logger = logging.getLogger(__name__)


def half_precision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors as they are stored: matrices and kernels in float16, vectors as is.

    Vectors (biases, normalisation statistics) are small and stay in float32.

    Raises:
        ValueError: If a value is too large for float16 or not finite.
    """
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        halved = tensor.is_floating_point() and tensor.ndim > 1
        stored[name] = tensor.to(torch.float16) if halved else tensor
        if tensor.is_floating_point() and not bool(torch.isfinite(stored[name]).all()):
            raise ValueError(f"{name} has values that float16 cannot hold")
    return stored


def stored_tensors(tensors: Mapping[str, Tensor], dtype: str) -> dict[str, Tensor]:
    """Return the tensors as they are stored, ``fp16`` (see :func:`half_precision`) or ``fp32``.

    Values that float16 cannot hold make the whole model float32.
    """
    if dtype == "fp16":
        try:
            return half_precision(tensors)
        except ValueError as error:
            logger.warning("weights are stored in float32: %s", error)
    return dict(tensors)


def publish_model(
    folder: Path, tensors: Mapping[str, Tensor], card: ModelCard, *, convert: bool = True
) -> ModelCard:
    """Write weights, card and README of a model; the card is written last.

    Args:
        folder: Model folder, made if need be.
        tensors: State of the network.
        card: Card of the model; its ``weights`` are filled in here.
        convert: Whether the tensors are converted by :func:`half_precision`.

    Returns:
        The card with the weights' file, hash and size.

    Raises:
        DiskError: If the folder cannot be written.
        ValueError: If the card is not sound or a value does not fit float16.
    """
    problems = card_problems(card)
    if problems:
        raise ValueError(f"card of {card.id!r}: {problems[0]}")
    path = folder / WEIGHTS_NAME
    (folder / CARD_NAME).unlink(missing_ok=True)
    stored = half_precision(tensors) if convert else dict(tensors)
    write_tensors(path, stored, {"model_id": card.id})
    weights = WeightsInfo(WEIGHTS_NAME, f"sha256:{file_sha256(path)}", path.stat().st_size)
    card = replace(card, weights=weights)
    try:
        (folder / README_NAME).write_text(readme_text(card), encoding="utf-8")
        (folder / CARD_NAME).write_text(card.to_json(), encoding="utf-8")
    except OSError as error:
        raise DiskError(
            f"cannot write {folder}: {error}", "check the space and the rights"
        ) from None
    return card


def readme_text(card: ModelCard) -> str:
    """Return the card for people, as Markdown."""
    resolution = card.resolution_m
    blocks = [
        f"# {card.title}",
        card.description,
        _table(
            ("what", "value"),
            [
                ("id", f"`{card.id}`"),
                ("task", card.task),
                ("network", f"`{card.builder}` {_arguments(card)}"),
                ("bands", ", ".join(band.name for band in card.bands)),
                ("classes", ", ".join(f"{c.id} {c.name}" for c in card.classes)),
                (
                    "resolution",
                    f"{resolution.min:g} to {resolution.max:g} m, "
                    f"trained at {resolution.nominal:g} m",
                ),
                ("tile and overlap", f"{card.tile_px} and {card.overlap_px} pixels"),
                ("score threshold", f"{card.score_threshold:g}"),
            ],
        ),
        "## Measured",
        _table(
            ("data", "metric", "value"),
            [
                (str(m.get("data")), str(m.get("name")), _number(m.get("value")))
                for m in card.metrics
            ],
        ),
        "## Training",
        _table(("what", "value"), list(record_rows(card.training))),
        "## Licences",
        _table(("of", "licence"), list(card.licenses.items())),
        f"Card: `{CARD_NAME}`; each field is explained in `docs/card.md`.",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _arguments(card: ModelCard) -> str:
    pairs = "; ".join(f"{name} {value}" for name, value in record_rows(card.builder_args))
    return f"({pairs})" if pairs else ""


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    cells = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(c.replace("|", "/") for c in row) + " |" for row in cells)
