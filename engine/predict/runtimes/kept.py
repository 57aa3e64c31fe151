"""Converted networks, kept in the user's cache folder so that the next run starts at once."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from ...zoo.user_cache import user_cache
from .contract import Opening

logger = logging.getLogger(__name__)

KEPT_NETWORKS = 12
"""Converted networks that stay; those that were not used for the longest time go first."""


def kept_name(opening: Opening, runtime: str, version: str) -> str:
    """Return a name of all that a conversion depends on; "" for a network without a key."""
    if not opening.key:
        return ""
    size = "x".join(map(str, opening.tile_shape))
    return re.sub(r"[^\w.-]", "_", f"{opening.key}-{size}-{runtime}-{version}")


def find_kept(name: str) -> Path | None:
    """Return the folder of a converted network, None if it is not there.

    Args:
        name: See :func:`kept_name`; "" is never found.
    """
    folder = _root() / name
    if not name or not folder.is_dir():
        return None
    with contextlib.suppress(OSError):
        os.utime(folder)
    return folder


def keep(name: str, write: Callable[[Path], None]) -> None:
    """Keep a converted network; a disk that is full or read-only only costs the next run time.

    Args:
        name: As for :func:`find_kept`; "" keeps nothing.
        write: Writes its files into the folder that it is given.
    """
    if not name:
        return
    try:
        _root().mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=_root()))
        try:
            write(partial)
            if not (_root() / name).exists():
                partial.rename(_root() / name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        _drop_oldest()
    except (OSError, RuntimeError) as error:
        logger.info("converted network was not kept in %s: %s", _root(), error)


def _root() -> Path:
    return user_cache() / "runtimes"


def _drop_oldest() -> None:
    folders = [path for path in _root().iterdir() if not path.name.startswith(".")]
    folders.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for folder in folders[KEPT_NETWORKS:]:
        shutil.rmtree(folder, ignore_errors=True)
