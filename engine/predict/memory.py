"""Freed memory goes back to the system between the stages of a run."""

from __future__ import annotations

import ctypes
import sys

LARGE_BYTES = 1 << 21
"""Labels of a strip from which on memory is given back after each of them."""


def give_back_memory() -> bool:
    """Let the C library return freed pages to the system; True if it could (glibc).

    Threads that come and go with the panels of a wide raster leave heaps behind that are free
    and yet resident: some hundred MiB that the next stage would count on top of its own.
    """
    if not sys.platform.startswith("linux"):
        return False
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and bool(trim(0))
