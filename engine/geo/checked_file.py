"""A file that GDAL writes through Python, so that no failed write goes unnoticed.

GDAL reports a full disk while flushing or closing only on its error stream, and leaves a
damaged file behind. Here the operating system's error is kept for the caller to ask for.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, Any


class CheckedFile(io.FileIO):
    """An unbuffered file whose first failed write is kept in ``guard.error``."""

    def __init__(self, path: str, mode: str, guard: WriteGuard) -> None:
        super().__init__(path, mode.replace("b", ""))
        self._guard = guard

    def write(self, data: Any) -> int:
        """Write bytes and return how many were taken; an error is kept, not raised."""
        if self._guard.error is not None:
            return 0
        view, done = memoryview(data).cast("B"), 0
        try:
            while done < len(view):
                done += super().write(view[done:]) or 0
        except OSError as error:
            self._guard.error = error
        return done

    def close(self) -> None:
        """Close the file; an error is kept, not raised."""
        try:
            super().close()
        except OSError as error:
            self._guard.error = self._guard.error or error


class WriteGuard:
    """Opens one output file for GDAL (rasterio's ``opener``) and keeps its first error.

    GDAL must not write from threads of its own: they would wait for Python's lock, which the
    thread that waits for them holds.
    """

    def __init__(self, path: Path) -> None:
        self._name = path.name
        self.error: OSError | None = None

    def open(self, path: str, mode: str = "rb", **options: Any) -> IO[bytes]:
        """Open a file that GDAL asks for; only the output itself is guarded."""
        if Path(path).name == self._name:
            return CheckedFile(path, mode, self)
        return Path(path).open(mode, **options)
