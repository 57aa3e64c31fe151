"""Which training chips without an object are too many."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from ..data.chip_folder import Chip
from ..data.sampling import most_empty

_STREAM = 11


def surplus_chips(
    chips: Sequence[Chip], foreground: Collection[int], empty_ratio: float, seed: int
) -> list[str]:
    """Return the names of training chips to leave out, drawn at random.

    Args:
        chips: All chips.
        foreground: Ids of the classes that are not background.
        empty_ratio: Largest share of training chips without any of them; 1 keeps all.
        seed: Seed of the draw.
    """
    train = [chip for chip in chips if chip.split == "train"]
    empty = [c.name for c in train if not foreground & c.class_pixels.keys()]
    full = len(train) - len(empty)
    surplus = len(empty) - most_empty(full, empty_ratio)
    if surplus <= 0 or not full:
        return []
    order = np.random.default_rng((seed, _STREAM)).permutation(len(empty))
    return [empty[i] for i in sorted(order[:surplus].tolist())]
