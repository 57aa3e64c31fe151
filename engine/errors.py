"""Errors of the engine: each says what happened, with which value, and what to do.

Tree::

    EngineError            code         the user can mend it, unless the code is "internal"
    ├── JobError           job          a field of the job is missing, unknown or wrong
    ├── RasterError        raster       the raster does not fit the model or the request
    │   └── RasterReadError raster_read the raster cannot be opened or decoded
    ├── LabelError         labels       the label layer is empty, broken or elsewhere
    ├── ModelError         model        the model folder is broken, foreign or incomplete
    ├── DeviceError        device       the computing device is missing or too small
    ├── DiskError          disk         the output cannot be written
    └── JobCancelled       cancelled    the user asked to stop
"""

from __future__ import annotations

INTERNAL_CODE = "internal"


class EngineError(Exception):
    """Base of all errors that are shown to a user as a message and a hint.

    Args:
        message: What happened, with the value that caused it; one sentence, no newline.
        hint: What to do about it.
    """

    code = INTERNAL_CODE

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class JobError(EngineError):
    """A job has a missing, unknown or wrong field."""

    code = "job"


class RasterError(EngineError):
    """A raster does not fit the model or the request."""

    code = "raster"


class RasterReadError(RasterError):
    """A raster cannot be opened or decoded."""

    code = "raster_read"


class LabelError(EngineError):
    """A label layer is empty, broken or elsewhere than the raster."""

    code = "labels"


class ModelError(EngineError):
    """A model folder is broken, foreign or incomplete."""

    code = "model"


class DeviceError(EngineError):
    """The computing device is missing, unknown or out of memory."""

    code = "device"


class DiskError(EngineError):
    """An output or temporary file cannot be written."""

    code = "disk"


class JobCancelled(EngineError):
    """The user asked to stop; becomes the ``cancelled`` event."""

    code = "cancelled"

    def __init__(self, message: str = "cancelled by the user", hint: str = "") -> None:
        super().__init__(message, hint)
