"""Calls in a thread of their own keep their order, and errors come back to the sender."""

from __future__ import annotations

import threading

import pytest

from engine.errors import DiskError, JobCancelled
from engine.predict.handover import Handover
from engine.predict.lane import Lane


def test_calls_run_in_order_in_one_other_thread() -> None:
    seen: list[tuple[int, int]] = []
    with Lane("test") as lane:
        for number in range(50):
            lane.send(lambda n=number: seen.append((n, threading.get_ident())))
    assert [number for number, _ in seen] == list(range(50))
    assert len({thread for _, thread in seen} - {threading.get_ident()}) == 1


def test_sender_waits_while_too_many_calls_are_not_finished() -> None:
    gate = threading.Event()
    started = threading.Semaphore(0)
    with Lane("test", depth=2) as lane:
        lane.send(gate.wait)
        lane.send(lambda: None)
        third = threading.Thread(target=lambda: (lane.send(lambda: None), started.release()))
        third.start()
        assert not started.acquire(timeout=0.1)
        gate.set()
        assert started.acquire(timeout=5)
        third.join()


def test_error_of_a_call_reaches_the_sender_and_ends_the_thread() -> None:
    def fail() -> None:
        raise DiskError("cannot write x", "free some space")

    before = threading.active_count()
    with pytest.raises(DiskError, match="cannot write x"), Lane("test") as lane:
        lane.send(fail)
        lane.wait()
    with pytest.raises(DiskError, match="cannot write x"), Lane("test") as lane:
        lane.send(fail)
    assert threading.active_count() == before


def test_an_error_outside_drops_the_calls_that_have_not_begun() -> None:
    gate, seen = threading.Event(), []
    with pytest.raises(KeyError), Lane("test", depth=3) as lane:
        lane.send(gate.wait, 5)
        lane.send(seen.append, 1)
        threading.Timer(0.05, gate.set).start()
        raise KeyError
    assert seen == []


def test_items_are_handed_over_one_at_a_time() -> None:
    strips: Handover[int] = Handover()
    with Lane("test") as lane:
        taken = lane.send(lambda: list(strips.items()))
        assert all(strips.give(number) for number in range(20))
        strips.end()
        assert taken.result() == list(range(20))
    assert not strips.give(20)


def test_giver_does_not_wait_for_a_taker_that_is_gone() -> None:
    strips: Handover[int] = Handover()

    def take_one() -> None:
        items = strips.items()
        next(items)
        items.close()

    with Lane("test") as lane:
        lane.send(take_one)
        strips.give(1)
        lane.wait()
        assert not strips.give(2)


def test_stopped_taker_is_cancelled() -> None:
    strips: Handover[int] = Handover()
    with Lane("test") as lane:
        taken = lane.send(lambda: list(strips.items()))
        strips.end(stopped=True)
        with pytest.raises(JobCancelled):
            taken.result()
        lane._sent.clear()
