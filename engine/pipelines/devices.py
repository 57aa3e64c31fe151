"""The devices that a network can run on, each after a small computation."""

from __future__ import annotations

import os
from typing import Any

import torch

from ..predict.backend import choose_backend, cpu_gains_from_bf16, cpu_name


def look_at_cpu() -> list[dict[str, Any]]:
    """Return the CPU: name, cores, threads, memory, instructions, bf16.

    Raises:
        RuntimeError: If torch computes wrongly.
    """
    used = choose_backend("cpu", "auto", 1).precision == "bf16"
    _multiply("cpu", torch.bfloat16 if used else torch.float32)
    return [
        {
            "id": "cpu",
            "name": cpu_name(),
            "cores": usable_cores(),
            "threads": torch.get_num_threads(),
            "memory_bytes": _memory_bytes(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "bf16_capable": cpu_gains_from_bf16(),
            "bf16_used": used,
        }
    ]


def look_at_cuda() -> list[dict[str, Any]]:
    """Return the CUDA devices: name, memory, CUDA version, bf16; an empty list if none.

    Raises:
        RuntimeError: If one of them does not compute.
    """
    devices = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        name = f"cuda:{index}"
        used = choose_backend(name, "auto", 1).precision == "bf16"
        _multiply(name, torch.bfloat16 if used else torch.float32)
        properties = torch.cuda.get_device_properties(index)
        devices.append(
            {
                "id": name,
                "name": properties.name,
                "memory_bytes": int(properties.total_memory),
                "cuda": str(torch.version.cuda),
                "bf16_capable": torch.cuda.is_bf16_supported(),
                "bf16_used": used,
            }
        )
    return devices


def _multiply(device: str, dtype: torch.dtype) -> None:
    ones = torch.ones(8, 8, device=device, dtype=dtype)
    if float((ones @ ones).sum()) != 512:
        raise RuntimeError("a matrix product is wrong")


def usable_cores() -> int:
    """Return the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> int:
    """Return the machine's memory, 0 if it is not known."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
