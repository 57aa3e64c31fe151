"""The streaming polygoniser: rows of labels in, finished regions out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..geo.jit import kernel
from .outline import trace_line
from .regions import encode_row, find, join_regions
from .rings import close_rings
from .state import CHECKED_VOID, NONE, OUTSIDE, VOID, State, grown, new_state
from .vertices import free_vertex

PIECE_PX = 1 << 22
"""Most pixels that are traced before finished regions are collected."""


@dataclass(frozen=True)
class Regions:
    """Finished regions, their rings one after another, in grid coordinates.

    Attributes:
        xy: Vertices ``int32[v, 2]`` as (column, row) of corners; rings are closed, their last
            vertex repeats the first.
        kinds: Kind of each vertex, ``uint8[v]``, see :mod:`.state`.
        ring_offsets: Start of each ring in ``xy`` and the end of the last, ``int64[r + 1]``.
        region_offsets: Start of each region among the rings, its shell first, ``int64[n + 1]``.
        label: Class of each region, ``int32[n]``.
        shared: Whether it has an edge in common with another traced region, ``bool[n]``.
        pixels: Number of its pixels, ``int64[n]``.
        scored: Number of its pixels with a score, ``int64[n]``.
        score_sum: Sum of their scores in 1/254, ``int64[n]``.
    """

    xy: NDArray[np.int32]
    kinds: NDArray[np.uint8]
    ring_offsets: NDArray[np.int64]
    region_offsets: NDArray[np.int64]
    label: NDArray[np.int32]
    shared: NDArray[np.bool_]
    pixels: NDArray[np.int64]
    scored: NDArray[np.int64]
    score_sum: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.label)

    def with_vertices(self, kept: NDArray[np.bool_]) -> Regions:
        """Return the regions with some of their vertices, ring ends among them."""
        offsets = np.concatenate([[0], np.cumsum(kept)])[self.ring_offsets]
        return replace(self, xy=self.xy[kept], kinds=self.kinds[kept], ring_offsets=offsets)

    def part(self, start: int, stop: int) -> Regions:
        """Return the regions from ``start`` to before ``stop``."""
        rings = self.region_offsets[start : stop + 1]
        vertices = self.ring_offsets[rings[0] : rings[-1] + 1]
        rows = slice(vertices[0], vertices[-1])
        chosen = slice(start, stop)
        return Regions(
            self.xy[rows],
            self.kinds[rows],
            vertices - vertices[0],
            rings - rings[0],
            self.label[chosen],
            self.shared[chosen],
            self.pixels[chosen],
            self.scored[chosen],
            self.score_sum[chosen],
        )


@dataclass(frozen=True)
class Simplification:
    """How outlines are simplified.

    Attributes:
        tolerance: Largest distance of a removed vertex, 0 keeps all.
        steps: Size of a pixel in x and y, in the unit of the tolerance.
        arcs: Sorted keys of arcs that are simplified less, int64; None for none.
        levels: How much less, from 1 to ``MAX_LEVEL``, see :mod:`.simplify`, uint8.
        mark_only: Whether removed vertices stay in the rings, and the others get the mark
            ``KEPT``.
    """

    tolerance: float = 0.0
    steps: tuple[float, float] = (1.0, 1.0)
    arcs: NDArray[np.int64] | None = None
    levels: NDArray[np.uint8] | None = None
    mark_only: bool = False


class Polygonizer:
    """Turns rows of labels into 4-connected regions with their rings.

    The rows come from the top in pieces of any height; a region is handed out as soon as its
    last pixel is known. Between pieces only open outlines are kept, and rings and sums of
    regions that are not finished.

    Args:
        height: Rows of the raster.
        width: Columns of the raster.
        class_ids: Labels that become regions, in 0..254.
        simplification: How outlines are simplified.
        check_void: Whether all other pixels become regions too, with the label 255.
    """

    def __init__(
        self,
        height: int,
        width: int,
        class_ids: Collection[int],
        simplification: Simplification | None = None,
        *,
        check_void: bool = False,
    ) -> None:
        how = simplification or Simplification()
        self._state = new_state(height, width, how.arcs, how.levels)
        counts = self._state.counts[0]
        counts["tolerance2"], counts["mark_only"] = how.tolerance**2, how.mark_only
        counts["x_step"], counts["y_step"] = how.steps
        self._class_of = np.full(256, CHECKED_VOID if check_void else VOID, np.int32)
        for class_id in class_ids:
            if not 0 <= class_id < CHECKED_VOID:
                raise ValueError(f"class id {class_id} is not in 0..254")
            self._class_of[class_id] = class_id
        self._height, self._width = height, width

    @property
    def row(self) -> int:
        """The number of rows that came in so far."""
        return int(self._state.counts["row"][0])

    @property
    def open_vertices(self) -> int:
        """Vertices that are held now: open outlines and rings of unfinished regions."""
        return int(self._state.counts["open_vertices"][0])

    @property
    def state_bytes(self) -> int:
        """Memory of the state, which does not shrink."""
        return sum(pool.nbytes for pool in self._state)

    def push(self, labels: NDArray[np.uint8], scores: NDArray[np.uint8]) -> Regions:
        """Take the next rows and return the regions that are finished by them.

        Args:
            labels: ``[h, width]``.
            scores: ``[h, width]``, 255 where there is none.

        Returns:
            Regions in the order of their ends.

        Raises:
            ValueError: If the shape is wrong or there are too many rows.
        """
        rows = len(labels)
        if labels.shape != (rows, self._width) or scores.shape != labels.shape:
            raise ValueError(
                f"labels {labels.shape}, scores {scores.shape}, not {self._width} wide"
            )
        if self.row + rows > self._height:
            raise ValueError(f"row {self.row + rows} is below the last row {self._height}")
        labels = np.require(labels, np.uint8, ["C", "W"])
        scores = np.require(scores, np.uint8, ["C", "W"])
        done = 0
        while done < rows:
            self._state = grown(self._state)
            done += int(trace_rows(self._state, labels[done:], scores[done:], self._class_of))
        if self.row == self._height:
            self._state = grown(self._state)
            trace_end(self._state)
        return self._collect()

    def _collect(self) -> Regions:
        counts = self._state.counts[0]
        regions, rings = int(counts["finished_regions"]), int(counts["finished_rings"])
        vertices = int(counts["finished_vertices"]) + rings
        found = Regions(
            np.empty((vertices, 2), np.int32),
            np.empty(vertices, np.uint8),
            np.zeros(rings + 1, np.int64),
            np.zeros(regions + 1, np.int64),
            np.empty(regions, np.int32),
            np.empty(regions, np.bool_),
            *np.empty((3, regions), np.int64),
        )
        if regions:
            sums = (found.pixels, found.scored, found.score_sum)
            collect_rings(
                self._state, found.xy, found.kinds, found.ring_offsets, found.region_offsets
            )
            collect_sums(self._state, found.label, found.shared, *sums)
        compact_regions(self._state, np.full(int(counts["regions"]), NONE, np.int32))
        return found


@kernel
def trace_rows(
    state: State,
    labels: NDArray[np.uint8],
    scores: NDArray[np.uint8],
    class_of: NDArray[np.int32],
) -> int:
    """Take in rows until there may be no room for one more; return how many."""
    counts = state.counts[0]
    need = 4 * (counts.width + 1)
    for i in range(len(labels)):
        if len(state.vertices) - counts.open_vertices < need:
            return i
        if len(state.regions) - counts.regions < counts.width:
            return i
        above = state.runs[counts.row % 2]
        here = state.runs[(counts.row + 1) % 2]
        count = encode_row(labels[i], class_of, here)
        join_regions(state, above, here, count, scores[i])
        trace_line(state, above, here, counts.row)
        close_rings(state)
        counts.row += 1
        counts.runs_above = count
    return len(labels)


@kernel
def trace_end(state: State) -> None:
    """Close everything along the lower side of the raster."""
    counts = state.counts[0]
    above = state.runs[counts.row % 2]
    here = state.runs[(counts.row + 1) % 2]
    here[0].start, here[0].label, here[0].region = -1, OUTSIDE, NONE
    here[1].start = counts.width + 1
    trace_line(state, above, here, counts.row)
    close_rings(state)


@kernel
def collect_rings(
    state: State,
    xy: NDArray[np.int32],
    kinds: NDArray[np.uint8],
    ring_offsets: NDArray[np.int64],
    region_offsets: NDArray[np.int64],
) -> None:
    """Move the rings of the finished regions into arrays and free their vertices."""
    region = state.counts[0].first_finished
    i = ring_index = region_index = 0
    while region != NONE:
        ring = state.regions[region].first_ring
        while ring != NONE:
            after = state.vertices[ring].twin
            node, begin = ring, i
            for _ in range(state.vertices[ring].mate):
                vertex = state.vertices[node]
                xy[i, 0], xy[i, 1], kinds[i] = vertex.x, vertex.y, vertex.kind
                i += 1
                following = vertex.next
                free_vertex(state, node)
                node = following
            xy[i, 0], xy[i, 1], kinds[i] = xy[begin, 0], xy[begin, 1], 0
            i += 1
            ring_index += 1
            ring_offsets[ring_index] = i
            ring = after
        region_index += 1
        region_offsets[region_index] = ring_index
        region = state.regions[region].next_finished


@kernel
def collect_sums(
    state: State,
    label: NDArray[np.int32],
    shared: NDArray[np.bool_],
    pixels: NDArray[np.int64],
    scored: NDArray[np.int64],
    score_sum: NDArray[np.int64],
) -> None:
    """Copy the sums of the finished regions and empty the list."""
    counts = state.counts[0]
    index, i = counts.first_finished, 0
    while index != NONE:
        region = state.regions[index]
        label[i], shared[i] = region.label, region.shared
        pixels[i] = region.pixels
        scored[i], score_sum[i] = region.scored, region.score_sum
        index = region.next_finished
        i += 1
    counts.first_finished = counts.last_finished = NONE
    counts.finished_regions = counts.finished_rings = counts.finished_vertices = 0


@kernel
def compact_regions(state: State, new_index: NDArray[np.int32]) -> None:
    """Number the regions of the last row anew, in place; all others are finished.

    Args:
        state: The state.
        new_index: One ``NONE`` for each region.
    """
    counts = state.counts[0]
    runs = state.runs[counts.row % 2]
    for k in range(counts.runs_above):
        if runs[k].region != NONE:
            runs[k].region = find(state.regions, runs[k].region)
            new_index[runs[k].region] = 0
    count = 0
    for index in range(len(new_index)):
        if new_index[index] != NONE:
            state.regions[count] = state.regions[index]
            state.regions[count].parent = count
            new_index[index] = count
            count += 1
    for k in range(counts.runs_above):
        if runs[k].region != NONE:
            runs[k].region = new_index[runs[k].region]
    counts.regions = count
