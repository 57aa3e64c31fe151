"""Compilation of kernels, and the place where the machine code is kept.

Numba compiles a kernel at its first call (seconds) and keeps the machine code in a cache
folder. Beside the source, where Numba would put it, is often read-only (an installed plugin),
so this module chooses a folder of the user before any kernel is defined:

* ``NUMBA_CACHE_DIR``, when it is set;
* else ``numba`` in the engine's cache folder (:func:`engine.zoo.user_cache.user_cache`);
* else, when that cannot be written, a new temporary folder: then every process compiles anew.

Numba looks only at the file of the outermost kernel to see whether its machine code is out of
date, so the code lies in a folder that is named after the contents of all files with kernels.

Functions that Python calls are defined with :func:`kernel`, those that only kernels call with
:func:`inner`, which compiles faster.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core import config as numba_config

from ..zoo.user_cache import user_cache

logger = logging.getLogger(__name__)

KERNEL_PACKAGES = ("evaluate", "geo", "merge", "vectorize")

as_index: Any = np.int64
"""The one integer type of indices in kernels: with it, each of them is compiled once."""

Function = TypeVar("Function", bound=Callable[..., Any])


def cache_folder() -> Path:
    """Return a folder for machine code that can be written, made if need be."""
    folder = user_cache() / "numba" / _sources_digest()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        logger.info("%s cannot be written (%s); machine code is kept for this run", folder, error)
        return Path(tempfile.mkdtemp(prefix="rs-segment-numba-"))


def _sources_digest() -> str:
    """Return a short hash of all sources of the engine that define kernels."""
    digest = hashlib.sha256()
    engine = Path(__file__).parents[1]
    for package in KERNEL_PACKAGES:
        for path in sorted((engine / package).glob("*.py")):
            text = path.read_bytes()
            if b"jit import" in text:
                digest.update(text)
    return digest.hexdigest()[:16]


_config: Any = numba_config  # its settings are made at run time
if not _config.CACHE_DIR:
    _config.CACHE_DIR = str(cache_folder())


def kernel(function: Function) -> Function:
    """Compile a function for calls from Python; it runs without the GIL and is kept."""
    compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return cast(Function, compiled)


def inner(function: Function) -> Function:
    """Compile a function that is called by kernels only, as a part of them."""
    return _part_of_kernel(function, forceinline=False)


def hot(function: Function) -> Function:
    """Compile a small function that kernels call per run or corner, in place of each call.

    A call that stays a call copies the state and counts references to its arrays.
    """
    return _part_of_kernel(function, forceinline=True)


def _part_of_kernel(function: Function, *, forceinline: bool) -> Function:
    options: dict[str, Any] = {
        "no_cpython_wrapper": True,
        "no_cfunc_wrapper": True,
        "error_model": "numpy",
        "forceinline": forceinline,
    }
    compiled: Any = numba.njit(**options)(function)
    return cast(Function, compiled)
