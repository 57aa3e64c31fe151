"""The whole dock in the real QGIS program under a virtual display, driven like an analyst.

One QGIS session does all steps (``dock_session.py``); each test looks at one of them. The
pictures go to a temporary folder, or to ``$RS_SEGMENT_SCREENSHOTS`` (``make screenshots``).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("qgis.core")

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "resources" / "samples" / "banepa.tif"
MODEL = ROOT / "resources" / "zoo" / "buildings_mobilenetv2" / "weights.safetensors"
ENGINE_PYTHON = os.environ.get("RS_SEGMENT_PYTHON", str(ROOT / ".venv" / "bin" / "python"))
PATIENCE = float(os.environ.get("RS_SEGMENT_PATIENCE", "1"))
SESSION_LIMIT_S = 540 * PATIENCE
MAX_SHOT_BYTES = 500_000

pytestmark = [
    pytest.mark.qgis,
    pytest.mark.slow,
    pytest.mark.timeout(SESSION_LIMIT_S + 30),
    pytest.mark.skipif(shutil.which("qgis") is None, reason="the QGIS program is not installed"),
    pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="xvfb-run is not installed"),
]


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qgis_session")
    profiles, work = folder / "profiles", folder / "work"
    profile = profiles / "profiles" / "default"
    work.mkdir()
    install = [sys.executable, str(ROOT / "scripts" / "install_plugin.py")]
    subprocess.run([*install, "--profile-dir", str(profile)], check=True, cwd=ROOT)
    write_settings(profile / "QGIS" / "QGIS3.ini")
    shots = Path(os.environ.get("RS_SEGMENT_SCREENSHOTS") or folder / "shots")
    settings = {
        "report": str(folder / "report.json"),
        "shots": str(shots),
        "raster": str(SAMPLE),
        "python": ENGINE_PYTHON,
        "work": str(work),
        "patience": PATIENCE,
    }
    variables = {k: v for k, v in os.environ.items() if k not in ("RS_SEGMENT_PYTHON", "DISPLAY")}
    variables.pop("QT_QPA_PLATFORM", None)
    variables.update(
        RS_SEGMENT_SESSION=json.dumps(settings),
        RS_SEGMENT_ZOO=str(folder / "zoo"),
        QGIS_CUSTOM_CONFIG_PATH=str(profiles),
        LIBGL_ALWAYS_SOFTWARE="1",
        GDAL_PAM_ENABLED="NO",
        XDG_RUNTIME_DIR=str(make_private(folder / "runtime")),
    )
    script = Path(__file__).with_name("dock_session.py")
    command = ["xvfb-run", "-a", "-s", "-screen 0 1400x900x24", "qgis", "--nologo"]
    command += ["--noversioncheck", "--profiles-path", str(profiles), "--code", str(script)]
    done = subprocess.run(
        command, env=variables, capture_output=True, text=True, timeout=SESSION_LIMIT_S
    )
    report = Path(settings["report"])
    assert done.returncode == 0, f"QGIS ended with {done.returncode}:\n{done.stderr[-4000:]}"
    assert report.is_file(), f"QGIS ended without a report:\n{done.stdout}\n{done.stderr}"
    return {**json.loads(report.read_text(encoding="utf-8")), "shots": shots}


def make_private(folder):
    folder.mkdir(mode=0o700)
    return folder


def write_settings(path):
    """Enable the plugin in a fresh profile, without tips and welcome pages."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    text += "\n[PythonPlugins]\nrs_segment_plugin=true\nprocessing=true\n"
    text += "\n[qgis]\nshowTips=false\ncheckVersion=false\n"
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def steps(session):
    assert session["errors"] == [], session["errors"][0]
    return session["steps"]


def test_without_an_engine_its_page_is_in_front_and_run_is_off(steps):
    page = steps["engine_page"]
    assert page["front"] and not page["run_enabled"]
    assert "One step before the first run" in page["state"]


def test_only_a_python_with_the_packages_is_taken(steps):
    page = steps["engine_page"]
    assert "torch" in page["refused"] and "The engine is ready" in page["ready"]


def test_dock_follows_the_active_raster_and_shows_the_shipped_model(steps):
    page = steps["ready_page"]
    assert page["followed"] and page["run_enabled"]
    assert "building" in page["card"] and "#e6550d" in page["card"] and "shipped" in page["card"]
    assert "fits the model" in page["notes"] and "1.6 megapixels" in page["notes"]


def test_a_narrow_dock_needs_no_horizontal_scrolling(steps):
    widths = steps["ready_page"]["widths"]
    assert widths["320"]["dock"] <= 325
    for name in ("320", "360", "open"):
        assert widths[name]["needed"] <= widths[name]["viewport"], name


def test_run_makes_a_styled_layer_in_its_group(steps):
    run = steps["run"]
    assert run["kind"] == "done", f"{run['message']} {run['hint']}\n{run['details']}"
    assert run["button"] == "Cancel" and not run["page_enabled"]
    made = [layer for layer in run["layers"] if layer["groups"]]
    assert len(made) == 1
    layer = made[0]
    assert layer["groups"] == ["RS Segment", "banepa"] and layer["valid"]
    assert layer["renderer"] == "categorizedSymbol" and "building" in layer["legend"]
    assert layer["crs"] == "EPSG:4326" and layer["count"] > 20
    fields = {"class_id", "class_name", "score", "area_m2", "perimeter_m", "model_id", "run_id"}
    assert fields <= set(layer["fields"])
    assert f"{layer['count']} polygons" in run["bar"] and f"{layer['count']}" in run["resting"]
    assert "houses.gpkg" in run["files"] and not any(f.endswith(".run") for f in run["files"])


def test_progress_was_shown_while_it_ran(steps):
    assert "predict" in steps["run"]["stages"] and "of" in steps["run"]["status"]


def test_command_is_the_run_as_a_line_for_the_terminal(steps):
    command = steps["run"]["command"]
    assert command.startswith("qgis_process run rssegment:segment")
    for part in ("MIN_AREA=4", "BANDS=1", "houses.gpkg", "banepa.tif", "buildings_mobilenetv2"):
        assert part in command


def test_a_view_of_another_place_switches_run_off_and_says_why(steps):
    assert "outside the raster" in steps["elsewhere"]["notes"]


def test_cancel_answers_at_once_and_ends_within_a_second(steps):
    cancel = steps["cancel"]
    assert cancel["button"] == "Cancelling…" and "No layer" in cancel["status"]
    assert cancel["answered_s"] < 0.3 and cancel["ended_s"] < 1.5
    assert cancel["kind"] == "cancelled" and "Cancelled" in cancel["resting"]
    assert cancel["layers_added"] == 0 and not cancel["output_exists"]
    assert cancel["resume_offered"] and cancel["button_after"] == "Run"


def test_a_broken_raster_is_explained_without_a_traceback(steps):
    bad = steps["bad_input"]
    assert bad["kind"] in ("failed", "refused") and bad["details_button"]
    assert "broken" in bad["bar"] and "Traceback" not in bad["bar"]
    assert bad["hint"] and not bad["output_exists"]


def test_switching_the_plugin_off_ends_the_run_and_the_engine(steps):
    unload = steps["unload"]
    assert unload["children_before"] >= 1 and unload["children_after"] == []
    assert unload["seconds"] < 5 and not unload["output_exists"]
    assert "RsSegmentDock" not in unload["docks"] and not unload["provider"]


def test_pictures_are_small_enough_for_the_guide(session, steps):
    for name in ("engine", "dock", "options", "running", "result", "failure"):
        path = session["shots"] / f"{name}.png"
        assert 5_000 < path.stat().st_size < MAX_SHOT_BYTES, path
