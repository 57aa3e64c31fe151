"""Sharing out of blocks, rasters or images among training, validation and test.

Iterative stratification (Sechidis, Tsoumakas, Vlahavas: On the stratification of multi-label
data, ECML PKDD 2011) with amounts instead of counts: the rarest class is shared out first, and
each item goes to the part that lacks most of the class and of the ground, both relative to all.
Then single items are moved while that brings the shares nearer to the wanted ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
_STREAM = 7
MOST_MOVES = 1000
LEAST_GAIN = 1e-9


def share_out(
    amounts: Float64, shares: Sequence[float], *, seed: int, sizes: Float64 | None = None
) -> Int64:
    """Return the part of each item.

    Every part with a share gets a class if there are enough items with it, and gets an item if
    there are enough items at all. Items without any class or size go to the first part.

    Args:
        amounts: How much of each class is in each item, ``[n, k]``, not negative.
        shares: Wanted share of each part, in any unit.
        seed: Seed of the order in which items are shared out.
        sizes: Size of each item ``[n]``, which is shared out after the classes; 1 if not given.

    Returns:
        Parts ``int64[n]``.
    """
    count = len(amounts)
    wanted = np.asarray(shares, np.float64) / np.sum(shares)
    table = np.column_stack([amounts, np.ones(count) if sizes is None else sizes])
    holds = table.any(axis=1)
    totals = np.maximum(table.sum(axis=0), np.finfo(np.float64).tiny)
    lacking = wanted[:, None] * totals[None, :]
    order = np.random.default_rng((seed, _STREAM)).permutation(count)
    parts = np.full(count, -1, np.int64)
    has = np.zeros((len(wanted), table.shape[1]), dtype=bool)
    for column in _rarest_first(table):
        open_items = [int(i) for i in order if parts[i] < 0 and table[i, column] > 0]
        open_items.sort(key=lambda item: -table[item, column])
        for done, item in enumerate(open_items):
            choice = np.flatnonzero(wanted > 0)
            left = ((len(open_items) - done, column), (int((holds & (parts < 0)).sum()), -1))
            for items, group in left:
                without = choice[~has[choice, group]]
                if len(without) > 0 and len(without) >= items:
                    choice = without
            need = (lacking[choice][:, [column, -1]] / totals[[column, -1]]).sum(axis=1)
            part = int(choice[np.argmax(need)])
            parts[item] = part
            lacking[part] -= table[item]
            has[part] |= table[item] > 0
    parts[parts < 0] = int(np.argmax(wanted))
    return _refined(table, wanted, parts)


def _refined(table: Float64, wanted: Float64, parts: Int64) -> Int64:
    """Move single items while that brings the shares of classes and of ground nearer.

    The measure is the sum of the squared differences between the share of each class in each
    part and the wanted one; the ground weighs as much as all classes together. No part loses a
    class.
    """
    shares = table / np.maximum(table.sum(axis=0), np.finfo(np.float64).tiny)
    shares[:, -1] *= np.sqrt(max(1, table.shape[1] - 1))
    squares, holds = (shares**2).sum(axis=1), table > 0
    parts, rows = parts.copy(), np.arange(len(parts))
    targets = wanted[:, None] * shares.sum(axis=0)
    for _ in range(min(4 * len(parts), MOST_MOVES)):
        excess = -targets
        np.add.at(excess, parts, shares)
        counts = np.zeros(excess.shape, np.int64)
        np.add.at(counts, parts, holds)
        pull = shares @ excess.T
        change = squares[:, None] + pull - pull[rows, parts][:, None]
        change[:, wanted <= 0] = np.inf
        change[(holds & (counts[parts] == 1)).any(axis=1)] = np.inf
        change[rows, parts] = np.inf
        item, part = np.unravel_index(int(np.argmin(change)), change.shape)
        if not change[item, part] < -LEAST_GAIN:
            break
        parts[item] = part
    return parts


def _rarest_first(table: Float64) -> list[int]:
    """Return the columns that are used, those with the fewest items first, the last one last."""
    counts = (table > 0).sum(axis=0)
    columns = [int(c) for c in np.argsort(counts[:-1], kind="stable") if counts[c]]
    return [*columns, table.shape[1] - 1]
