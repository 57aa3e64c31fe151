"""Model folders made by hand, for tests of every part that runs a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from engine.zoo.card import (
    CARD_NAME,
    WEIGHTS_NAME,
    BandSpec,
    ClassInfo,
    ModelCard,
    Resolution,
    WeightsInfo,
)
from engine.zoo.registry import file_sha256

LOGIT_SCALE = 64.0


def write_identity_model(folder: Path, classes: int, bands: int = 1) -> Path:
    """Write a model whose predicted class is the value of the first band.

    The logit of class ``k`` for the value ``v`` is ``64 (k v - k^2 / 2)``, which is
    ``-32 (v - k)^2`` but for a term common to all classes: the nearest class wins, and for
    whole values its softmax score differs from 1 by less than 1e-13. Values are not scaled
    (scale 1, mean 0, std 1) and further bands are ignored. All logits are 32 times whole
    numbers of at most 225 for up to 16 classes, so bfloat16 holds them exactly, too.

    Args:
        folder: Model folder to make; its name becomes the id.
        classes: Number of classes, ids 0 (background) to ``classes - 1``.
        bands: Number of bands of the model.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ids = torch.arange(classes, dtype=torch.float32)
    weight = torch.zeros(classes, bands, 1, 1)
    weight[:, 0, 0, 0] = LOGIT_SCALE * ids
    path = folder / WEIGHTS_NAME
    save_file(
        {"classifier.weight": weight, "classifier.bias": -LOGIT_SCALE / 2 * ids.square()}, path
    )
    names = ("red", "green", "blue") if bands == 3 else [f"band_{i + 1}" for i in range(bands)]
    card = ModelCard(
        id=folder.name.lower(),
        title="Identity",
        task="semantic",
        builder="pixel_linear",
        builder_args={},
        classes=tuple(
            ClassInfo(i, f"class {i}", f"#{(37 * i) % 256:02x}{(91 * i) % 256:02x}80", i == 0)
            for i in range(classes)
        ),
        bands=tuple(BandSpec(name, 1.0, 0.0, 0.0, 1.0, (name,)) for name in names),
        resolution_m=Resolution(1e-6, 1.0, 1e6),
        tile_px=64,
        overlap_px=16,
        stride=1,
        score_threshold=0.5,
        weights=WeightsInfo(WEIGHTS_NAME, file_sha256(path), path.stat().st_size),
        licenses={"code": "GPL-2.0-or-later", "weights": "CC0-1.0", "data": "none"},
        description="The class is the value of the first band.",
    )
    (folder / CARD_NAME).write_text(card.to_json(), encoding="utf-8")
    return folder


def write_network_model(
    folder: Path,
    network: nn.Module,
    builder: str,
    builder_args: dict[str, Any],
    *,
    classes: int,
    bands: int,
    tile_px: int = 64,
) -> Path:
    """Write a semantic network as a model with plain bands; the highest score wins.

    Args:
        folder: Model folder to make; its name becomes the id.
        network: The network.
        builder: Name of its builder.
        builder_args: Arguments that it was built with, without classes and bands.
        classes: Number of classes; 0 is the background.
        bands: Number of bands.
        tile_px: Side of a tile.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / WEIGHTS_NAME
    save_file({k: v.contiguous().clone() for k, v in network.state_dict().items()}, path)
    card = ModelCard(
        id=folder.name.lower(),
        title=builder,
        task="semantic",
        builder=builder,
        builder_args=builder_args,
        classes=tuple(
            ClassInfo(i, f"class {i}", f"#{(37 * i) % 256:02x}{(91 * i) % 256:02x}80", i == 0)
            for i in range(classes)
        ),
        bands=tuple(BandSpec(f"band_{i + 1}", 1.0, 0.0, 0.0, 1.0) for i in range(bands)),
        resolution_m=Resolution(1e-6, 1.0, 1e6),
        tile_px=tile_px,
        overlap_px=tile_px // 4,
        stride=1,
        score_threshold=0.0,
        weights=WeightsInfo(WEIGHTS_NAME, file_sha256(path), path.stat().st_size),
        licenses={"code": "GPL-2.0-or-later", "weights": "CC0-1.0", "data": "none"},
    )
    (folder / CARD_NAME).write_text(card.to_json(), encoding="utf-8")
    return folder
