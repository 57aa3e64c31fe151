"""Run panel, notices and the Engine page with the real environment service."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("qgis.core")

from qgis.PyQt.QtWidgets import QPushButton
from qgis.testing import start_app

from rs_segment_plugin import settings
from rs_segment_plugin.gui import stage_clock
from rs_segment_plugin.gui.environment_page import EnvironmentPage
from rs_segment_plugin.gui.notices import DetailsDialog, Notices
from rs_segment_plugin.gui.preflight import OK, PROBLEM, Note
from rs_segment_plugin.gui.run_panel import RunPanel
from rs_segment_plugin.gui.train_panel import TrainPanel
from rs_segment_plugin.worker import environment as environment_module
from rs_segment_plugin.worker.client import EngineClient
from rs_segment_plugin.worker.environment import EngineEnvironment
from tests.plugin.gui_window import Window, wait_for

pytestmark = pytest.mark.qgis
start_app()

ENGINE_PYTHON = os.environ.get(
    "RS_SEGMENT_PYTHON", str(Path(__file__).resolve().parents[2] / ".venv/bin/python")
)


@pytest.fixture
def environment(tmp_path, monkeypatch):
    monkeypatch.delenv("RS_SEGMENT_PYTHON", raising=False)
    monkeypatch.setattr(environment_module, "checkout_python", lambda: tmp_path / "none")
    monkeypatch.setattr(environment_module, "managed_folder", lambda: tmp_path / "engine")
    settings.set_engine_python("")
    client = EngineClient()
    service = EngineEnvironment(client)
    yield service
    service.close()
    client.close()
    settings.set_engine_python("")


def test_run_waits_for_a_sound_preflight():
    panel = RunPanel()
    panel.show_notes([Note(PROBLEM, "Choose a raster <layer>.")], ready=False)
    assert not panel.run_button.isEnabled()
    assert "Choose a raster &lt;layer&gt;." in panel.notes_label.text()
    panel.show_notes([Note(OK, "fine")], ready=True)
    pressed = []
    panel.run_requested.connect(lambda: pressed.append("run"))
    panel.run_button.click()
    assert pressed == ["run"]


def test_progress_shows_stage_speed_and_time_left(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr("rs_segment_plugin.gui.run_panel.time.monotonic", lambda: clock[0])
    panel = RunPanel()
    panel.set_running(True, megapixels=50.0)
    assert panel.bar.maximum() == 0
    panel.show_stage("predict", 0, 100, "tiles")
    clock[0] += 10
    panel.show_stage("predict", 20, 100, "tiles")
    # 20 of 100 tiles in 10 s: 10 of 50 Mpx, and 40 s for the other 80 tiles.
    assert panel.bar.value() == 20 and panel.bar.maximum() == 100
    assert panel.status_label.text() == "Segmenting: 20 of 100 tiles · 1.0 Mpx/s · 40 s left"
    clock[0] += 1
    panel.show_stage("vectorize", 500, 1000, "rows")
    assert panel.status_label.text().startswith("Drawing polygons: 500 of 1,000 rows")


def test_cancel_is_answered_at_once_and_late_progress_does_not_hide_it():
    panel = RunPanel()
    asked = []
    panel.cancel_requested.connect(lambda: asked.append("cancel"))
    panel.set_running(True, megapixels=1.0)
    assert panel.run_button.text() == "Cancel"
    panel.run_button.click()
    assert asked == ["cancel"]
    panel.show_cancelling()
    text = panel.status_label.text()
    panel.show_stage("predict", 5, 10, "tiles")
    assert panel.status_label.text() == text and "No layer" in text
    panel.set_running(False)
    assert panel.run_button.text() == "Run" and not panel.bar.isVisibleTo(panel)


def test_a_run_after_a_cancelled_one_shows_its_progress():
    panel = RunPanel()
    panel.set_running(True)
    panel.show_cancelling()
    panel.set_running(False)
    panel.set_running(True)
    panel.show_stage("predict", 3, 8, "tiles")
    assert "3 of 8" in panel.status_label.text() and panel.bar.value() == 3


def test_a_stage_that_begins_in_the_middle_has_no_wild_speed(monkeypatch):
    """A training that goes on from step 500 has not made 500 steps in a moment."""
    now = [100.0]
    monkeypatch.setattr("rs_segment_plugin.gui.run_panel.time.monotonic", lambda: now[0])
    panel = RunPanel()
    panel.set_running(True)
    panel.show_stage("train", 500, 700, "steps")
    now[0] += 2.0
    panel.show_stage("train", 501, 700, "steps")
    assert "0.50 steps/s" in panel.status_label.text()


def test_the_bar_of_a_training_stays_with_the_steps_while_it_measures():
    panel = TrainPanel()
    panel.set_running(True)
    panel.show_state("training", can_keep=True)
    panel.show_stage("train", 3, 12, "steps")
    panel.show_stage("validate", 5, 5, "batches")
    assert (panel.bar.value(), panel.bar.maximum()) == (3, 12)
    assert "3 of 12" in panel.status_label.text() and "measuring" in panel.status_label.text()
    panel.show_state("paused", can_keep=True)
    panel.show_stage("train", 4, 12, "steps")
    assert "Paused" in panel.status_label.text() and panel.pause_button.text() == "Resume"
    panel.show_state("idle", can_keep=False)
    assert not panel.pause_button.isVisibleTo(panel)


def test_failure_stays_in_the_message_bar_with_details():
    window = Window()
    Notices(window).failure("Segmentation failed", "The raster is gone.", "Choose another.", "tb")
    item = window.messageBar().currentItem()
    assert "The raster is gone. Choose another." in item.text() and "tb" not in item.text()
    assert item.findChild(QPushButton, "rsDetails").text() == "Details"
    dialog = DetailsDialog("Segmentation failed", "The raster is gone.", "", "line 1\nline 2")
    assert dialog.box.toPlainText() == "line 1\nline 2"


def test_without_an_engine_the_page_explains_and_asks_for_consent(environment):
    page = EnvironmentPage(environment)
    assert "One step before the first run" in page.state.text()
    assert "GB" in page.plan.text() and not page.create_button.isEnabled()
    page.consent.setChecked(True)
    assert page.create_button.isEnabled()
    page.consent.setChecked(False)
    assert not page.create_button.isEnabled()


def test_creating_can_be_cancelled_and_leaves_nothing(environment, tmp_path):
    page = EnvironmentPage(environment)
    page.consent.setChecked(True)
    page.create_button.click()
    assert page.create_button.text() == "Cancel" and not page.consent.isEnabled()
    page.create_button.click()
    assert wait_for(lambda: page.create_button.text() == "Create", 20)
    assert "Cancelled" in page.progress_text.text()
    assert not page.create_button.isEnabled() and not page.consent.isChecked()
    assert not (tmp_path / "engine").exists() and not environment.status().ok


def test_a_long_step_says_how_long_it_runs(monkeypatch):
    now_s, shown = [100.0], []
    monkeypatch.setattr(stage_clock.time, "monotonic", lambda: now_s[0])
    clock = stage_clock.StageClock(shown.append)
    clock.start("Downloading")
    now_s[0] += 185.0
    clock.say("Installing")
    assert shown == ["Downloading", "Installing (3 min 5 s)"]
    now_s[0] += 10.0
    assert wait_for(lambda: shown[-1] == "Installing (3 min 15 s)", 5)
    clock.stop()
    count = len(shown)
    assert not wait_for(lambda: len(shown) > count, 1.5)


def test_a_python_without_packages_is_refused_with_the_reason(environment):
    page = EnvironmentPage(environment)
    page.python.setFilePath("/usr/bin/python3")
    page.check_button.click()
    assert "Checking" in page.check_text.text() and not page.check_button.isEnabled()
    assert wait_for(page.check_button.isEnabled, 30)
    assert "torch" in page.check_text.text()
    assert settings.engine_python() == "" and not environment.status().ok


def test_a_sound_python_is_used_from_then_on(environment):
    page = EnvironmentPage(environment)
    page.python.setFilePath(ENGINE_PYTHON)
    page.check_button.click()
    assert wait_for(lambda: "The engine is ready" in page.state.text(), 60)
    assert settings.engine_python() == ENGINE_PYTHON
    assert wait_for(lambda: bool(environment.status().versions), 60)
    assert environment.status().ok and "python" in page.state.text()
    assert "torch" in page.state.text() and "numba" in page.state.toolTip()


def test_an_interpreter_that_is_gone_is_named(environment, tmp_path):
    settings.set_engine_python(str(tmp_path / "gone" / "python"))
    page = EnvironmentPage(environment)
    assert "gone/python does not exist" in page.state.text()
