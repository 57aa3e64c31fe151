"""Throughput and time left: hand-worked numbers."""

from __future__ import annotations

import pytest

from rs_segment_plugin.gui.rates import RateMeter, duration_text, speed_text


def test_speed_and_time_left_of_a_steady_run():
    meter = RateMeter()
    meter.restart(100.0)
    for second in range(1, 6):
        meter.update(100.0 + second, done=4 * second, total=100)
    assert meter.per_second() == pytest.approx(4.0)
    assert meter.seconds_left() == pytest.approx((100 - 20) / 4.0)


def test_a_slow_start_is_forgotten_after_the_window():
    meter = RateMeter(window_s=5.0)
    meter.restart(0.0)
    meter.update(60.0, done=1, total=1000)
    for second in range(1, 11):
        meter.update(60.0 + second, done=1 + 10 * second, total=1000)
    assert meter.per_second() == pytest.approx(10.0)
    assert meter.seconds_left() == pytest.approx((1000 - 101) / 10.0)


def test_nothing_is_claimed_before_anything_is_known():
    meter = RateMeter()
    assert meter.per_second() is None and meter.seconds_left() is None
    meter.restart(0.0)
    meter.update(3.0, done=0, total=50)
    assert meter.per_second() is None and meter.seconds_left() is None
    meter.update(4.0, done=2, total=0)
    assert meter.per_second() == pytest.approx(0.5) and meter.seconds_left() is None


def test_a_counter_that_starts_over_does_not_give_a_negative_speed():
    meter = RateMeter()
    meter.restart(0.0)
    meter.update(10.0, done=100, total=100)
    meter.update(11.0, done=1, total=100)
    assert meter.per_second() is None
    meter.update(12.0, done=3, total=100)
    assert meter.per_second() == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (203, "3 min 20 s"),
        (725, "12 min"),
        (3600, "1 h 0 min"),
        (7530, "2 h 5 min"),
    ],
)
def test_durations_read_like_a_clock(seconds, text):
    assert duration_text(seconds) == text


def test_speeds_keep_two_or_three_digits():
    assert speed_text(123.4, "rows") == "123 rows/s"
    assert speed_text(3.44, "tiles") == "3.4 tiles/s"
    assert speed_text(0.256, "Mpx") == "0.26 Mpx/s"
    assert speed_text(0.00421, "Mpx") == "0.0042 Mpx/s"
