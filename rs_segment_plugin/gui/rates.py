"""Throughput and time left from the progress of a stage; no Qt."""

from __future__ import annotations

from collections import deque
from typing import Deque, Optional, Tuple

WINDOW_S = 15.0


class RateMeter:
    """Speed of a counter over the last seconds.

    The speed comes from a sliding window, so that a slow start (loading the model) does
    not spoil the estimate for the rest.
    """

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._samples: Deque[Tuple[float, int]] = deque()
        self._total = 0

    def restart(self, now_s: float, done: int = 0) -> None:
        """Forget the past; counting starts at ``done`` now."""
        self._samples.clear()
        self._samples.append((now_s, done))
        self._total = 0

    def update(self, now_s: float, done: int, total: int) -> None:
        """Note that ``done`` of ``total`` (0 means unknown) are finished at ``now_s``."""
        if self._samples and done < self._samples[-1][1]:
            self._samples.clear()
        self._samples.append((now_s, done))
        self._total = total
        while len(self._samples) > 2 and now_s - self._samples[1][0] >= self._window_s:
            self._samples.popleft()

    def per_second(self) -> Optional[float]:
        """Return the speed in units per second, None while it is not known."""
        if len(self._samples) < 2:
            return None
        (start_s, first), (end_s, last) = self._samples[0], self._samples[-1]
        if end_s - start_s <= 0 or last <= first:
            return None
        return (last - first) / (end_s - start_s)

    def seconds_left(self) -> Optional[float]:
        """Return the estimated seconds to the end of the stage, None while not known."""
        speed = self.per_second()
        if speed is None or self._total <= 0:
            return None
        return max(0.0, (self._total - self._samples[-1][1]) / speed)


def duration_text(seconds: float) -> str:
    """Return a duration such as ``8 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    whole = max(0, int(seconds + 0.5))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        # Below ten minutes the seconds still help, rounded so that they do not flicker.
        rest -= rest % 5
        return f"{minutes} min {rest} s" if minutes < 10 and rest else f"{minutes} min"
    hours, rest = divmod(whole, 3600)
    return f"{hours} h {rest // 60} min"


def speed_text(per_second: float, unit: str) -> str:
    """Return a speed with two or three digits, for example ``3.4 tiles/s``."""
    if per_second < 0.1:
        return f"{per_second:.2g} {unit}/s"
    digits = 0 if per_second >= 100 else 1 if per_second >= 1 else 2
    return f"{per_second:.{digits}f} {unit}/s"
