"""Plan of the chips of labelled rasters: which ground goes to which part, and where chips lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ..errors import LabelError
from ..geo.windows import Window
from ..jobs.chips import DEFAULT_TILE_PX, ChipsJob
from .chip_folder import IGNORE_INDEX, SPLITS, Chip
from .ground_blocks import (
    LEAST_SIDE_PX,
    automatic_block_px,
    block_grid,
    chip_windows,
    keep_distance,
    whole_tiles,
)
from .leak import PlacedChip, on_foreign_ground, same_ground
from .scenes import Scene
from .stratify import share_out

ValidShare = Callable[[int, Window], float]


@dataclass(frozen=True)
class ScenePlan:
    """Chips of all scenes in their final order, and how the ground was shared out.

    Attributes:
        chips: The chips, without counts.
        tile_px: Largest side of a chip.
        block_m: Side of a block in metres, 0 if whole rasters were shared out.
        dropped: Chips left out because another raster shows their ground in another part.
    """

    chips: list[Chip]
    tile_px: int
    block_m: float
    dropped: int


@dataclass(frozen=True)
class _Block:
    """A block of ground of one scene."""

    scene: int
    window: Window


def plan_scenes(scenes: Sequence[Scene], job: ChipsJob, valid_share: ValidShare) -> ScenePlan:
    """Share out the ground of all scenes and place the chips.

    Args:
        scenes: The scenes.
        job: How to share out and cut.
        valid_share: Returns the share of pixels with data in a window of a scene.

    Raises:
        LabelError: If no labelled ground is left for a chip.
    """
    tile_px = job.tile_px or DEFAULT_TILE_PX
    blocks, block_m = _blocks(scenes, job, tile_px)
    amounts, sizes = _amounts(scenes, blocks, job)
    used = sizes > 0
    blocks = [block for block, is_used in zip(blocks, used, strict=True) if is_used]
    amounts, sizes = amounts[used], sizes[used]
    if not blocks:
        raise LabelError(
            "there is no labelled ground on the raster",
            "draw the labelled area over the labels, or leave it out",
        )
    shares = [valid_share(block.scene, block.window) for block in blocks]
    ground = same_ground([s.grid for s in scenes], [(b.scene, b.window) for b in blocks])
    sums = np.zeros((ground.max() + 1, amounts.shape[1] + 1))
    np.add.at(sums, ground, np.column_stack([amounts, sizes * np.array(shares)]))
    parts = share_out(sums[:, :-1], job.split, seed=job.seed, sizes=sums[:, -1])[ground]
    chips = []
    for index, scene in enumerate(scenes):
        own = [i for i, block in enumerate(blocks) if block.scene == index]
        regions = _regions(scene, [blocks[i].window for i in own], parts[own], job)
        for region, part in regions:
            chips += _region_chips(scene, index, region, SPLITS[part], (tile_px, job))
    chips.sort(key=lambda chip: (chip.source, chip.row_off, chip.col_off))
    placed = [PlacedChip(c.source, _window(c), c.split) for c in chips]
    drop = on_foreign_ground([scene.grid for scene in scenes], placed)
    kept = [chip for i, chip in enumerate(chips) if i not in drop]
    return ScenePlan(kept, tile_px, block_m, len(drop))


def _window(chip: Chip) -> Window:
    return Window(chip.row_off, chip.col_off, chip.height_px, chip.width_px)


def _blocks(scenes: Sequence[Scene], job: ChipsJob, tile_px: int) -> tuple[list[_Block], float]:
    """Return the blocks of all scenes and their side in metres."""
    areas = [labelled_window(scene, sparse=not job.background) for scene in scenes]
    if job.split_by == "raster" or sum(share > 0 for share in job.split) == 1:
        return [_Block(i, area) for i, area in enumerate(areas)], 0.0
    total = sum(area.height * area.width for area in areas)
    side = math.sqrt(total)
    automatic_px = automatic_block_px(round(side), round(side), tile_px)
    blocks, block_m = [], job.block_m
    for index, (scene, area) in enumerate(zip(scenes, areas, strict=True)):
        height_m, width_m = scene.grid.pixel_size_m
        if job.block_m:
            rows = whole_tiles(job.block_m / height_m, tile_px)
            cols = whole_tiles(job.block_m / width_m, tile_px)
        else:
            rows = cols = automatic_px
            block_m = max(block_m, automatic_px * scene.grid.gsd_m)
        blocks += [_Block(index, window) for window in block_grid(area, rows, cols)]
    return blocks, block_m


def labelled_window(scene: Scene, *, sparse: bool) -> Window:
    """Return the smallest window that holds all ground whose class is known."""
    whole = Window(0, 0, scene.grid.height, scene.grid.width)
    polygons = scene.aoi if scene.aoi is not None else scene.labels if sparse else None
    if polygons is None or not len(polygons):
        return whole
    x0, y0, x1, y1 = shapely.total_bounds(polygons.polygons)
    row, col = math.floor(y0), math.floor(x0)
    found = Window(row, col, math.ceil(y1) - row, math.ceil(x1) - col)
    return whole.intersection(found) or whole


def _amounts(
    scenes: Sequence[Scene], blocks: Sequence[_Block], job: ChipsJob
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the area of each class in each block, and the area of known ground in it."""
    areas: list[dict[int, float]] = []
    sizes = np.zeros(len(blocks))
    for i, block in enumerate(blocks):
        scene, window = scenes[block.scene], block.window
        areas.append(scene.labels.area_in(window))
        sizes[i] = window.height * window.width
        if scene.aoi is not None:
            sizes[i] = sum(scene.aoi.area_in(window).values())
        if not job.background:
            sizes[i] = min(sizes[i], sum(areas[-1].values()))
    ids = sorted({i for area in areas for i in area} - {IGNORE_INDEX})
    table = [[area.get(i, 0.0) for i in ids] for area in areas]
    return np.asarray(table, np.float64).reshape(len(blocks), len(ids)), sizes


def _regions(
    scene: Scene, windows: Sequence[Window], parts: NDArray[np.int64], job: ChipsJob
) -> list[tuple[Window, int]]:
    """Return what the buffer leaves of the blocks of one scene, with their parts."""
    height_m, width_m = scene.grid.pixel_size_m
    rows_px, cols_px = (math.ceil(job.buffer_m / side) for side in (height_m, width_m))
    left = keep_distance(windows, parts, rows_px, cols_px)
    least = LEAST_SIDE_PX if job.buffer_m else 1
    return [
        (region, int(part))
        for region, part in zip(left, parts, strict=True)
        if region is not None and min(region.height, region.width) >= least
    ]


def _region_chips(
    scene: Scene, source: int, region: Window, split: str, options: tuple[int, ChipsJob]
) -> list[Chip]:
    tile_px, job = options
    chips = []
    for window in chip_windows(region, tile_px, job.overlap_px):
        outside = scene.aoi is not None and not scene.aoi.touching(window)
        if outside or (not job.background and not scene.labels.touching(window)):
            continue
        chips.append(
            _planned(f"{scene.name}_r{window.row_off}_c{window.col_off}", source, window, split)
        )
    return chips


def _planned(name: str, source: int, window: Window, split: str) -> Chip:
    place: dict[str, Any] = {
        "row_off": window.row_off,
        "col_off": window.col_off,
        "height_px": window.height,
        "width_px": window.width,
    }
    return Chip(name, split, source, **place, valid_ratio=0.0, labelled_ratio=0.0)
