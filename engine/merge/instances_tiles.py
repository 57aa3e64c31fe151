"""What tiles see and what comes of it: detections, finished objects, and where the tiles lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geo.mask_runs import MaskRuns, join_masks, no_masks

SLACK_RATIO = 1 / 24
"""How near to a seam counts as cut, relative to the side of the box: masks are drawn coarsely."""
MAX_SLACK_PX = 16

Int32 = NDArray[np.int32]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Detections:
    """What a network found in some tiles.

    Attributes:
        masks: Masks in pixels of the raster, inside their tiles.
        class_id: ``int32[n]``.
        score: ``float32[n]`` in [0, 1].
        tile: Row and column of the tile of each in the layout, ``int32[n, 2]``.
    """

    masks: MaskRuns
    class_id: Int32
    score: NDArray[np.float32]
    tile: Int32

    def __len__(self) -> int:
        return len(self.class_id)

    def take(self, index: NDArray[np.integer]) -> Detections:
        """Return some of them, in the order of ``index``."""
        return Detections(
            self.masks.take(index), self.class_id[index], self.score[index], self.tile[index]
        )


def join_detections(parts: Sequence[Detections]) -> Detections:
    """Return all detections of several collections, one after another."""
    if not parts:
        return Detections(
            no_masks(), np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros((0, 2), np.int32)
        )
    return Detections(
        join_masks([part.masks for part in parts]),
        np.concatenate([part.class_id for part in parts]),
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.tile for part in parts]),
    )


@dataclass(frozen=True)
class Instances:
    """Finished objects.

    Attributes:
        masks: Masks in pixels of the raster.
        class_id: ``int32[n]``.
        score: ``float32[n]`` in [0, 1].
        pieces: Number of detections that each was joined from, ``int32[n]``.
    """

    masks: MaskRuns
    class_id: Int32
    score: NDArray[np.float32]
    pieces: Int32

    def __len__(self) -> int:
        return len(self.class_id)


@dataclass(frozen=True)
class TileLayout:
    """Where the tiles lie: first rows and columns of the tiles, their size, the raster's size."""

    row_starts: tuple[int, ...]
    column_starts: tuple[int, ...]
    tile_px: tuple[int, int]
    shape_px: tuple[int, int]

    def windows(self, tile: Int32) -> Int32:
        """Return the boxes of tiles given by row and column, ``int32[n, 4]``."""
        starts = [np.array(s, np.int32) for s in (self.row_starts, self.column_starts)]
        corner = np.column_stack([starts[0][tile[:, 0]], starts[1][tile[:, 1]]])
        return np.column_stack([corner, corner + np.array(self.tile_px, np.int32)])

    def near_seam(self, box: Int32, window: Int32) -> Flags:
        """Return which boxes come so near to a seam of their tile that they may be cut."""
        sides = np.tile(box[:, 2:] - box[:, :2], 2)
        slack = np.minimum(sides * SLACK_RATIO, MAX_SLACK_PX).astype(np.int32)
        distance = np.abs(window - box)
        edges = np.array([0, 0, *self.shape_px], np.int32)
        near: Flags = ((distance <= slack) & (window != edges)).any(axis=1)
        return near

    def owner(self, box: Int32) -> Int32:
        """Return row and column of the tile whose core holds the centre of each box.

        Cores end in the middle of the overlap of neighbours, so they share no pixel and leave
        none out.
        """
        owners = np.empty((len(box), 2), np.int32)
        for axis, starts in enumerate((self.row_starts, self.column_starts)):
            begins = np.array(starts, np.int64)
            twice_border = begins[1:] + begins[:-1] + self.tile_px[axis]
            twice_centre = box[:, axis].astype(np.int64) + box[:, axis + 2]
            owners[:, axis] = np.searchsorted(twice_border, twice_centre, side="right")
        return owners
