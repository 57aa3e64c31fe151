"""ONNX Runtime on the CPU: float32 only, for processors without bf16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...models.export import onnx_program
from .check import check_forward, texture
from .contract import Forward, Opening
from .kept import find_kept, keep, kept_name
from .layout import LastIsBand, tile_by_tile

NAME = "onnxruntime"
MODEL_FILE = "network.onnx"


def open_onnx(opening: Opening) -> Forward:
    """Compile a network for the CPU.

    Raises:
        ModelError: If it has an operation that ONNX lacks, or computes otherwise then.
    """
    import onnxruntime

    name = kept_name(opening, NAME, onnxruntime.__version__)
    folder = find_kept(name)
    if folder is not None:
        return _compile((folder / MODEL_FILE).read_bytes())
    tile = texture(opening.tile_shape).permute(0, 2, 3, 1)
    network = LastIsBand(opening.network).eval()
    program = onnx_program(network, tile, ("tiles", "logits"), "this model", any_count=False)
    data: bytes = program.model_proto.SerializeToString()
    forward = _compile(data)
    check_forward(opening, forward, "ONNX Runtime")

    def write(partial: Path) -> None:
        (partial / MODEL_FILE).write_bytes(data)

    keep(name, write)
    return forward


def _compile(model: bytes) -> Forward:
    """Return an ONNX model as a function of batches."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    source, target = session.get_inputs()[0].name, session.get_outputs()[0].name
    classes = int(session.get_outputs()[0].shape[3])
    binding = session.io_binding()

    def run(tile: np.ndarray[Any, Any], logits: np.ndarray[Any, Any]) -> None:
        binding.bind_cpu_input(source, tile)
        binding.bind_output(target, "cpu", 0, np.float32, list(logits.shape), logits.ctypes.data)
        session.run_with_iobinding(binding)

    def forward(images: Tensor) -> Tensor:
        return tile_by_tile(run, images, classes)

    return forward
