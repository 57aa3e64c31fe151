"""Split of a scene into training, validation and test blocks on the ground.

Neighbouring pixels are alike, so a split by pixels or by random chips leaks the test set into
training. Here whole blocks of a regular grid get a role, and training pixels next to a block
of another role are dropped.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

UNUSED, TRAIN, VALIDATION, TEST = 0, 1, 2, 3


def paint_roles(
    shape_px: tuple[int, int],
    block_roles: NDArray[np.uint8],
    *,
    block_px: int,
    buffer_px: int,
) -> NDArray[np.uint8]:
    """Return the role of every pixel.

    Args:
        shape_px: Height and width of the scene.
        block_roles: Role of each block ``[rows, columns]``, block (0, 0) at the top left.
        block_px: Side of a block; the last row and column of blocks may be cut short.
        buffer_px: Training pixels less than or exactly this far (in rows or columns) from a
            pixel of another role become ``UNUSED``; validation and test blocks stay whole.

    Returns:
        Roles ``[H, W]`` uint8.

    Raises:
        ValueError: If the blocks do not cover the scene exactly.
    """
    height_px, width_px = shape_px
    needed = (-(-height_px // block_px), -(-width_px // block_px))
    if block_roles.shape != needed:
        raise ValueError(f"{shape_px} needs {needed} blocks of {block_px}, not {block_roles.shape}")
    roles = np.repeat(np.repeat(block_roles, block_px, axis=0), block_px, axis=1)
    roles = roles[:height_px, :width_px].astype(np.uint8)
    if buffer_px > 0:
        foreign = ndimage.maximum_filter(
            (roles != TRAIN).astype(np.uint8), size=2 * buffer_px + 1, mode="nearest"
        )
        roles[(roles == TRAIN) & (foreign > 0)] = UNUSED
    return roles


def random_block_roles(
    shape: tuple[int, int], *, validation: float, test: float, seed: int
) -> NDArray[np.uint8]:
    """Return roles of a grid of blocks, drawn at random with exact counts.

    Args:
        shape: Rows and columns of blocks.
        validation: Share of validation blocks, in [0, 1).
        test: Share of test blocks, in [0, 1).
        seed: Seed of the draw.

    Raises:
        ValueError: If no block is left for training.
    """
    count = shape[0] * shape[1]
    n_validation, n_test = round(validation * count), round(test * count)
    if n_validation + n_test >= count:
        raise ValueError(f"{count} blocks leave none for training")
    roles = np.full(count, TRAIN, np.uint8)
    order = np.random.default_rng(seed).permutation(count)
    roles[order[:n_test]] = TEST
    roles[order[n_test : n_test + n_validation]] = VALIDATION
    return roles.reshape(shape)
