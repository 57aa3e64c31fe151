"""Kernels: the pool of vertices and rings of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geo.jit import hot, inner
from .state import KIND_MASK, NONE, PINCH, State


@hot
def new_vertex(vertices: NDArray[Any], counts: Any, x: int, y: int, kind: int) -> int:
    """Return a vertex that is a chain by itself, from the freed ones if there are any."""
    index = counts.free_vertex
    if index == NONE:
        index = counts.vertices
        counts.vertices += 1
    else:
        counts.free_vertex = vertices[index].next
    counts.open_vertices += 1
    vertex = vertices[index]
    vertex.x, vertex.y, vertex.kind = x, y, kind
    vertex.next = vertex.twin = NONE
    vertex.mate = index
    return int(index)


@hot
def free_vertex(state: State, index: int) -> None:
    """Give a vertex back to the pool."""
    counts = state.counts[0]
    state.vertices[index].next = counts.free_vertex
    counts.free_vertex = index
    counts.open_vertices -= 1


@inner
def measure_ring(vertices: NDArray[Any], first: int) -> tuple[int, int, int]:
    """Return twice the area (positive for shells), the vertices and the pinches of a ring."""
    area = np.int64(0)
    count = pinches = 0
    node = first
    while True:
        after = vertices[node].next
        x, y = np.int64(vertices[node].x), np.int64(vertices[node].y)
        area += np.int64(vertices[after].x) * y - x * np.int64(vertices[after].y)
        count += 1
        pinches += int((vertices[node].kind & KIND_MASK) == PINCH)
        node = after
        if node == first:
            return int(area), count, pinches
