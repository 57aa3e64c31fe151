"""Points of training curves: bounded, smoothed, with round axis marks; no Qt."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import List, Optional, Sequence, Tuple

MAX_POINTS = 1000
Point = Tuple[float, float]


@dataclass
class Curve:
    """One line of a chart.

    Attributes:
        name: Name in the legend.
        role: ``train`` or ``val``; gives the colour.
        points: ``(x, y)`` in the order of x; neighbours are averaged when there are too many.
    """

    name: str
    role: str
    points: List[Point] = field(default_factory=list)
    _stride: int = 1
    _pending: List[Point] = field(default_factory=list)

    def add(self, x: float, y: float) -> None:
        """Append a point; one that is not finite is dropped."""
        if not (math.isfinite(x) and math.isfinite(y)):
            return
        self._pending.append((x, y))
        if len(self._pending) < self._stride:
            return
        self.points.append(_mean(self._pending))
        self._pending = []
        if len(self.points) >= MAX_POINTS:
            self.points = [_mean(self.points[i : i + 2]) for i in range(0, len(self.points), 2)]
            self._stride *= 2

    def last(self) -> Optional[float]:
        """Return the newest value, None if there is none."""
        newest = self._pending or self.points
        return newest[-1][1] if newest else None

    def smoothed(self, weight: float = 0.9) -> List[Point]:
        """Return the points with a running mean that forgets (unbiased at the start)."""
        result: List[Point] = []
        mean, norm = 0.0, 0.0
        for x, y in self.points:
            mean = weight * mean + (1 - weight) * y
            norm = weight * norm + (1 - weight)
            result.append((x, mean / norm))
        return result


def _mean(points: Sequence[Point]) -> Point:
    count = len(points)
    return (sum(x for x, _ in points) / count, sum(y for _, y in points) / count)


def value_range(curves: Sequence[Curve], *, unit: bool) -> Tuple[float, float]:
    """Return the range of the y axis: with room above and below, never empty.

    Args:
        curves: Lines of the chart.
        unit: Whether the values are shares: then the range stays within 0 to 1.
    """
    values = sorted(y for curve in curves for _, y in curve.points)
    if not values:
        return 0.0, 1.0
    low, high = values[0], values[-1]
    # A few wild first steps must not flatten the rest.
    if not unit and len(values) >= 50:
        high = max(values[int(0.99 * len(values))], low)
    room = 0.06 * (high - low) or 0.05 * max(abs(high), 0.1)
    low, high = low - room, high + room
    if unit:
        return max(0.0, low), min(1.0, high)
    return (max(0.0, low) if values[0] >= 0 else low), high


def ticks(low: float, high: float, count: int = 4) -> List[float]:
    """Return round numbers inside a range: steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    raw = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next((s for s in (1.0, 2.0, 5.0) if s * power >= raw * 0.999), 10.0)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def tick_text(value: float) -> str:
    """Return a mark of an axis in few characters, for example ``0.25`` or ``12k``."""
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:.4g}"
