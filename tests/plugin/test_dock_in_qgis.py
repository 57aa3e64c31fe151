"""The whole dock in the real QGIS program under a virtual display, driven like an analyst.

One QGIS session does all steps (``dock_session.py``); each test looks at one of them. The
pictures go to a temporary folder, or to ``$RS_SEGMENT_SCREENSHOTS`` (``make screenshots``).
"""

from __future__ import annotations

import pytest

pytest.importorskip("qgis.core")

from tests.plugin.qgis_program import MARKS, run_session

MAX_SHOT_BYTES = 500_000

pytestmark = MARKS


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return run_session(tmp_path_factory.mktemp("qgis_session"), "dock_session.py")


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
