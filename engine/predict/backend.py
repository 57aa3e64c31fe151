"""Which device, precision and batch size run a network."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import DeviceError

CUDA_BATCH = 8
CPU_BATCH = 1


@dataclass(frozen=True)
class Backend:
    """What runs a network.

    Attributes:
        device: ``cpu``, ``cuda:0``.
        precision: ``fp32``, ``bf16`` or, for semantic networks, ``mixed``.
        batch: Tiles per batch.
        runtime: Name of a runtime, see ``runtimes.table``; only semantic networks have a choice.
    """

    device: str
    precision: str
    batch: int
    runtime: str = "torch"

    @property
    def is_cuda(self) -> bool:
        """Whether the device is an NVIDIA GPU."""
        return self.device.startswith("cuda")


def cpu_gains_from_bf16() -> bool:
    """Return whether this CPU multiplies bf16 matrices in hardware (AVX-512 BF16 or AMX)."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            flags = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        flags = ""
    words = set(flags.split())
    return "avx512_bf16" in words or "amx_bf16" in words


def gains_from_bf16(device: str) -> bool:
    """Return whether a device that is there multiplies bf16 matrices in hardware."""
    return torch.cuda.is_bf16_supported() if device != "cpu" else cpu_gains_from_bf16()


def cpu_name() -> str:
    """Return the CPU's model name."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def choose_backend(device: str, precision: str, batch: int) -> Backend:
    """Choose device and precision of a job; the runtime is torch.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
        precision: ``auto``, ``fp32``, ``mixed`` or ``bf16``; ``auto`` takes bf16 where hardware
            has it.
        batch: Tiles per batch, 0 means automatic.

    Raises:
        DeviceError: If the device is unknown or absent.
    """
    name = _device_name(device)
    if precision == "auto":
        precision = "bf16" if gains_from_bf16(name) else "fp32"
    return Backend(name, precision, batch or (CUDA_BATCH if name != "cpu" else CPU_BATCH))


def _device_name(device: str) -> str:
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if device in ("auto", "cuda"):
        device = "cuda:0"
    kind, _, number = device.partition(":")
    if kind != "cuda" or not number.isdigit():
        raise DeviceError(f"device {device!r} is unknown", "use auto, cpu, cuda or cuda:0")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number) >= count:
        raise DeviceError(
            f"device {device!r} is not there, this machine has {count} CUDA devices",
            "choose cpu or auto, or install the NVIDIA driver",
        )
    return device


def set_cpu_threads() -> int:
    """Let torch use all cores that this process may run on; returns their number."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    configured = os.environ.get("OMP_NUM_THREADS", "")
    threads = int(configured) if configured.isdigit() and int(configured) > 0 else count or 1
    torch.set_num_threads(threads)
    return threads
