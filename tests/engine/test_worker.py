"""The worker as a real process: every way in which a job, a client or a line can end."""

from __future__ import annotations

import json
import threading
import time

import pytest

from engine import __version__
from engine.protocol import (
    PROTOCOL_VERSION,
    Cancelled,
    Failure,
    Log,
    Progress,
    Result,
    encode_cancel,
    encode_run,
)
from tests.engine.worker_client import Client


def test_hello_says_who_it_is() -> None:
    with Client() as client:
        assert client.hello.protocol == PROTOCOL_VERSION
        assert client.hello.engine == __version__
        assert client.hello.pid == client.process.pid


def test_a_job_ends_with_its_result_and_every_event_carries_its_id() -> None:
    with Client() as client:
        client.start("echo", "a", 42)
        assert client.finish() == [
            Log("number 42", "warning", "a"),
            Progress("count", 42, 42, "tiles", "a"),
            Result({"out": "a.gpkg"}, {"features": 42}, 0.5, {"pid": client.process.pid}, "a"),
        ]
        assert client.close() == 0


def test_two_jobs_run_one_after_another_in_one_process() -> None:
    with Client() as client:
        client.start("echo", "a", 1)
        client.start("echo", "b", 2)
        first, second = client.finish()[-1], client.finish()[-1]
        assert isinstance(first, Result) and isinstance(second, Result)
        assert (first.id, first.counts["features"]) == ("a", 1)
        assert (second.id, second.counts["features"]) == ("b", 2)
        assert first.details["pid"] == second.details["pid"]


def test_an_engine_error_is_a_failure_without_traceback() -> None:
    with Client() as client:
        client.start("fail")
        assert client.finish() == [
            Failure(
                "raster", "raster has 3 bands, the model needs 4", "choose another model", "", "1"
            )
        ]


@pytest.mark.parametrize(
    ("job", "code", "words"),
    [
        ("bug", "internal", "ZeroDivisionError"),
        ("memory", "device", "not enough memory"),
        ("leave", "internal", "SystemExit: 7"),
        ("unwritable", "internal", "cannot be written as JSON"),
        ("full_disk", "disk", "No space left"),
    ],
)
def test_whatever_a_job_raises_the_worker_lives_on(job: str, code: str, words: str) -> None:
    with Client() as client:
        client.start(job, "bad")
        (failure,) = client.finish()
        assert isinstance(failure, Failure)
        assert (failure.code, failure.id) == (code, "bad")
        assert words in failure.message
        assert failure.hint
        client.start("echo", "good", 3)
        assert isinstance(client.finish()[-1], Result)


def test_an_internal_error_brings_its_traceback_in_the_details() -> None:
    with Client() as client:
        client.start("bug")
        (failure,) = client.finish()
        assert isinstance(failure, Failure)
        assert "Traceback" in failure.details and "1 // job.number" in failure.details
        assert "\n" not in failure.message


def test_what_a_job_prints_in_any_way_lands_on_stderr() -> None:
    with Client() as client:
        client.start("puts")
        assert isinstance(client.finish()[-1], Result)
        assert client.close() == 0
        assert all(json.loads(line) for line in client.raw)
        for words in (b"from print", b"from descriptor 1", b"from libc", b"from a child"):
            assert words in client.stderr


def test_a_child_that_reads_stdin_swallows_no_command() -> None:
    with Client() as client:
        client.start("swallow", "a")
        client.start("echo", "b", 5)
        assert client.finish()[-1] == Result({}, {"status": 0}, id="a")
        assert isinstance(client.finish()[-1], Result)


def test_cancel_is_obeyed_at_once_and_the_next_job_runs() -> None:
    with Client() as client:
        client.start("wait", "a")
        assert client.next() == Log("waiting", "info", "a")
        start_s = time.monotonic()
        client.send(encode_cancel("a"))
        assert client.finish() == [Cancelled("a")]
        assert time.monotonic() - start_s < 0.5
        client.start("echo", "b", 1)
        assert isinstance(client.finish()[-1], Result)


def test_a_waiting_job_can_be_cancelled_before_it_starts() -> None:
    with Client() as client:
        client.start("wait", "a")
        client.start("echo", "b", 1)
        client.send(encode_cancel("b"))
        client.send(encode_cancel("a"))
        assert client.finish()[-1] == Cancelled("a")
        assert client.finish() == [Cancelled("b")]


def test_cancel_of_an_unknown_job_changes_nothing() -> None:
    with Client() as client:
        client.send(encode_cancel("nobody"))
        client.start("echo", "a", 1)
        assert isinstance(client.finish()[-1], Result)


def test_an_interrupt_inside_a_job_is_a_cancel() -> None:
    with Client() as client:
        client.start("interrupt", "a")
        assert client.finish() == [Cancelled("a")]


@pytest.mark.parametrize(
    "line",
    ["what", "[1, 2]", "{}", '{"command": "dance"}', '{"command": "run"', "[" * 100_000, "\x00"],
)
def test_a_malformed_line_is_a_failure_and_the_worker_lives_on(line: str) -> None:
    with Client() as client:
        client.send(line)
        (failure,) = client.finish()
        assert isinstance(failure, Failure)
        assert (failure.code, failure.id) == ("job", "")
        client.send("")
        client.start("echo", "a", 1)
        assert isinstance(client.finish()[-1], Result)


def test_another_protocol_is_refused_with_the_way_out() -> None:
    with Client() as client:
        record = json.loads(encode_run("echo", {"number": 1}, "a"))
        client.send(json.dumps({**record, "protocol": PROTOCOL_VERSION + 1}))
        (failure,) = client.finish()
        assert isinstance(failure, Failure)
        assert (failure.code, failure.id) == ("job", "a")
        assert "update the engine environment" in failure.hint


@pytest.mark.parametrize(
    ("job", "fields", "words"),
    [
        ("nonsense", {}, "unknown job 'nonsense'"),
        ("echo", {"numbr": 1}, "unknown job field 'numbr'"),
        ("echo", {"number": "x"}, "job field 'number' is 'x'"),
    ],
)
def test_a_wrong_job_is_a_failure_of_its_own_id(job: str, fields: dict, words: str) -> None:
    with Client() as client:
        client.send(encode_run(job, fields, "a"))
        (failure,) = client.finish()
        assert isinstance(failure, Failure)
        assert (failure.code, failure.id) == ("job", "a")
        assert words in failure.message


def test_an_id_in_use_is_refused_and_its_job_goes_on() -> None:
    with Client() as client:
        client.start("wait", "a")
        assert client.next() == Log("waiting", "info", "a")
        client.start("echo", "a", 1)
        refusal = client.next()
        assert isinstance(refusal, Failure)
        assert refusal.id == "" and "in use" in refusal.message
        client.send(encode_cancel("a"))
        assert client.finish() == [Cancelled("a")]


def test_progress_is_thinned_out_and_never_loses_the_last_of_a_stage() -> None:
    with Client() as client:
        start_s = time.monotonic()
        client.start("burst", "a", 5000)
        events = client.finish()
        seconds = time.monotonic() - start_s
        assert isinstance(events[-1], Result)
        assert len(events) <= 20 * seconds + 6
        for stage in ("predict", "vectorize"):
            done = [e.done for e in events if isinstance(e, Progress) and e.stage == stage]
            assert done == sorted(done)
            assert (done[0], done[-1]) == (0, 4999)


def test_commands_may_come_from_several_threads_at_once() -> None:
    with Client() as client:
        lock = threading.Lock()

        def ask(number: int) -> None:
            with lock:
                client.start("echo", str(number), number)

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(20)]
        for thread in threads:
            thread.start()
        finals = [client.finish()[-1] for _ in threads]
        assert sorted(int(e.id) for e in finals) == list(range(20))
