"""Lines of the protocol: what is written is read back, what is foreign is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocol import (
    PROTOCOL_VERSION,
    CancelCommand,
    Cancelled,
    CommandError,
    Event,
    Failure,
    Hello,
    Log,
    Progress,
    QuitCommand,
    Result,
    RunCommand,
    decode_command,
    decode_event,
    encode_cancel,
    encode_event,
    encode_quit,
    encode_run,
)

TEXT = st.text(max_size=30)
COUNT = st.integers(-(2**53), 2**53)
JSON = st.recursive(
    st.none() | st.booleans() | COUNT | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.one_of(
    st.builds(Hello, engine=TEXT, pid=COUNT, python=TEXT),
    st.builds(Log, message=TEXT, level=st.sampled_from(["info", "warning"]), id=TEXT),
    st.builds(Progress, stage=TEXT, done=COUNT, total=COUNT, unit=TEXT, id=TEXT),
    st.builds(
        Result,
        outputs=st.dictionaries(TEXT, TEXT, max_size=3),
        counts=st.dictionaries(TEXT, COUNT, max_size=3),
        seconds=st.floats(0, 1e6),
        details=st.dictionaries(TEXT, JSON, max_size=3),
        id=TEXT,
    ),
    st.builds(Failure, code=TEXT, message=TEXT, hint=TEXT, details=TEXT, id=TEXT),
    st.builds(Cancelled, id=TEXT),
)


@given(EVENTS)
def test_an_event_is_one_ascii_line_that_reads_back(event: Event) -> None:
    line = encode_event(event)
    assert "\n" not in line and line.isascii()
    assert decode_event(line) == event


@given(st.dictionaries(TEXT, JSON, max_size=4), TEXT, TEXT.filter(bool))
def test_a_run_line_reads_back(fields: dict[str, object], job: str, job_id: str) -> None:
    line = encode_run(job, fields, job_id)
    assert "\n" not in line
    assert decode_command(line) == RunCommand(job, fields, job_id)
    assert decode_command(line.encode()) == RunCommand(job, fields, job_id)


def test_cancel_and_quit_lines_read_back() -> None:
    assert decode_command(encode_cancel("7")) == CancelCommand("7")
    assert decode_command(encode_quit()) == QuitCommand()


def test_a_newer_worker_may_add_fields() -> None:
    line = json.dumps({"type": "progress", "stage": "a", "done": 1, "total": 2, "speed": 3})
    assert decode_event(line) == Progress("a", 1, 2)


@pytest.mark.parametrize(
    "line",
    ["", "loading...", "[]", "3", '{"type": "party"}', '{"type": "progress", "stage": "a"}', "{"],
)
def test_a_line_that_is_no_event_is_none(line: str) -> None:
    assert decode_event(line) is None


@given(st.binary(max_size=60))
def test_any_bytes_are_a_command_or_a_command_error(line: bytes) -> None:
    try:
        decode_command(line)
    except CommandError as error:
        assert error.code == "job" and error.message and error.hint


@pytest.mark.parametrize("protocol", [0, 2, "1", None])
def test_another_protocol_names_both_versions_and_keeps_the_id(protocol: object) -> None:
    record = {"command": "run", "job": "segment", "id": "9", "protocol": protocol, "fields": {}}
    with pytest.raises(CommandError, match="speaks") as caught:
        decode_command(json.dumps(record))
    assert caught.value.id == "9"
    assert repr(protocol) in caught.value.message
    assert str(PROTOCOL_VERSION) in caught.value.message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": ""}, "no id"),
        ({"id": 3}, "no id"),
        ({"job": None}, "no job name"),
        ({"fields": [1]}, "no job name or no fields"),
    ],
)
def test_an_incomplete_run_line_is_refused(change: dict[str, object], words: str) -> None:
    record = {**json.loads(encode_run("segment", {}, "1")), **change}
    with pytest.raises(CommandError, match=words):
        decode_command(json.dumps(record))
