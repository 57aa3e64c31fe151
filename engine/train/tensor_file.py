"""Files of tensors: safetensors, whole or not there, never a pickle."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ..errors import DiskError

READABLE = 0o644


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors beside the target and rename, so that a file is whole or the earlier one stays.

    Raises:
        DiskError: If the file cannot be written; no partial file is left behind.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Copies: tensors that share memory (tied weights, views) cannot be stored as they are.
        plain = {
            k: v.detach().clone(memory_format=torch.contiguous_format) for k, v in tensors.items()
        }
        save_file(plain, partial, metadata=metadata)
        partial.chmod(READABLE)  # the library's file is for its owner only
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise DiskError(f"cannot write {path}: {error}", "check the space and the rights") from None
