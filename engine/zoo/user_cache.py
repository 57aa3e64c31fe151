"""The folder of the user in which the engine keeps what it can make again."""

from __future__ import annotations

import os
import sys
from pathlib import Path

CACHE_VARIABLE = "RS_SEGMENT_CACHE"


def user_cache() -> Path:
    """Return the engine's cache folder, which need not exist.

    ``$RS_SEGMENT_CACHE``, or else ``rs-segment`` in the user's cache folder:
    ``XDG_CACHE_HOME`` or ``~/.cache``, ``LOCALAPPDATA`` on Windows, ``~/Library/Caches`` on macOS.
    """
    configured = os.environ.get(CACHE_VARIABLE)
    if configured:
        return Path(configured)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "rs-segment"
