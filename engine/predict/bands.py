"""Rows of tiles: each raster row is read once, one row of tiles ahead of the network."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .plan import TilePlan

Item = TypeVar("Item")


class RowSource(Protocol):
    """What the tile loop reads from: the rows of the columns that a panel reads."""

    def read_rows(self, row0: int, row1: int) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Return pixels ``[C, h, w]`` and validity ``[h, w]`` of rows row0 to row1."""


@dataclass(frozen=True)
class TileRow:
    """The pixels under one row of tiles of a panel.

    ``pixels`` is ``[C, tile height, panel width]`` in the raster's dtype, ``valid`` is bool
    ``[tile height, panel width]``: inside the area of interest and not nodata.
    """

    index: int
    pixels: NDArray[np.generic]
    valid: NDArray[np.bool_]


def iter_tile_rows(source: RowSource, plan: TilePlan, first: int) -> Iterator[TileRow]:
    """Yield the rows of tiles of a panel from number ``first`` on, reading each row once."""
    height = plan.tile_px[0]
    held: TileRow | None = None
    for index in range(first, len(plan.row_starts)):
        top = plan.row_starts[index]
        kept = 0 if held is None else plan.row_starts[held.index] + height - top
        pixels, valid = source.read_rows(top + max(kept, 0), top + height)
        if held is not None and kept > 0:
            pixels = np.concatenate([held.pixels[:, height - kept :], pixels], axis=1)
            valid = np.concatenate([held.valid[height - kept :], valid], axis=0)
        held = TileRow(index, pixels, valid)
        yield held


class Prefetcher(Generic[Item]):
    """Run an iterator in a thread, ``depth`` items ahead.

    Use as a context manager; leaving it ends the thread also when not all items were taken.
    An error of the iterator is raised where its item would have come.
    """

    def __init__(self, rows: Iterator[Item], depth: int = 1) -> None:
        self._rows = rows
        self._queue: queue.Queue[Item | BaseException | None] = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rs-segment-ahead", daemon=True)

    def __enter__(self) -> Iterator[Item]:
        self._thread.start()
        return self._items()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        while self._thread.is_alive():
            self._drain()
            self._thread.join(0.05)

    def _drain(self) -> None:
        with contextlib.suppress(queue.Empty):
            self._queue.get_nowait()

    def _items(self) -> Iterator[Item]:
        while True:
            item = self._queue.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def _run(self) -> None:
        try:
            for row in self._rows:
                if not self._put(row):
                    return
            self._put(None)
        except BaseException as error:  # handed to the consumer, which raises it
            self._put(error)

    def _put(self, item: Item | BaseException | None) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False


def pad_tile(pixels: NDArray[np.float32], input_px: Sequence[int]) -> NDArray[np.float32]:
    """Repeat the last row and column of ``[C, h, w]`` until it has the network's input size."""
    below = input_px[0] - pixels.shape[1]
    right = input_px[1] - pixels.shape[2]
    if below == 0 and right == 0:
        return pixels
    return np.pad(pixels, ((0, 0), (0, below), (0, right)), mode="edge")
