"""Merging of overlapping semantic tiles: a weighted mean in a strip of rows, flushed downwards.

Every pixel's score is the mean of all tiles that cover it, weighted by a smooth window that is
high in the middle of a tile and low at its edge. The sum of weights is carried along, so the
outer edges of the raster and the places beside skipped tiles lose nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geo.jit import as_index
from ..geo.windows import Window
from .blend import (
    Place,
    Rule,
    Scratch,
    Strip,
    add_tile,
    choose_labels,
    line_length,
    new_scratch,
)

Span = tuple[int, int]


def blend_weights(length_px: int, overlap_px: int) -> NDArray[np.float32]:
    """Return the blending weights of one tile side.

    The weight rises as sin² over ``overlap_px`` pixels at both ends and is 1 between them;
    it is never 0, so a pixel that only one tile covers keeps its value.

    Returns:
        float32 array of shape ``(length_px,)`` in (0, 1].
    """
    if overlap_px <= 0:
        return np.ones(length_px, np.float32)
    ramp_px = min(overlap_px, (length_px + 1) // 2)
    distance = np.minimum(np.arange(length_px), np.arange(length_px)[::-1]) + 0.5
    phase = np.minimum(distance / ramp_px, 1.0) * (np.pi / 2)
    return np.asarray(np.sin(phase) ** 2, dtype=np.float32)


@dataclass(frozen=True)
class LabelRule:
    """How merged scores become labels.

    Attributes:
        background: Ids of background classes.
        threshold: Foreground wins where its best score reaches this value; 0 means that the
            highest score wins. Without a background class, pixels below it become nodata.
    """

    background: tuple[int, ...] = ()
    threshold: float = 0.0

    def for_classes(self, classes: int) -> Rule:
        """Return ids that need a score, ids that take what is left, and the score needed."""
        front = [k for k in range(classes) if k not in self.background]
        if self.threshold <= 0 or not front:
            return Rule(np.arange(classes), np.arange(0), np.float32(0))
        back = np.array(sorted(self.background), dtype=np.int64)
        return Rule(np.array(front), back, np.float32(self.threshold))

    def labels(
        self, sums: NDArray[np.float32], total: NDArray[np.float32]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return label and quantised score of each pixel.

        Args:
            sums: Weighted sums of scores ``[h, w, K]``.
            total: Sums of weights ``[h, w]``; 0 where no tile lies.

        Returns:
            Labels uint8 ``[h, w]`` (255 where there is none) and scores uint8 ``[h, w]``
            (``round(254 * score)`` of the label's class, 255 where there is no label).
        """
        none = np.empty((0, 0), np.uint8)
        lines = np.ascontiguousarray(np.moveaxis(sums, 2, 1))
        strip = Strip(lines, np.ascontiguousarray(total), none, none)
        return _labels_of(strip, self.for_classes(sums.shape[2]), new_scratch(sums.shape[2]))


def _labels_of(
    strip: Strip, rule: Rule, scratch: Scratch
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    labels = np.empty(strip.total.shape, np.uint8)
    scores = np.empty(strip.total.shape, np.uint8)
    choose_labels(strip, rule, labels, scores, scratch)
    return labels, scores


class ScoreAccumulator:
    """Weighted mean of tile scores over a strip of rows.

    Holds ``(classes + 1) * tile_height * width`` float32 values, whatever the raster's height.
    Tiles come row by row; after a row of tiles, all rows above the next row of tiles are final
    and are taken out with :meth:`flush`.

    Args:
        classes: Number of score channels K.
        width: Width of the strip in pixels.
        tile_px: Height and width of a tile in pixels.
        overlap_px: Length of the blending ramps in pixels.
        rule: How scores become labels.
    """

    def __init__(
        self,
        classes: int,
        width: int,
        tile_px: tuple[int, int],
        overlap_px: int,
        rule: LabelRule | None = None,
    ) -> None:
        height_px, width_px = tile_px
        self._weights = (blend_weights(height_px, overlap_px), blend_weights(width_px, overlap_px))
        self._rule = (rule or LabelRule()).for_classes(classes)
        self._scratch = new_scratch(classes)
        self._strip = Strip(
            sums=np.empty((height_px, classes, line_length(width)), np.float32),
            total=np.zeros((height_px, width), np.float32),
            labels=np.empty((height_px, width), np.uint8),
            scores=np.empty((height_px, width), np.uint8),
        )
        self.row_off = 0

    def start_at(self, row_off: int) -> None:
        """Begin a strip at this row of the raster; only allowed while nothing is held."""
        self._strip.total[:] = 0
        self.row_off = row_off

    def add(
        self,
        window: Window,
        scores: NDArray[np.float32],
        *,
        logits: bool = False,
        alone: tuple[Span, Span] = ((0, 0), (0, 0)),
    ) -> None:
        """Add one tile at its place in the strip.

        Args:
            window: Place of the tile.
            scores: ``[h, w, K]``, at least as large as the tile; what lies beyond it at the
                bottom and on the right is left out.
            logits: Whether these are logits, of which the softmax is added.
            alone: Rows and columns of the tile, from start to before stop, on which no other
                tile lies: their labels are decided at once, without a sum. :meth:`take` does
                not give them.

        Raises:
            ValueError: If the tile lies outside the strip.
        """
        top = window.row_off - self.row_off
        height, width = self._strip.total.shape
        if top < 0 or top + window.height > height or window.col_off + window.width > width:
            raise ValueError(f"tile {window} is outside the strip at row {self.row_off}")
        place = Place(*(as_index(n) for n in (top, window.col_off, *alone[0], *alone[1])))
        values = np.ascontiguousarray(scores)
        add_tile(self._strip, values, logits, self._weights, place, self._rule, self._scratch)

    def take(self, row_stop: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Take out the rows from the strip's first row up to ``row_stop`` (exclusive).

        Returns:
            Weighted sums of scores float32 ``[h, width, K]`` and sums of weights ``[h, width]``.
        """
        height = row_stop - self.row_off
        total = self._strip.total[:height].copy()
        sums = self._strip.sums[:height, :, : total.shape[1]]
        sums = np.where((total > 0)[:, None], sums, np.float32(0))
        self._drop(height)
        return np.ascontiguousarray(np.moveaxis(sums, 1, 2)), total

    def flush(self, row_stop: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Take out finished rows as :meth:`take` does, as labels and scores of the rule.

        Returns:
            Labels uint8 ``[h, width]`` (255 where no tile was added) and scores uint8
            ``[h, width]`` (``round(254 * score)``, 255 where there is no label).
        """
        height = row_stop - self.row_off
        sums, total, labels, scores = self._strip
        rows = Strip(sums[:height], total[:height], labels[:height], scores[:height])
        found = _labels_of(rows, self._rule, self._scratch)
        self._drop(height)
        return found

    def _drop(self, height: int) -> None:
        """Move the rows below the first ones to the top and clear the rest."""
        keep = self._strip.total.shape[0] - height
        for array in self._strip:
            array[:keep] = array[height:]
        self._strip.total[keep:] = 0
        self.row_off += height
