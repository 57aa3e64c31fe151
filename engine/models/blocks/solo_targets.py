"""Which cells of SOLOv2's grids answer for which instance.

Wang, Kong, Shen, Jiang, Li, "SOLO: segmenting objects by locations", ECCV 2020, section 3.3.1;
level ranges as in the authors' code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from .padding import pad_to_multiple

Collision = Literal["smaller", "reference"]
BACKGROUND = -1
MASK_STRIDE_PX = 4


@dataclass(frozen=True)
class CellTargets:
    """Targets of one level of one image.

    Attributes:
        classes: int64 ``[S * S]``, class from 0, :data:`BACKGROUND` where no object is.
        cells: int64 ``[P]``, cell of each mask term.
        instances: int64 ``[P]``, instance of each mask term.
    """

    classes: Tensor
    cells: Tensor
    instances: Tensor


@dataclass(frozen=True)
class Objects:
    """What the assignment needs of the instances of one image; empty masks are left out.

    Attributes:
        ids: int64 ``[N]``, index into the image's targets.
        labels: int64 ``[N]`` from 1.
        sides_px: float ``[N, 2]``, height and width of the box.
        centres_px: float ``[N, 2]``, row and column of the centre of mass.
    """

    ids: Tensor
    labels: Tensor
    sides_px: Tensor
    centres_px: Tensor


def describe_objects(boxes: Tensor, labels: Tensor, masks: Tensor) -> Objects:
    """Return sizes and centres of mass of instances with masks ``[N, H, W]``."""
    inside = masks > 0
    of_rows, of_cols = inside.sum(dim=2), inside.sum(dim=1)
    areas = of_rows.sum(dim=1)
    rows = torch.arange(masks.shape[1], device=masks.device) + 0.5
    cols = torch.arange(masks.shape[2], device=masks.device) + 0.5
    centres = torch.stack(((of_rows * rows).sum(dim=1), (of_cols * cols).sum(dim=1)), dim=1)
    ids = torch.nonzero(areas > 0).flatten()
    corners = boxes.float()
    sides = torch.stack((corners[:, 3] - corners[:, 1], corners[:, 2] - corners[:, 0]), dim=1)
    return Objects(ids, labels[ids], sides[ids], centres[ids] / areas[ids, None])


def assign_cells(
    objects: Objects,
    size_px: tuple[int, int],
    grid: int,
    range_px: tuple[float, float],
    *,
    centre_ratio: float = 0.2,
    collision: Collision = "smaller",
) -> CellTargets:
    """Return the targets of one level.

    Cells within ``centre_ratio`` of the box around the centre of mass are positive, at most one
    cell away from the centre's own, for objects whose scale (root of the box's area) lies in
    the range, both ends included.

    Args:
        objects: Of :func:`describe_objects`.
        size_px: Height and width of the padded image.
        grid: Cells per side.
        range_px: Scales that belong to the level.
        centre_ratio: Share of the box's sides.
        collision: Who gets a cell that two objects claim. ``smaller``: the smaller one;
            ``reference``: the later one its class, both a mask term, as the authors' code does.
    """
    device = objects.labels.device
    scales = objects.sides_px.prod(dim=1).clamp_min(0).sqrt()
    chosen = torch.nonzero((scales >= range_px[0]) & (scales <= range_px[1])).flatten()
    if collision == "smaller":
        chosen = chosen[scales[chosen].argsort(descending=True, stable=True)]
    first, last = _cell_ranges(objects, size_px, grid, centre_ratio)
    classes = torch.full((grid, grid), BACKGROUND, dtype=torch.int64, device=device)
    owners = torch.full((grid, grid), BACKGROUND, dtype=torch.int64, device=device)
    cells, instances = [], []
    numbers = torch.arange(grid * grid, device=device).view(grid, grid)
    for index in chosen.tolist():
        (top, left), (bottom, right) = first[index].tolist(), last[index].tolist()
        area = (slice(top, bottom + 1), slice(left, right + 1))
        classes[area] = objects.labels[index] - 1
        owners[area] = objects.ids[index]
        cells.append(numbers[area].flatten())
        instances.append(objects.ids[index].expand(cells[-1].numel()))
    if collision == "smaller" or not cells:
        owned = torch.nonzero(owners.flatten() != BACKGROUND).flatten()
        return CellTargets(classes.flatten(), owned, owners.flatten()[owned])
    return CellTargets(classes.flatten(), torch.cat(cells), torch.cat(instances))


def _cell_ranges(
    objects: Objects, size_px: Sequence[int], grid: int, centre_ratio: float
) -> tuple[Tensor, Tensor]:
    """Return first and last row and column of each object, int64 ``[N, 2]`` each."""
    to_cells = grid / objects.centres_px.new_tensor(list(size_px))
    half = 0.5 * centre_ratio * objects.sides_px
    own = (objects.centres_px * to_cells).floor()
    first = ((objects.centres_px - half) * to_cells).floor()
    last = ((objects.centres_px + half) * to_cells).floor()
    first = torch.maximum(first.clamp(0, grid - 1), own - 1)
    last = torch.minimum(last.clamp(0, grid - 1), own + 1)
    return first.long(), last.long()


def quarter_masks(masks: Tensor, size_px: tuple[int, int], *, soft: bool = False) -> Tensor:
    """Return masks padded to the image's size and reduced to stride 4, float ``[N, h, w]``.

    Args:
        masks: ``[N, H, W]``, an object where not 0.
        size_px: Height and width of the padded image, multiples of 4.
        soft: Return the share of each cell that the object covers; else 0 or 1, sampled in the
            cell's middle as in the authors' code.
    """
    height, width = size_px
    padded = functional.pad(
        (masks > 0).to(torch.uint8), (0, width - masks.shape[2], 0, height - masks.shape[1])
    )
    rows, cols = height // MASK_STRIDE_PX, width // MASK_STRIDE_PX
    blocks = padded.view(-1, rows, MASK_STRIDE_PX, cols, MASK_STRIDE_PX)
    if soft:
        return blocks.sum(dim=(2, 4), dtype=torch.float32) / MASK_STRIDE_PX**2
    # Bilinear sampling at a quarter of the size is the mean of the four pixels in the middle.
    middle = blocks[:, :, 1:3][..., 1:3].sum(dim=(2, 4), dtype=torch.uint8)
    return (middle >= 2).float()


def batch_images(images: Sequence[Tensor], multiple_px: int) -> Tensor:
    """Stack images ``[C, h, w]`` of several sizes, zeros on the right and below.

    Raises:
        ValueError: If there are no images or one is not ``[C, h, w]``.
    """
    if not images or any(image.ndim != 3 for image in images):
        raise ValueError("images must be a list of at least one tensor [C, H, W]")
    height = max(int(image.shape[1]) for image in images)
    width = max(int(image.shape[2]) for image in images)
    stacked = torch.stack(
        [functional.pad(x, (0, width - x.shape[2], 0, height - x.shape[1])) for x in images]
    )
    return pad_to_multiple(stacked, multiple_px)
