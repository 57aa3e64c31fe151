"""A semantic network as one self-contained file for other programs: TorchScript or ONNX.

The exported computation is the whole of the engine's for one tile: raw pixel values in,
normalisation by the card, network, scores out. Height and width are fixed, the number of tiles
is free. C2FNet looks at all windows and asks afterwards which of them hold small objects: the
same scores at a higher cost.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..zoo.card import BandSpec, ModelCard
from .c2fnet import C2FNet

CARD_KEY = "rs_segment_card"
INPUT_NAME, OUTPUT_NAME = "pixels", "scores"
OPSET = 18


class TileScores(nn.Module):
    """Raw pixels of tiles to class scores, as the engine computes them.

    Args:
        network: Semantic network in evaluation mode.
        bands: Scaling and statistics of its bands.
    """

    gain: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, bands: Sequence[BandSpec]) -> None:
        super().__init__()
        self.network = network
        gain = torch.tensor([band.scale / band.std for band in bands], dtype=torch.float32)
        shift = torch.tensor([(b.offset - b.mean) / b.std for b in bands], dtype=torch.float32)
        self.register_buffer("gain", gain.view(1, -1, 1, 1))
        self.register_buffer("shift", shift.view(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return scores ``[N, K, H, W]`` in [0, 1] for raw pixel values float32 ``[N, C, H, W]``.

        A network with one logit has two classes, the background first.
        """
        logits = self._logits(pixels * self.gain + self.shift)
        if logits.shape[1] == 1:
            front = torch.sigmoid(logits)
            return torch.cat([1 - front, front], dim=1)
        return torch.softmax(logits, dim=1)

    def _logits(self, images: Tensor) -> Tensor:
        if isinstance(self.network, C2FNet) and self.network.stage != "coarse":
            return self.network.dense_look(images, self.network.first_look(images))
        logits: Tensor = self.network(images)
        return logits


def example_tiles(card: ModelCard, side_px: int, count: int = 2) -> Tensor:
    """Return tiles of noise around the card's band statistics, float32 ``[N, C, S, S]``."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((count, len(card.bands), side_px, side_px), generator=generator)
    mean = torch.tensor([(b.mean - b.offset) / b.scale for b in card.bands], dtype=torch.float32)
    std = torch.tensor([b.std / b.scale for b in card.bands], dtype=torch.float32)
    return noise * std.view(1, -1, 1, 1) + mean.view(1, -1, 1, 1)


def export_torchscript(network: TileScores, tiles: Tensor, card: ModelCard, path: Path) -> None:
    """Write a network as TorchScript; the card is its extra file ``rs_segment_card``.

    Args:
        network: In evaluation mode.
        tiles: Example; its height and width are those of the exported network.
        card: Described in the file.
        path: File to write.

    Raises:
        ModelError: If the network cannot be traced.
    """
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # The size becomes a part of the trace, which is what is wanted.
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                network, tiles, check_trace=False
            )
            torch.jit.save(traced, str(path), _extra_files={CARD_KEY: card.to_json()})
    except RuntimeError as error:
        raise _failed(card.id, "TorchScript", error) from None


def export_onnx(network: TileScores, tiles: Tensor, card: ModelCard, path: Path) -> None:
    """Write a network as ONNX; the card is its metadata property ``rs_segment_card``.

    Args:
        network: In evaluation mode.
        tiles: Example of at least two tiles; height and width become fixed.
        card: Described in the file.
        path: File to write.

    Raises:
        ModelError: If the packages of the extra ``[onnx]`` are missing, or the network has an
            operator that ONNX lacks.
    """
    program = onnx_program(network, tiles, (INPUT_NAME, OUTPUT_NAME), card.id, any_count=True)
    program.model.metadata_props.update(_properties(card))
    program.save(str(path), external_data=False)


def onnx_program(
    network: nn.Module,
    tiles: Tensor,
    names: tuple[str, str],
    model_id: str,
    *,
    any_count: bool,
) -> torch.onnx.ONNXProgram:
    """Return a network as ONNX in memory.

    Args:
        network: In evaluation mode.
        tiles: Example; height and width become fixed.
        names: Names of input and output.
        model_id: For messages.
        any_count: Whether the number of tiles stays free; the example then needs two at least.

    Raises:
        ModelError: If the packages of the extra ``[onnx]`` are missing, or the network has an
            operator that ONNX lacks.
    """
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise ModelError(
            f"export as ONNX needs the package {missing[0]}",
            "install rs-segment[onnx], or export as TorchScript",
        )
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network,
                (tiles,),
                input_names=names[:1],
                output_names=names[1:],
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("tiles", min=1)},) if any_count else None,
                verbose=False,
            )
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        raise _failed(model_id, "ONNX", error) from None
    finally:
        quiet.setLevel(level)
    if program is None:
        raise ModelError(f"ONNX export of {model_id!r} gave nothing", "export as TorchScript")
    return program


def _properties(card: ModelCard) -> dict[str, str]:
    """Return what is written into the ONNX file, beside the card what viewers show."""
    return {
        CARD_KEY: card.to_json(),
        "title": card.title,
        "class_names": json.dumps({c.id: c.name for c in card.classes}),
        "resolution_m": f"{card.resolution_m.nominal:g}",
    }


def _failed(model_id: str, kind: str, error: Exception) -> ModelError:
    reason = str(error).strip().splitlines()
    return ModelError(
        f"network of {model_id!r} cannot be written as {kind}: "
        f"{reason[0] if reason else type(error).__name__}",
        "export another format",
    )
