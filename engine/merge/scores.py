"""Merging of overlapping semantic tiles: a weighted mean in a strip of rows, flushed downwards.

Every pixel's score is the mean of all tiles that cover it, weighted by a smooth window that is
high in the middle of a tile and low at its edge. The sum of weights is carried along, so the
outer edges of the raster and the places beside skipped tiles lose nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geo.windows import Window

NODATA_LABEL = 255
SCORE_SCALE = 254


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

    def labels(self, scores: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return the label of each pixel and the score of that label.

        Args:
            scores: float32 ``[K, h, w]`` in [0, 1].

        Returns:
            Labels uint8 ``[h, w]`` and scores float32 ``[h, w]``.
        """
        best, value = _best(scores, range(len(scores)))
        if self.threshold <= 0:
            return best, value
        foreground = [k for k in range(len(scores)) if k not in self.background]
        if not foreground:
            return best, value
        front, front_value = _best(scores, foreground)
        wins = front_value >= np.float32(self.threshold)
        if not self.background:
            return np.where(wins, front, np.uint8(NODATA_LABEL)), front_value
        back, back_value = _best(scores, self.background)
        return np.where(wins, front, back), np.where(wins, front_value, back_value)


def _best(
    scores: NDArray[np.float32], classes: Sequence[int] | range
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the class with the highest score and that score; the first wins a tie."""
    label = np.full(scores.shape[1:], classes[0], np.uint8)
    value = scores[classes[0]].copy()
    for k in classes[1:]:
        higher = scores[k] > value
        label[higher] = k
        np.maximum(value, scores[k], out=value)
    return label, value


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
    """

    def __init__(self, classes: int, width: int, tile_px: tuple[int, int], overlap_px: int) -> None:
        height_px, width_px = tile_px
        self._weights = np.outer(
            blend_weights(height_px, overlap_px), blend_weights(width_px, overlap_px)
        ).astype(np.float32)
        self._sums = np.zeros((classes, height_px, width), np.float32)
        self._total = np.zeros((height_px, width), np.float32)
        self.row_off = 0

    def start_at(self, row_off: int) -> None:
        """Begin a strip at this row of the raster; only allowed while nothing is held."""
        self._sums[:] = 0
        self._total[:] = 0
        self.row_off = row_off

    def add(self, window: Window, scores: NDArray[np.float32]) -> None:
        """Add the scores ``[K, height, width]`` of one tile at its place in the strip.

        Raises:
            ValueError: If the tile lies outside the strip.
        """
        top = window.row_off - self.row_off
        rows = slice(top, top + window.height)
        columns = slice(window.col_off, window.col_off + window.width)
        if top < 0 or rows.stop > self._total.shape[0] or columns.stop > self._total.shape[1]:
            raise ValueError(f"tile {window} is outside the strip at row {self.row_off}")
        self._sums[:, rows, columns] += scores * self._weights
        self._total[rows, columns] += self._weights

    def flush(self, row_stop: int, rule: LabelRule) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Take out the rows from the strip's first row up to ``row_stop`` (exclusive).

        Returns:
            Labels uint8 ``[h, width]`` (255 where no tile was added) and scores uint8
            ``[h, width]`` (``round(254 * score)``, 255 where there is no label).
        """
        height = row_stop - self.row_off
        labels = np.full((height, self._total.shape[1]), NODATA_LABEL, np.uint8)
        scores = np.full(labels.shape, NODATA_LABEL, np.uint8)
        for row in range(0, height, 64):
            block = slice(row, min(height, row + 64))
            self._finish(block, rule, labels, scores)
        self._shift(height)
        self.row_off = row_stop
        return labels, scores

    def _finish(
        self,
        rows: slice,
        rule: LabelRule,
        labels: NDArray[np.uint8],
        scores: NDArray[np.uint8],
    ) -> None:
        total = self._total[rows]
        hit = total > 0
        if not hit.any():
            return
        mean = np.divide(
            self._sums[:, rows], np.maximum(total, np.float32(1e-12)), dtype=np.float32
        )
        label, value = rule.labels(mean)
        quantised = np.rint(np.clip(value, 0, 1) * SCORE_SCALE).astype(np.uint8)
        known = hit & (label != NODATA_LABEL)
        labels[rows] = np.where(known, label, np.uint8(NODATA_LABEL))
        scores[rows] = np.where(known, quantised, np.uint8(NODATA_LABEL))

    def _shift(self, height: int) -> None:
        """Move the rows that stay to the top and clear the rest."""
        keep = self._total.shape[0] - height
        for array in (*self._sums, self._total):
            array[:keep] = array[height:].copy()
            array[keep:] = 0
