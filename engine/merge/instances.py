"""Merging of instances from overlapping tiles: each object once, whole, wherever the seams lie.

Two tiles are compared only on the pixels that both have seen (their *shared window*); what lies
outside of it, one of them cannot know. Detections of one class are taken together like this:

1. A detection is *partial* if its box comes near a seam (an edge of its tile that is not an edge
   of the raster), or if one of another tile that agrees with it in the shared window goes on
   beyond its tile. All others are *whole*.
2. Of whole detections with a common part of at least half of their union, one stays: the one whose
   tile owns it (its centre lies in the tile's core), then the one with the higher score.
3. Partial detections of which half lies in a whole one that stays are dropped.
4. The other partial ones are joined across seams where they agree in the shared window (common
   part at least half of the union), or where most of the smaller one lies in the larger one and
   the smaller one is not just a nib. The joined object is the union, with the highest score.
5. A partial detection that found no counterpart is dropped if another tile owns it and has seen
   half of it or more: the better view knows nothing of it. So is one of which half lies in a
   larger joined object.

For a network without errors this gives back every connected object exactly, for any tiles that
overlap by at least one pixel: its pieces agree wherever they share a pixel, and pieces of
different objects share none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ..geo.mask_runs import MaskRuns, join_masks, no_masks, united
from .instances_pairs import meeting_boxes, pixels_in_windows, shared_pixels, suppress
from .instances_tiles import Detections, Instances, TileLayout, join_detections

__all__ = ["Detections", "InstanceMerger", "Instances", "TileLayout", "join_detections", "resolve"]

SAME_RATIO = 0.5
"""Common part of the union from which two detections are the same object."""
INSIDE_RATIO = 0.5
"""Part of a partial detection inside another one from which it is dropped."""
JOIN_RATIO = 0.75
"""Part of the smaller piece inside the larger one, in the shared window, that joins them."""
SEAM_RATIO = 0.2
"""Least size of the smaller piece relative to the larger one, in the shared window."""
RELATED_RATIO = 0.25
"""Part of the smaller piece from which two detections are looked at together."""
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Relations:
    """Pairs of detections that are looked at together.

    Attributes:
        pairs: Numbers of the two, ``int64[p, 2]``.
        shared: Their common pixels, those of the first in the tile of the second, and those of
            the second in the tile of the first, ``int64[p, 3]``.
    """

    pairs: Int64
    shared: Int64

    def among(self, chosen: Flags) -> Relations:
        """Return the pairs of chosen detections, numbered among these."""
        number = np.cumsum(chosen) - 1
        kept = chosen[self.pairs].all(axis=1)
        return Relations(number[self.pairs[kept]], self.shared[kept])

    def components(self, count: int) -> tuple[int, Int32]:
        """Return the number of connected groups of ``count`` detections and the group of each."""
        return _components(self.pairs, count)


def _components(pairs: Int64, count: int) -> tuple[int, Int32]:
    ones = np.ones(len(pairs), np.bool_)
    graph = coo_matrix((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    groups, group = connected_components(graph, directed=False)
    return int(groups), group


class InstanceMerger:
    """Takes the detections of one row of tiles after another and hands out finished objects.

    An object is finished when no later tile can see it or a detection that is related to it.
    Only unfinished ones are held, so memory does not grow with the height of the raster.

    Args:
        layout: Where the tiles lie.
    """

    def __init__(self, layout: TileLayout) -> None:
        self._layout = layout
        self._open = join_detections([])
        self._relations = Relations(np.zeros((0, 2), np.int64), np.zeros((0, 3), np.int64))
        self._rows = 0

    @property
    def open_bytes(self) -> int:
        """Memory of the masks that are held now."""
        return self._open.masks.nbytes

    def push(self, found: Detections) -> Instances:
        """Take the detections of the next row of tiles and return the objects that it finishes.

        Returns:
            Objects sorted by their first row, first column and class.

        Raises:
            ValueError: If a detection is of another row of tiles, or there are no more rows.
        """
        starts = self._layout.row_starts
        if self._rows >= len(starts) or (len(found) and (found.tile[:, 0] != self._rows).any()):
            raise ValueError(f"these are not the detections of row {self._rows} of {len(starts)}")
        self._rows += 1
        held = len(self._open)
        pool = join_detections([self._open, found])
        relations = _joined(self._relations, self._related(pool, held))
        below = finished_below(self._layout, self._rows)
        _, group = relations.components(len(pool))
        reach = np.zeros(len(pool), np.int32)
        np.maximum.at(reach, group, pool.masks.box[:, 2])
        closed = reach[group] <= below
        self._open = pool.take(np.flatnonzero(~closed))
        self._relations = relations.among(~closed)
        return resolve(pool.take(np.flatnonzero(closed)), relations.among(closed), self._layout)

    def _related(self, pool: Detections, held: int) -> Relations:
        """Return the relations of new detections, those from number ``held`` on."""
        pairs = _meeting(pool.masks.box, pool.class_id, held)
        shared = _shared(pool.masks, pairs, self._layout.windows(pool.tile))
        smaller = np.minimum(shared[:, 1], shared[:, 2])
        kept = (shared[:, 0] > 0) & (shared[:, 0] >= RELATED_RATIO * smaller)
        return Relations(pairs[kept], shared[kept])


def finished_below(layout: TileLayout, rows: int) -> int:
    """Return the row above which no tile sees a pixel, once so many rows of tiles are in."""
    starts = layout.row_starts
    return starts[rows] if rows < len(starts) else layout.shape_px[0]


def _joined(first: Relations, second: Relations) -> Relations:
    return Relations(
        np.concatenate([first.pairs, second.pairs]), np.concatenate([first.shared, second.shared])
    )


def _meeting(box: Int32, kind: Int32, first_new: int) -> Int64:
    """Return the pairs of boxes of one kind that meet, at least one of them new, sorted."""
    order = np.argsort(box[:, 1], kind="stable")
    room = 4 * len(box) + 64
    while True:
        pairs = np.empty((room, 2), np.int64)
        count = int(meeting_boxes(box, kind, order, first_new, pairs))
        if count <= room:
            break
        room = count
    pairs = pairs[:count]
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _shared(masks: MaskRuns, pairs: Int64, window: Int32) -> Int64:
    found = np.empty((len(pairs), 3), np.int64)
    shared_pixels(pairs, masks.box, masks.first_line, masks.first_run, masks.runs, window, found)
    return found


def resolve(found: Detections, relations: Relations, layout: TileLayout) -> Instances:
    """Return the objects behind detections of which all relations are known.

    Args:
        found: The detections.
        relations: All pairs that are related.
        layout: Where the tiles lie.

    Returns:
        Objects sorted by their first row, first column and class.
    """
    window = layout.windows(found.tile)
    owner = layout.owner(found.masks.box)
    owned = (owner == found.tile).all(axis=1)
    view = _Views(found, relations)
    partial = layout.near_seam(found.masks.box, window)
    partial |= view.leads_beyond()
    whole = view.without_doubles(_best_first(found, ~partial, owned), ~partial)
    pieces = partial & ~view.inside(whole)
    groups, group = view.joined(pieces)
    lone = np.bincount(group, minlength=groups)[group] == 1
    seen = np.zeros(len(found), np.int64)
    masks = found.masks
    pixels_in_windows(
        masks.box, masks.first_line, masks.first_run, masks.runs, layout.windows(owner), seen
    )
    better_seen = ~owned & (seen >= INSIDE_RATIO * view.area_px)
    pieces &= ~(lone & better_seen)
    return _finished(found, whole, pieces, group, relations.components(len(found))[1])


class _Views:
    """What pairs of detections say about each other."""

    def __init__(self, found: Detections, relations: Relations) -> None:
        self.area_px = found.masks.area_px
        self._found = found
        self._first, self._second = relations.pairs[:, 0], relations.pairs[:, 1]
        self._common, self._seen_first, self._seen_second = relations.shared.T
        union = self._seen_first + self._seen_second - self._common
        self._agree = self._common >= SAME_RATIO * union
        tile = found.tile
        self._foreign = (tile[self._first] != tile[self._second]).any(axis=1)

    def leads_beyond(self) -> Flags:
        """Return which detections agree with one that goes on beyond their tile."""
        flags = np.zeros(len(self._found), np.bool_)
        seen_by_both = self._agree & self._foreign
        flags[self._first[seen_by_both & (self._seen_second < self.area_px[self._second])]] = True
        flags[self._second[seen_by_both & (self._seen_first < self.area_px[self._first])]] = True
        return flags

    def without_doubles(self, order: Int64, chosen: Flags) -> Flags:
        """Return the chosen detections that agree with no better one, the best being first."""
        used = self._agree & chosen[self._first] & chosen[self._second]
        a, b = self._first[used], self._second[used]
        return _suppressed(order, np.concatenate([a, b]), np.concatenate([b, a]), len(chosen))

    def inside(self, whole: Flags) -> Flags:
        """Return which detections lie with half of their pixels in one of the whole ones."""
        flags = np.zeros(len(self._found), np.bool_)
        for one, other in ((self._first, self._second), (self._second, self._first)):
            most = self._common >= INSIDE_RATIO * self.area_px[other]
            flags[other[most & whole[one]]] = True
        return flags

    def joined(self, pieces: Flags) -> tuple[int, Int32]:
        """Return the number of groups of pieces across seams, and the group of each detection."""
        smaller = np.minimum(self._seen_first, self._seen_second)
        larger = np.maximum(self._seen_first, self._seen_second)
        mostly = (self._common >= JOIN_RATIO * smaller) & (smaller >= SEAM_RATIO * larger)
        used = self._foreign & (self._agree | mostly) & pieces[self._first] & pieces[self._second]
        pairs = np.column_stack([self._first[used], self._second[used]])
        return _components(pairs, len(self._found))


def _best_first(found: Detections, chosen: Flags, owned: Flags) -> Int64:
    """Return the chosen detections: owned ones first, then those with high scores."""
    index = np.flatnonzero(chosen)
    box, tile = found.masks.box[index], found.tile[index]
    keys = (tile[:, 1], tile[:, 0], box[:, 1], box[:, 0], -found.score[index], ~owned[index])
    order: Int64 = index[np.lexsort(keys)]
    return order


def _suppressed(order: Int64, item: Int64, other: Int64, count: int) -> Flags:
    """Keep items in order unless one that is kept removes them; ``item`` removes ``other``."""
    sorting = np.argsort(item, kind="stable")
    first_edge = np.searchsorted(item[sorting], np.arange(count + 1)).astype(np.int64)
    kept: Flags = suppress(order.astype(np.int64), first_edge, other[sorting].astype(np.int64))
    return kept


def _finished(
    found: Detections, whole: Flags, pieces: Flags, group: Int32, component: Int32
) -> Instances:
    """Return whole detections and united pieces, without what lies in a larger union."""
    chosen, parts = np.flatnonzero(whole), np.flatnonzero(pieces)
    _, first, joined, counts = np.unique(
        group[parts], return_index=True, return_inverse=True, return_counts=True
    )
    score = np.zeros(len(first), np.float32)
    np.maximum.at(score, joined, found.score[parts])
    leaders = np.concatenate([chosen, parts[first]])
    objects = Instances(
        join_masks([found.masks.take(chosen), _unions(found.masks, parts, joined, counts)]),
        found.class_id[leaders],
        np.concatenate([found.score[chosen], score]),
        np.concatenate([np.ones(len(chosen), np.int32), counts.astype(np.int32)]),
    )
    kept = _without_nested(objects, component[leaders], len(chosen))
    box = objects.masks.box
    order = np.flatnonzero(kept)
    order = order[np.lexsort((objects.class_id[order], box[order, 1], box[order, 0]))]
    return replace(
        objects,
        masks=objects.masks.take(order),
        class_id=objects.class_id[order],
        score=objects.score[order],
        pieces=objects.pieces[order],
    )


def _unions(masks: MaskRuns, parts: Int64, group: Int64, counts: Int64) -> MaskRuns:
    return united(masks.take(parts), group, len(counts)) if len(parts) else no_masks()


def _without_nested(objects: Instances, component: Int32, whole: int) -> Flags:
    """Return which objects stay; of the first ``whole`` ones all do, the others are unions."""
    count, area_px = len(objects), objects.masks.area_px
    pairs = _meeting(objects.masks.box, component, whole)
    common = _shared(objects.masks, pairs, objects.masks.box)[:, 0]
    first, second = pairs[:, 0], pairs[:, 1]
    removes = [
        (one[nested], other[nested])
        for one, other in ((first, second), (second, first))
        for nested in [(common >= INSIDE_RATIO * area_px[other]) & (other >= whole)]
    ]
    item, other = (np.concatenate(ends) for ends in zip(*removes, strict=True))
    box, unions = objects.masks.box[whole:], np.arange(whole, count)
    best_first = np.lexsort((box[:, 1], box[:, 0], -objects.score[whole:], -area_px[whole:]))
    return _suppressed(np.concatenate([np.arange(whole), unions[best_first]]), item, other, count)
