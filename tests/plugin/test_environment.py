"""Finding, checking and making the engine's environment, with real interpreters and a real pip."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import time
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("qgis.core")

from qgis.PyQt.QtCore import QCoreApplication
from qgis.PyQt.QtNetwork import QNetworkProxy
from qgis.testing import start_app

from rs_segment_plugin import settings
from rs_segment_plugin.worker import creator as creator_module
from rs_segment_plugin.worker import environment as environment_module
from rs_segment_plugin.worker.client import EngineClient
from rs_segment_plugin.worker.creator import EnvironmentCreator, base_pythons
from rs_segment_plugin.worker.environment import (
    MARKER,
    EngineEnvironment,
    find_python,
    interpreter_in,
)
from rs_segment_plugin.worker.probe import judge
from rs_segment_plugin.worker.proxy import proxy_url
from tests.plugin.rasters import PYTHON

pytestmark = [pytest.mark.qgis, pytest.mark.timeout(300)]
start_app()


def wait_until(condition, limit_s: float = 60.0) -> None:
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, "waited too long"
        QCoreApplication.processEvents()
        time.sleep(0.01)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """No interpreter anywhere; the managed one belongs in ``tmp_path / managed``."""
    monkeypatch.delenv("RS_SEGMENT_PYTHON", raising=False)
    monkeypatch.setattr(environment_module, "checkout_python", lambda: tmp_path / "none")
    monkeypatch.setattr(environment_module, "managed_folder", lambda: tmp_path / "managed")
    settings.set_engine_python("")
    yield tmp_path
    settings.set_engine_python("")


@pytest.fixture
def service(places):
    client = EngineClient()
    made = EngineEnvironment(client)
    yield made
    made.close()
    client.close()


def test_order_setting_variable_checkout_managed(places, monkeypatch):
    assert find_python() == ("", "")
    managed = interpreter_in(places / "managed")
    managed.parent.mkdir(parents=True)
    managed.touch()
    assert find_python() == ("", ""), "an environment without marker is not complete"
    (places / "managed" / MARKER).touch()
    assert find_python() == (str(managed), "managed")
    checkout = places / "checkout"
    checkout.touch()
    monkeypatch.setattr(environment_module, "checkout_python", lambda: checkout)
    assert find_python() == (str(checkout), "checkout")
    monkeypatch.setenv("RS_SEGMENT_PYTHON", "/some/python")
    assert find_python() == ("/some/python", "variable")
    settings.set_engine_python("/chosen/python")
    assert find_python() == ("/chosen/python", "setting")


def test_without_a_driver_only_the_cpu_is_offered(service, monkeypatch):
    monkeypatch.setattr(environment_module, "has_nvidia_driver", lambda: False)
    assert service.devices() == ["cpu"]
    monkeypatch.setattr(environment_module, "has_nvidia_driver", lambda: True)
    assert service.devices() == []
    text = json.dumps({"python": [3, 11, 0], "versions": {"torch": "2.15.0+cpu"}})
    settings.set_engine_python("/a/python")
    service._keep(judge("/a/python", "setting", 0, text))
    assert service.devices() == ["cpu"]


def test_no_interpreter_and_a_missing_one_say_what_to_do(service):
    status = service.status()
    assert not status.ok and "RS_SEGMENT_PYTHON" in status.hint
    settings.set_engine_python("/nowhere/python")
    status = service.status()
    assert not status.ok and "/nowhere/python" in status.message and status.hint


def test_the_engine_passes_the_check_and_is_used(service):
    answers = []
    service.check(PYTHON, answers.append)
    wait_until(lambda: answers)
    assert answers[0].ok, answers[0]
    assert answers[0].versions["torch"] in answers[0].message
    changes = []
    service.changed.connect(lambda: changes.append(service.status()))
    service.use(PYTHON)
    wait_until(lambda: changes)
    assert (changes[-1].ok, changes[-1].origin, changes[-1].python) == (True, "setting", PYTHON)
    assert service.python() == PYTHON


def test_an_interpreter_without_packages_names_them(service):
    answers = []
    service.check(sys.executable, answers.append)
    wait_until(lambda: answers)
    assert not answers[0].ok
    assert "torch" in answers[0].message and answers[0].hint


@pytest.mark.parametrize("python", ["/nowhere/python", "/bin/false", "/bin/ls"])
def test_what_is_no_python_is_said_so(service, python):
    answers = []
    service.check(python, answers.append)
    wait_until(lambda: answers)
    assert not answers[0].ok and python in answers[0].message


def test_an_old_python_is_refused():
    text = json.dumps({"python": [3, 9, 5], "versions": {"torch": "2.0"}})
    status = judge("/old/python", "setting", 0, "noise\n" + text)
    assert not status.ok
    assert "3.9.5" in status.message and "3.10" in status.hint


def write_wheel(folder: Path, name: str, code: str) -> Path:
    """Pack a wheel with one module by hand."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
        lines.append(f"{path},sha256={digest.rstrip(b'=').decode()},{len(text)}")
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,"]) + "\n"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in files.items():
            archive.writestr(member, text)
    return path


class Making:
    """An environment in the making, from a wheel made here: no network is needed."""

    def __init__(self, folder: Path, code: str, requirement: str = "") -> None:
        wheel = write_wheel(folder, "tiny_engine", code)
        requirements = folder / "requirements.txt"
        requirements.write_text(requirement or f"{wheel}\n")
        self.target = folder / "a place" / "managed"
        self.creator = EnvironmentCreator(
            self.target,
            interpreter_in(self.target),
            requirements=requirements,
            packages=["tiny_engine"],
            modules=["tiny_engine"],
        )
        self.stages: list[str] = []
        self.lines: list[str] = []
        self.ends: list[tuple[bool, str, str]] = []
        self.creator.progress.connect(lambda stage, done, total: self.stages.append(stage))
        self.creator.line.connect(self.lines.append)
        self.creator.finished.connect(lambda *end: self.ends.append(end))

    def finish(self) -> tuple[bool, str, str]:
        self.creator.start()
        assert self.creator.running()
        wait_until(lambda: self.ends, 240)
        assert not self.creator.running()
        return self.ends[0]


@pytest.fixture(autouse=True)
def offline_pip(monkeypatch):
    monkeypatch.setattr(settings, "pip_arguments", lambda: ["--no-index"])


@pytest.mark.slow
@pytest.mark.skipif(not base_pythons(), reason="no Python for an environment")
def test_an_environment_is_made(tmp_path):
    making = Making(tmp_path, "VALUE = 7\n")
    ok, message, _ = making.finish()
    assert ok, (message, making.lines)
    assert interpreter_in(making.target).is_file()
    assert making.stages[0] == "Looking for a Python"
    assert making.stages[-1] == "Checking the environment"
    assert any("tiny" in line for line in making.lines)


@pytest.mark.slow
def test_a_failure_is_explained_and_leaves_nothing(tmp_path):
    making = Making(tmp_path, "import a_missing_library\n")
    ok, message, hint = making.finish()
    assert not ok and "do not load" in message and "a_missing_library" in message and hint
    assert not making.target.exists()


def test_closing_in_the_middle_leaves_nothing(tmp_path):
    making = Making(tmp_path, "")
    making.creator.start()
    wait_until(lambda: "Making the environment" in making.stages)
    making.creator.close()
    assert making.ends == [(False, "Cancelled.", "")]
    assert not making.target.exists()


def test_cancel_ends_at_once_and_leaves_nothing(tmp_path):
    making = Making(tmp_path, "")
    making.creator.start()
    wait_until(lambda: "Making the environment" in making.stages)
    start_s = time.monotonic()
    making.creator.cancel()
    wait_until(lambda: making.ends)
    assert time.monotonic() - start_s < 1.0
    assert making.ends == [(False, "Cancelled.", "")]
    assert not making.target.exists()


def test_without_a_base_python_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(creator_module, "base_pythons", lambda: ["/bin/false"])
    making = Making(tmp_path, "")
    making.target.mkdir(parents=True)
    ok, message, hint = making.finish()
    assert not ok and "3.10" in message and "python3-venv" in hint
    assert making.target.is_dir()  # nothing was begun, so the environment that is there stays


def test_a_finished_managed_environment_is_found(service, places, monkeypatch):
    managed = interpreter_in(places / "managed")
    managed.parent.mkdir(parents=True)
    managed.symlink_to(PYTHON)
    service._created(True, "", "")
    assert find_python() == (str(managed), "managed")


def test_proxies_become_addresses():
    assert proxy_url(QNetworkProxy(QNetworkProxy.ProxyType.NoProxy)) == ""
    plain = QNetworkProxy(QNetworkProxy.ProxyType.HttpProxy, "proxy.example.org", 3128)
    assert proxy_url(plain) == "http://proxy.example.org:3128"
    named = QNetworkProxy(QNetworkProxy.ProxyType.Socks5Proxy, "proxy", 1080, "a@b", "c:d/e")
    assert proxy_url(named) == "socks5h://a%40b:c%3Ad%2Fe@proxy:1080"


def test_settings_keep_json(places):
    settings.set_gui_value("options", {"tile": 512, "tta": True})
    assert settings.gui_value("options") == {"tile": 512, "tta": True}
    assert settings.gui_value("absent", 3) == 3
