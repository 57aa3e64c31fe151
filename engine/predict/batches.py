"""Work through items in batches that become smaller when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import torch

from ..errors import DeviceError
from .backend import Backend

logger = logging.getLogger(__name__)

Found = TypeVar("Found")


class _Sliceable(Protocol):
    """A list or an array: what has a length and can be cut."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Any: ...


Items = TypeVar("Items", bound=_Sliceable)


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error says that the memory of a device or of the machine ran out."""
    text = str(error).lower()
    known = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return known or "out of memory" in text or "can't allocate memory" in text


class ShrinkingBatches:
    """Calls a function with at most ``size`` items at a time.

    When memory runs out, the size is halved, for the rest of the run as well.

    Args:
        backend: Device and first size.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.size = backend.batch

    def run(
        self,
        items: Items,
        function: Callable[[Items], Sequence[Found]],
        tile_px: int,
    ) -> list[Found]:
        """Return what the function returns for all items, in their order.

        Args:
            items: Tiles, a list or an array of them.
            function: One result per item.
            tile_px: Side of a tile in pixels, for messages.

        Raises:
            DeviceError: If not even one item fits.
        """
        found: list[Found] = []
        while len(found) < len(items):
            part = items[len(found) : len(found) + self.size]
            try:
                found.extend(function(part))
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                self._shrink(error, len(part), tile_px)
        return found

    def _shrink(self, error: Exception, tried: int, tile_px: int) -> None:
        """Halve the batch after an out-of-memory error, raise any other error again."""
        if not is_out_of_memory(error):
            raise error
        if tried <= 1:
            raise DeviceError(
                f"one tile of {tile_px} px does not fit into the memory of {self._backend.device}",
                "choose a smaller tile, another device or a smaller model",
            ) from None
        self.size = max(1, tried // 2)
        if self._backend.is_cuda:
            torch.cuda.empty_cache()
        logger.warning("out of memory with %d tiles per batch, going on with %d", tried, self.size)
