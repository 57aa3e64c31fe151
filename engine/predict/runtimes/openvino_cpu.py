"""OpenVINO on the CPU: the fastest runtime for convolutions on most processors.

A network is traced, read by OpenVINO's PyTorch front end and kept as OpenVINO's own files.
``openvino.convert_model`` would do the same and report it to its makers; the front end itself
is silent.
"""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import ModelError
from .check import check_forward, texture
from .contract import Forward, Opening
from .kept import find_kept, keep, kept_name
from .layout import LastIsBand, tile_by_tile

NAME = "openvino"
MODEL_FILE = "network.xml"
HINTS = {"bf16": "bf16", "fp32": "f32"}


@functools.lru_cache(maxsize=1)
def _core() -> Any:
    """Return the process's only core, which is never given up.

    The CPU plugin of a core gives the calling thread a stack for signals and, when it is given
    up, the one that was there before. Two cores given up in the order in which they were made
    leave the stack of the first, which is no longer mapped: the next signal ends the process.
    """
    import openvino

    return openvino.Core()


def open_openvino(opening: Opening) -> Forward:
    """Compile a network for the CPU.

    Raises:
        ModelError: If it has an operation that cannot be converted, or computes otherwise then.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import openvino

    core = _core()
    name = kept_name(opening, NAME, openvino.__version__[:16])
    folder = find_kept(name)
    if folder is not None:
        return _compile(core, core.read_model(folder / MODEL_FILE), opening)
    try:
        model = _convert(opening)
        forward = _compile(core, model, opening)
    except _conversion_errors() as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise ModelError(
            f"the network cannot be converted for OpenVINO: {reason}", "use the backend torch"
        ) from None
    check_forward(opening, forward, "OpenVINO")

    def write(partial: Path) -> None:
        openvino.save_model(model, partial / MODEL_FILE, compress_to_fp16=False)

    keep(name, write)
    return forward


def _conversion_errors() -> tuple[type[Exception], ...]:
    """Return what a conversion raises; the front end's errors are no RuntimeErrors."""
    from openvino import frontend

    own = (frontend.GeneralFailure, frontend.OpConversionFailure, frontend.OpValidationFailure)
    return (RuntimeError, *own)


def _convert(opening: Opening) -> Any:
    """Return the network as a model of OpenVINO for one tile ``[1, H, W, C]``."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    tile = texture(opening.tile_shape).permute(0, 2, 3, 1)
    network: nn.Module = LastIsBand(opening.network).eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            network, tile, check_trace=False
        )
        front_end = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchScriptPythonDecoder(traced)  # must live until it is converted
        model = front_end.convert(front_end.load(decoder))
        model.reshape([1, *opening.tile_shape])
    return model


def _compile(core: Any, model: Any, opening: Opening) -> Forward:
    """Return the compiled model as a function of batches."""
    import openvino

    compiled = core.compile_model(
        model,
        "CPU",
        {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(torch.get_num_threads()),
            "INFERENCE_PRECISION_HINT": HINTS[opening.precision],
        },
    )
    request = compiled.create_infer_request()
    classes = compiled.output(0).shape[3]

    def run(tile: np.ndarray[Any, Any], logits: np.ndarray[Any, Any]) -> None:
        request.set_output_tensor(openvino.Tensor(logits, shared_memory=True))
        request.infer([tile], share_inputs=True)

    def forward(images: Tensor) -> Tensor:
        return tile_by_tile(run, images, classes)

    return forward
