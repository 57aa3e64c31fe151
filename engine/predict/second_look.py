"""The second look of C2FNet on a whole raster: at the windows of the merged first result.

The first look runs through the tile loop as any network does. Rows whose merged scores are final
are held back until the windows on them are complete. Windows lie on one grid for the whole
raster, and which of them hold small objects is asked of the merged result, so that neither tile
size nor seams nor panels decide what is looked at twice (a second look tile by tile depends on
all three). Held are at most a tile's and a window's rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import JobCancelled
from ..geo.normalize import gains_and_shifts, normalize_tile
from ..geo.windows import Window
from ..merge.scores import ScoreAccumulator
from ..models.blocks.second_look import Look, aggregate, window_starts
from ..models.c2fnet import C2FNet
from ..zoo.card import ModelCard
from .backend import Backend
from .bands import RowSource, TileRow
from .plan import Panel, Span, TilePlan
from .semantic import SemanticPredictor
from .strips import PanelStrip, TileCounts, TileLoop

BUILDERS = ("c2fnet", "c2fnet_w18", "c2fnet_w48")


def card_look(card: ModelCard) -> Look | None:
    """Return the second look of a card's network; None if it looks once only.

    Raises:
        ModelError: If it wants some windows of an image only (``infer_top_n``).
    """
    if card.builder not in BUILDERS or card.builder_args.get("stage") == "coarse":
        return None
    look = Look(**(card.builder_args.get("look") or {}))
    look.check_whole()
    return look


class FirstLook(nn.Module):
    """The coarse network of C2FNet alone."""

    def __init__(self, network: C2FNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[N, K, H, W]``."""
        return self.network.first_look(images)


class FineLook(nn.Module):
    """The fine network of C2FNet on windows."""

    def __init__(self, network: C2FNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, patches: Tensor) -> Tensor:
        """Return logits ``[M, 2, k, k]``: something else, small object."""
        return self.network.fine_look(patches)


@dataclass(frozen=True)
class LookGrid:
    """The windows of a raster: all pairs of row and column starts.

    Attributes:
        patch_px: Height and width of a window, at most the raster's.
        input_px: Side of what the fine network sees.
        rows: First rows, ascending.
        cols: First columns, ascending.
    """

    patch_px: tuple[int, int]
    input_px: int
    rows: tuple[int, ...]
    cols: tuple[int, ...]

    @classmethod
    def of(cls, plan: TilePlan, look: Look) -> LookGrid:
        """Return the windows of the raster of a plan; the last ones are moved to its border."""
        stride_px = look.infer_stride_px or look.patch_px
        patch = (min(look.patch_px, plan.height), min(look.patch_px, plan.width))
        rows = window_starts(plan.height, patch[0], stride_px)
        cols = window_starts(plan.width, patch[1], stride_px)
        return cls(patch, look.patch_px, tuple(rows), tuple(cols))

    def first_window_row(self, row_px: int) -> int:
        """Return the number of the first row of windows that reaches this row of pixels."""
        return next(i for i, start in enumerate(self.rows) if start + self.patch_px[0] > row_px)

    def start_row(self, plan: TilePlan, first_row: int) -> int:
        """Return the row of tiles to begin with, so that strip ``first_row`` is as always."""
        wanted_px = self.rows[self.first_window_row(plan.row_starts[first_row])]
        strip = max(i for i, start in enumerate(plan.row_starts) if start <= wanted_px)
        return plan.first_row_for(min(strip, first_row))


@dataclass
class HeldRows:
    """Rows of one panel that wait for their windows; all arrays begin at row ``row_off``.

    ``sums [h, w, K]`` and ``total [h, w]`` are those of the accumulator; ``small [h, w]`` is the
    summed probability of a small object and ``hits [h, w]`` the number of windows; ``pixels``
    and ``valid`` are the raster's.
    """

    row_off: int
    next_window: int
    next_strip: int
    parts: dict[str, NDArray[Any]] = field(default_factory=dict)

    def append(self, **parts: NDArray[Any]) -> None:
        """Add rows at the bottom; ``pixels`` has its rows on axis 1, the others on axis 0."""
        for name, part in parts.items():
            held = self.parts.get(name)
            joined = part if held is None else np.concatenate([held, part], axis=_row_axis(name))
            self.parts[name] = joined

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Return a view of some rows of the raster."""
        span = slice(start - self.row_off, stop - self.row_off)
        part = self.parts[name]
        return part[:, span] if _row_axis(name) else part[span]

    def drop_above(self, row_px: int) -> None:
        """Forget all rows above this one."""
        stop = self.row_stop
        for name in self.parts:
            self.parts[name] = self.rows(name, row_px, stop).copy()
        self.row_off = row_px

    @property
    def row_stop(self) -> int:
        """Row after the last one that is held."""
        return self.row_off + (len(self.parts["total"]) if self.parts else 0)


def _row_axis(name: str) -> int:
    return 1 if name == "pixels" else 0


@dataclass(frozen=True, kw_only=True)
class LookLoop(TileLoop):
    """A tile loop that looks twice.

    Attributes:
        look: Of the network.
        small: Ids of the classes of small objects.
        fine: Scores or logits ``[k, k, 2]`` of each of the windows ``[n, k, k, C]``.
        fine_logits: Whether ``fine`` returns logits.
        fine_batch: Windows per call of ``fine``.
        held: Rows of the panel at hand; made by :meth:`run_panel`.
    """

    look: Look
    small: tuple[int, ...]
    fine: SemanticPredictor
    fine_logits: bool
    fine_batch: int
    held: HeldRows | None = None

    @property
    def grid(self) -> LookGrid:
        """The windows of the raster."""
        return LookGrid.of(self.plan, self.look)

    def start_row(self, first_row: int) -> int:
        """Return the row of tiles to begin with, so that ``first_row`` comes out as always."""
        return self.grid.start_row(self.plan, first_row)

    def run_panel(
        self, source: RowSource, panel: Panel, first_row: int, counts: TileCounts
    ) -> Iterator[PanelStrip]:
        """Yield the strips of a panel, see :meth:`TileLoop.run_panel`."""
        start = self.start_row(first_row)
        window = self.grid.first_window_row(self.plan.row_starts[first_row])
        held = HeldRows(self.plan.row_starts[start], window, start)
        yield from TileLoop.run_panel(replace(self, held=held), source, panel, first_row, counts)

    @property
    def finishes_beside(self) -> bool:
        """Whether :meth:`finish` may run beside the network: no, it runs one itself."""
        return False

    def alone(self, panel: Panel, row_index: int) -> list[tuple[Span, Span]]:
        """Return no part of any tile: all labels wait for the second look."""
        return [((0, 0), (0, 0))] * len(panel.tile_starts)

    def finish(self, panel: Panel, row: TileRow, merged: ScoreAccumulator) -> list[PanelStrip]:
        """Look at the windows that are complete; return the strips that no window waits for."""
        if self.held is None:
            raise ValueError("rows are held in run_panel only")
        held, grid = self.held, self.grid
        start, stop = self.plan.strip_rows(row.index)
        sums, total = merged.take(stop)
        none = np.zeros(total.shape, np.float32)
        height = stop - start
        held.append(
            sums=sums,
            total=total,
            small=none,
            hits=none.copy(),
            pixels=row.pixels[:, :height],
            valid=row.valid[:height],
        )
        while held.next_window < len(grid.rows):
            top = grid.rows[held.next_window]
            if top + grid.patch_px[0] > stop:
                break
            self._look(panel, held, top)
            held.next_window += 1
        more = held.next_window < len(grid.rows)
        final = min(stop, grid.rows[held.next_window]) if more else stop
        return list(self._strips(panel, held, final))

    def _strips(self, panel: Panel, held: HeldRows, final: int) -> Iterator[PanelStrip]:
        """Yield the strips above row ``final`` and let go of their rows."""
        while held.next_strip < len(self.plan.row_starts):
            start, stop = self.plan.strip_rows(held.next_strip)
            if stop > final:
                return
            names = ("sums", "total", "small", "hits")
            sums, total, small, hits = (held.rows(name, start, stop) for name in names)
            self._merge(sums, total, small, hits)
            labels = self.rule.labels(np.ascontiguousarray(sums), np.ascontiguousarray(total))
            yield self._strip(panel, held.next_strip, labels, held.rows("valid", start, stop))
            held.next_strip += 1
            held.drop_above(stop)

    def _look(self, panel: Panel, held: HeldRows, top: int) -> None:
        """Send the windows of one row that hold small objects through the fine network."""
        height, width = self.grid.patch_px
        sums, valid = held.rows("sums", top, top + height), held.rows("valid", top, top + height)
        seen = np.isin(sums.argmax(axis=2), self.small) & valid
        seen &= held.rows("total", top, top + height) > 0
        columns = seen.any(axis=0)
        lefts = [
            col - panel.read_start
            for col in self.grid.cols
            if col + width > panel.col_start and col < panel.col_stop
        ]
        chosen = [left for left in lefts if columns[left : left + width].any()]
        pixels = held.rows("pixels", top, top + height)
        for first in range(0, len(chosen), self.fine_batch):
            if self.cancelled():
                raise JobCancelled
            part = chosen[first : first + self.fine_batch]
            found = self._small_probability(pixels, valid, part)
            for left, small in zip(part, found, strict=True):
                place = (slice(None), slice(left, left + width))
                held.rows("small", top, top + height)[place] += small[:height, :width]
                held.rows("hits", top, top + height)[place] += 1

    def _small_probability(
        self, pixels: NDArray[Any], valid: NDArray[np.bool_], lefts: Sequence[int]
    ) -> NDArray[np.float32]:
        """Return the probability of a small object in windows, ``[n, k, k]``."""
        side = self.grid.input_px
        gains = gains_and_shifts(self.bands)
        tiles = np.empty((len(lefts), side, side, len(self.bands)), np.float32)
        for tile, left in zip(tiles, lefts, strict=True):
            normalize_tile(tile, (pixels, valid), Window(0, left, *self.grid.patch_px), gains)
        scores = torch.from_numpy(np.stack(self.fine(tiles)))
        if self.fine_logits:
            scores = scores.softmax(dim=-1)
        small: NDArray[np.float32] = scores[..., 1].numpy()
        return small

    def _merge(
        self,
        sums: NDArray[np.float32],
        total: NDArray[np.float32],
        small: NDArray[np.float32],
        hits: NDArray[np.float32],
    ) -> None:
        """Put what both looks say together into ``sums`` and ``total``, in place."""
        twice = (hits > 0) & (total > 0)
        if not twice.any():
            return
        first = torch.from_numpy(sums[twice] / total[twice][:, None])
        chance = torch.from_numpy(small[twice] / hits[twice])
        members = torch.zeros(first.shape[1], dtype=torch.bool)
        members[list(self.small)] = True
        logits = aggregate(
            first.clamp(min=1e-30).log().T[None, :, None],
            chance[None, None],
            members,
            mode=self.look.mode,
            normalisation=self.look.normalisation,
        )
        sums[twice] = logits.softmax(dim=1)[0, :, 0].T.numpy()
        total[twice] = 1


def start_row(card: ModelCard, plan: TilePlan, first_row: int) -> int:
    """Return the row of tiles to begin with so that strip ``first_row`` comes out as always."""
    look = card_look(card)
    if look is None:
        return plan.first_row_for(first_row)
    return LookGrid.of(plan, look).start_row(plan, first_row)


def first_look(network: nn.Module) -> nn.Module:
    """Return what runs on tiles: of a C2FNet its coarse network, any other network itself."""
    return FirstLook(network) if _looks_twice(network) else network


def _looks_twice(network: nn.Module) -> TypeGuard[C2FNet]:
    return isinstance(network, C2FNet) and network.stage != "coarse"


def look_twice(
    loop: TileLoop, network: nn.Module, backend: Backend, *, key: str = "", tta: bool = False
) -> TileLoop:
    """Return the loop that runs a network on a raster: the given one, unless it looks twice.

    Args:
        loop: Tile loop whose predictor is made of :func:`first_look`.
        network: Any semantic network.
        backend: Device, precision and tiles per batch.
        key: Identifies weights and structure, see ``semantic.model_key``.
        tta: Whether the fine network sees all four flips, too.

    Raises:
        ModelError: If the network wants some windows of an image only (``infer_top_n``).
    """
    if not _looks_twice(network):
        return loop
    look = network.look
    look.check_whole()
    tile_area = loop.plan.input_px[0] * loop.plan.input_px[1]
    batch = max(1, backend.batch * tile_area // (look.patch_px * look.zoom) ** 2)
    fine = SemanticPredictor(FineLook(network), replace(backend, batch=batch), key=key, tta=tta)
    return LookLoop(
        plan=loop.plan,
        bands=loop.bands,
        classes=loop.classes,
        rule=loop.rule,
        predict=loop.predict,
        logits=loop.logits,
        batch=loop.batch,
        cancelled=loop.cancelled,
        on_tiles=loop.on_tiles,
        look=look,
        small=tuple(network.small.nonzero().flatten().tolist()),
        fine=fine,
        fine_logits=fine.gives_logits,
        fine_batch=batch,
    )
