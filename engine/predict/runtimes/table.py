"""The runtimes by name, and which of them this machine has."""

from __future__ import annotations

import importlib.metadata
import sys
from collections import OrderedDict
from importlib.util import find_spec

import torch

from ...errors import DeviceError
from .contract import Forward, Opening, Runtime
from .onnx_cpu import open_onnx
from .openvino_cpu import open_openvino
from .torch_cpu import open_torch_cpu
from .torch_cuda import open_torch_cuda

TORCH = "torch"
WARM_NETWORKS = 4
_warm: OrderedDict[tuple[object, ...], Forward] = OrderedDict()


def _open_torch(opening: Opening) -> Forward:
    on_gpu = opening.device.startswith("cuda")
    return open_torch_cuda(opening) if on_gpu else open_torch_cpu(opening)


RUNTIMES = {
    runtime.name: runtime
    for runtime in (
        Runtime(
            TORCH,
            ("torch",),
            ("torch",),
            "",
            ("cpu", "cuda"),
            ("bf16", "mixed", "fp32"),
            _open_torch,
        ),
        Runtime(
            "openvino",
            ("openvino",),
            ("openvino",),
            "openvino",
            ("cpu",),
            ("bf16", "fp32"),
            open_openvino,
        ),
        Runtime(
            "onnxruntime",
            ("onnxruntime", "onnx", "onnxscript"),
            ("onnxruntime", "onnx", "onnxscript"),
            "onnx",
            ("cpu",),
            ("fp32",),
            open_onnx,
        ),
    )
}


def missing_packages(runtime: Runtime) -> list[str]:
    """Return the packages of a runtime that are not installed."""
    pairs = zip(runtime.packages, runtime.modules, strict=True)
    return [package for package, module in pairs if find_spec(module) is None]


def runtime_version(runtime: Runtime) -> str:
    """Return the version of a runtime's first package; "" if it is not installed."""
    try:
        return importlib.metadata.version(runtime.packages[0])
    except importlib.metadata.PackageNotFoundError:
        return ""


def installed_runtime(name: str) -> Runtime:
    """Return a runtime after making sure that it is installed.

    Raises:
        DeviceError: If there is no such runtime, or a package of it is missing.
    """
    if name not in RUNTIMES:
        known = ", ".join(("auto", *RUNTIMES))
        raise DeviceError(f"backend {name!r} is unknown", f"use one of {known}")
    runtime = RUNTIMES[name]
    missing = missing_packages(runtime)
    if missing:
        raise DeviceError(
            f"backend {name!r} needs the package {missing[0]}, which is not installed",
            f"{sys.executable} -m pip install {' '.join(missing)}, or use the backend torch",
        )
    return runtime


def open_network(name: str, opening: Opening) -> Forward:
    """Prepare a network for a runtime; the last ones that were converted stay ready.

    Raises:
        DeviceError: If the runtime is not installed.
        ModelError: If the network cannot be converted for it.
    """
    runtime = installed_runtime(name)
    if not opening.key or (name == TORCH and opening.precision != "mixed"):
        return runtime.open(opening)
    place = (opening.device, opening.precision, opening.tile_shape, torch.get_num_threads())
    key = (name, opening.key, *place)
    if key not in _warm:
        _warm[key] = runtime.open(opening)
    _warm.move_to_end(key)
    while len(_warm) > WARM_NETWORKS:
        _warm.popitem(last=False)
    return _warm[key]
