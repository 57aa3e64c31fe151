"""Jobs about models and the environment."""

from __future__ import annotations

from dataclasses import dataclass

from .base import Job, check_choice


@dataclass(frozen=True)
class DoctorJob(Job):
    """Look whether the environment is sound.

    Attributes:
        folder: Folder whose free space is looked at; empty means the current one.
        warm: Whether to compile all kernels as well, so that the first run does not wait.
    """

    folder: str = ""
    warm: bool = False


@dataclass(frozen=True)
class CheckModelJob(Job):
    """Check a model: card, files, hash, network and one forward pass.

    Attributes:
        model: Id of a model in the zoo, or the path of a model folder or zip.
    """

    model: str


@dataclass(frozen=True)
class ImportModelJob(Job):
    """Copy a model into the user's zoo after checking it.

    Attributes:
        source: Model folder, or zip of one.
        overwrite: Whether a user's model with the same id may be replaced.
    """

    source: str
    overwrite: bool = False


@dataclass(frozen=True)
class ExportModelJob(Job):
    """Write a model as a folder or zip that is imported again, or as a network file for others.

    Attributes:
        model: Id of a model in the zoo, or the path of a model folder.
        output: Folder, zip or network file to write.
        format: ``folder``, ``zip``, ``onnx`` or ``torchscript``.
        overwrite: Whether an existing output may be replaced.
    """

    model: str
    output: str
    format: str = "zip"
    overwrite: bool = False

    def check(self) -> None:
        """Raise JobError if the format is unknown."""
        check_choice("format", self.format, ("folder", "zip", "onnx", "torchscript"))
