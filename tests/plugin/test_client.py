"""The engine's client against real worker processes, some of which misbehave on purpose."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("qgis.core")

from qgis.testing import start_app

from rs_segment_plugin.engine_api import Cancelled, Failure, Log, Progress, Result
from rs_segment_plugin.worker.child_environment import scrubbed
from rs_segment_plugin.worker.client import EngineClient
from rs_segment_plugin.worker.process import CANCEL_GRACE_MS

pytestmark = pytest.mark.qgis
start_app()

ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("RS_SEGMENT_PYTHON", str(ROOT / ".venv/bin/python"))
TRIALS = ("-u", "-m", "tests.engine.worker_jobs")


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def gone(pid: int, limit_s: float = 3.0) -> bool:
    end_s = time.monotonic() + limit_s
    while alive(pid) and time.monotonic() < end_s:
        time.sleep(0.02)
    return not alive(pid)


def children() -> set[int]:
    """Processes whose parent is this one."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == os.getpid() and fields[0] != "Z":
                found.add(int(folder.name))
    return found


@pytest.fixture(scope="module")
def client():
    before = children()
    engine = EngineClient(TRIALS)
    yield engine
    engine.close()
    assert children() <= before, "an engine process outlived its client"


def never() -> bool:
    return False


def run(client, job, number=0, cancelled=never):
    events = []
    final = client.run(PYTHON, job, {"number": number}, events.append, cancelled)
    return final, events


class CancelAfter:
    """Says "cancelled" from some time after an event with this text on."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.started_s = 0.0
        self.delay_s = delay_s

    def on_event(self, event) -> None:
        if isinstance(event, Log):
            self.started_s = time.monotonic()

    def __call__(self) -> bool:
        return bool(self.started_s) and time.monotonic() - self.started_s >= self.delay_s


def run_and_cancel(client, job):
    """Run a job and cancel it after its first log; returns final event and seconds to answer."""
    cancel = CancelAfter(0.1)
    final = client.run(PYTHON, job, {"number": 0}, cancel.on_event, cancel)
    return final, time.monotonic() - cancel.started_s - cancel.delay_s


def test_result_and_events_arrive_in_order(client):
    final, events = run(client, "echo", 7)
    assert isinstance(final, Result)
    assert (final.counts, final.outputs) == ({"features": 7}, {"out": "a.gpkg"})
    assert [type(event) for event in events] == [Log, Progress]
    assert (events[0].message, events[0].level) == ("number 7", "warning")
    assert (events[1].done, events[1].total) == (7, 7)


def test_the_worker_stays_warm(client):
    first, _ = run(client, "echo", 1)
    start_s = time.monotonic()
    second, _ = run(client, "echo", 2)
    assert first.details["pid"] == second.details["pid"]
    assert time.monotonic() - start_s < 0.5


def test_failure_has_message_hint_and_code(client):
    final, _ = run(client, "fail")
    assert isinstance(final, Failure)
    assert (final.code, final.hint) == ("raster", "choose another model")
    assert final.message == "raster has 3 bands, the model needs 4"


def test_a_bug_of_the_engine_keeps_the_worker(client):
    first, _ = run(client, "echo", 1)
    final, _ = run(client, "bug", 0)
    assert (final.code, "ZeroDivisionError" in final.details) == ("internal", True)
    assert run(client, "echo", 1)[0].details["pid"] == first.details["pid"]


def test_noise_on_stdout_does_no_harm(client):
    final, _ = run(client, "puts")
    assert final.outputs == {"out": "a.gpkg"}


def test_many_events_arrive_and_the_last_one_too(client):
    final, events = run(client, "burst", 20_000)
    assert isinstance(final, Result)
    last = [event for event in events if event.stage == "vectorize"][-1]
    assert last.done == 19_999


def test_cancel_keeps_an_obedient_worker(client):
    pid = run(client, "echo", 1)[0].details["pid"]
    final, seconds = run_and_cancel(client, "wait")
    assert isinstance(final, Cancelled)
    assert seconds < 0.5
    assert run(client, "echo", 1)[0].details["pid"] == pid


@pytest.mark.parametrize("job", ["wait_for_ever", "locked"])
def test_cancel_answers_within_a_second_and_ends_a_deaf_worker(client, job):
    pid = run(client, "echo", 1)[0].details["pid"]
    final, seconds = run_and_cancel(client, job)
    assert isinstance(final, Cancelled)
    assert seconds < 1.0
    assert gone(pid, CANCEL_GRACE_MS / 1000)
    assert run(client, "echo", 3)[0].counts == {"features": 3}


def test_a_cancelled_job_may_save_its_state_and_the_next_of_its_kind_waits(client):
    """The answer to a cancel is quick; the process lives on until its state is saved."""
    cancel = CancelAfter(0.1)
    final = client.run(PYTHON, "save", {"number": 2}, cancel.on_event, cancel, save_s=20.0)
    answered_s = time.monotonic()
    assert isinstance(final, Cancelled)
    assert answered_s - cancel.started_s - cancel.delay_s < 1.0
    events: list = []
    second = client.run(PYTHON, "save", {"number": 0}, events.append, never, save_s=20.0)
    assert isinstance(second, Result) and time.monotonic() - answered_s > 0.9
    assert gone(second.counts["pid"], 0.1) is False


def test_cancel_before_the_start(client):
    start_s = time.monotonic()
    final, _ = run(client, "wait_for_ever", cancelled=lambda: True)
    assert isinstance(final, Cancelled)
    assert time.monotonic() - start_s < 1.0


def test_a_worker_that_leaves_is_a_bug_of_the_engine(client):
    final, _ = run(client, "leave")
    assert (final.code, final.message) == ("internal", "SystemExit: 7")


def test_a_killed_worker_is_reported_with_the_way_out(client):
    killed = threading.Event()

    def on_event(event) -> None:
        if not killed.is_set():
            killed.set()
            for pid in children():
                if b"worker_jobs" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)

    final = client.run(PYTHON, "wait", {"number": 0}, on_event, never)
    assert isinstance(final, Failure)
    assert final.code == "environment"
    assert "crashed" in final.message and "9" in final.message
    assert "MAX_MEMORY" in final.hint


def test_an_idle_worker_that_died_is_replaced_silently(client):
    pid = run(client, "echo", 1)[0].details["pid"]
    os.kill(pid, signal.SIGKILL)
    final, _ = run(client, "echo", 5)
    assert final.counts == {"features": 5}
    assert final.details["pid"] != pid


def test_a_second_run_gets_a_worker_of_its_own_and_one_stays(client):
    waiting, stop = threading.Event(), threading.Event()
    finals = []

    def follow() -> None:
        finals.append(
            client.run(PYTHON, "wait", {"number": 0}, lambda e: waiting.set(), stop.is_set)
        )

    thread = threading.Thread(target=follow)
    thread.start()
    assert waiting.wait(10)
    final, _ = run(client, "echo", 4)
    assert final.counts == {"features": 4}
    assert thread.is_alive()
    stop.set()
    thread.join(3)
    assert isinstance(finals[0], Cancelled)
    end_s = time.monotonic() + 3
    while len(trial_workers()) > 1 and time.monotonic() < end_s:
        time.sleep(0.05)
    assert len(trial_workers()) == 1


def trial_workers() -> list[int]:
    lines = {pid: Path(f"/proc/{pid}/cmdline") for pid in children()}
    return [pid for pid, path in lines.items() if b"worker_jobs" in path.read_bytes()]


@pytest.mark.parametrize(
    ("python", "word"), [("/nowhere/python", "cannot be started"), ("/bin/false", "exit code 1")]
)
def test_a_wrong_interpreter_is_named(client, python, word):
    final = client.run(python, "echo", {"number": 0}, lambda e: None, never)
    assert final.code == "environment"
    assert word in final.message
    assert "RS Segment panel" in final.hint


def test_last_words_of_a_worker_that_does_not_start():
    engine = EngineClient(("-c", "import a_package_that_is_missing"))
    final, _ = run(engine, "echo")
    engine.close()
    assert "No module named 'a_package_that_is_missing'" in final.message
    assert "Traceback" in final.details and "Traceback" not in final.message


def test_another_protocol_is_refused():
    hello = '{"type": "hello", "engine": "9.9", "pid": 1, "protocol": 99}'
    engine = EngineClient(("-c", f"print({hello!r}, flush=True); input()"))
    final, _ = run(engine, "echo")
    engine.close()
    assert "protocol 99" in final.message
    assert "update" in final.hint


def test_close_ends_a_running_job_and_refuses_new_ones():
    others = set(trial_workers())
    engine = EngineClient(TRIALS)
    running = threading.Event()
    finals = []
    thread = threading.Thread(
        target=lambda: finals.append(
            engine.run(PYTHON, "locked", {"number": 0}, lambda e: running.set(), never)
        )
    )
    thread.start()
    assert running.wait(10)
    (pid,) = set(trial_workers()) - others
    start_s = time.monotonic()
    engine.close()
    assert time.monotonic() - start_s < 2.5
    thread.join(2)
    assert finals[0].code == "environment"
    assert gone(pid, 0.5)
    assert "closing" in run(engine, "echo")[0].message


PARENT = """
import sys
sys.path.insert(0, sys.argv[1])
from qgis.core import QgsApplication
app = QgsApplication([], False)
from rs_segment_plugin.worker.client import EngineClient
client = EngineClient(("-u", "-m", "tests.engine.worker_jobs"))
first = client.run(sys.argv[2], "echo", {"number": 1}, lambda e: None, lambda: False)
print(first.details["pid"], flush=True)
if sys.argv[3] == "wait":
    on = lambda event: print("on", flush=True)
    client.run(sys.argv[2], "native", {"number": 0}, on, lambda: False)
"""


def start_parent(mode: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, str(ROOT), PYTHON, mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )


def test_the_worker_ends_with_a_killed_parent():
    parent = start_parent("wait")
    pid = int(parent.stdout.readline())
    assert parent.stdout.readline().strip() == "on"
    parent.kill()
    parent.wait()
    assert gone(pid, 3.0)
    parent.stdout.close()
    parent.stderr.close()


def test_a_script_that_forgets_to_close_leaves_nothing_behind():
    parent = start_parent("end")
    pid = int(parent.stdout.readline())
    _, errors = parent.communicate(timeout=20)
    assert parent.returncode == 0
    assert "QThread" not in errors and "QProcess" not in errors
    assert gone(pid, 1.0)


def test_settings_of_qgis_do_not_reach_the_child():
    given = {
        "PYTHONHOME": "/qgis",
        "PYTHONPATH": "/qgis",
        "GDAL_DATA": "/qgis",
        "PROJ_LIB": "/qgis",
        "LD_LIBRARY_PATH": "/qgis",
        "QT_PLUGIN_PATH": "/qgis",
        "QGIS_PREFIX_PATH": "/qgis",
        "VIRTUAL_ENV": "/qgis",
        "PIP_TARGET": "/qgis",
        "PIP_INDEX_URL": "https://packages.example.org",
        "HOME": "/home",
        "RS_SEGMENT_ZOO": "/zoo",
        "PATH": os.pathsep.join(["/qgis/bin", "/usr/bin"]),
        "SSL_CERT_FILE": "/qgis/certificates.pem",
    }
    left = scrubbed(given, "/qgis")
    assert {k: v for k, v in left.items() if "/qgis" in v} == {}
    assert left["PATH"] == "/usr/bin"
    assert (left["HOME"], left["RS_SEGMENT_ZOO"]) == ("/home", "/zoo")
    assert left["PIP_INDEX_URL"] == "https://packages.example.org"
    assert left["PYTHONNOUSERSITE"] == "1"
    assert scrubbed(given)["PATH"] == given["PATH"]
