"""A model is trained in the dock of the real QGIS program, from labels to corrected labels.

One QGIS session does all steps (``train_session.py``) with the real engine on the shipped
sample; each test looks at one of them. Pictures as in ``test_dock_in_qgis.py``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("qgis.core")

from tests.plugin.qgis_program import ENGINE_PYTHON, MARKS, run_session

MAX_SHOT_BYTES = 500_000
pytestmark = MARKS


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train_session")
    return run_session(folder, "train_session.py", RS_SEGMENT_PYTHON=ENGINE_PYTHON)


@pytest.fixture
def steps(session):
    assert session["errors"] == [], session["errors"][0]
    return session["steps"]


def test_the_page_says_what_is_missing_one_after_another(steps):
    page = steps["inputs"]
    assert "label polygons" in page["without_labels"]
    assert "Give the model a name" in page["without_name"]
    assert "137 polygons of one class" in page["notes"] and page["enabled"]
    assert "clipboard" in page["command"]


def test_a_narrow_dock_needs_no_horizontal_scrolling(steps):
    for name, width in steps["inputs"]["widths"].items():
        assert width["needed"] <= width["viewport"], name


def test_chips_are_cut_and_the_curves_grow(steps):
    seen = steps["train"]
    assert not seen["early"] and seen["front"] and seen["button"] == "Cancel"
    assert {"chips", "train"} <= set(seen["stages"])
    assert seen["curves"]["training"] > 8 and seen["curves"]["validation"] >= 4
    assert seen["curves"]["house"] >= 4
    assert any("steps" in text for text in seen["statuses"])


def test_a_pause_stops_within_seconds_and_goes_on_from_where_it_was(steps):
    seen = steps["train"]
    assert seen["paused_s"] < 3 and "Paused" in seen["pause_status"]
    assert seen["pause_button"] == "Resume" and seen["steps_while_paused"] == 0
    assert seen["resumed_at"] > seen["last_step"] - 2


def test_stop_and_keep_makes_a_model_that_is_chosen(steps):
    seen = steps["train"]
    assert seen["end"].startswith("done"), seen["end"]
    assert seen["states"][-1] == "idle" and "keeping" in seen["states"]
    assert seen["outputs"]["MODEL_ID"] == "houses_of_banepa" == seen["model"]
    assert Path(seen["outputs"]["OUTPUT"]).name == "houses_of_banepa"
    assert seen["report"] and "Open the report" in seen["links"]
    assert "Houses of Banepa" in seen["card"] and "house" in seen["card"]
    assert "chosen in the Segment tab" in seen["resting"]


def test_a_result_becomes_labels_to_correct(steps):
    seen = steps["correct"]
    assert seen["front"] and seen["kind"].startswith("done"), seen["kind"]
    assert seen["offered"] and seen["tab"] and seen["active"]
    assert len(set(seen["counts"])) == 1 and seen["counts"][0] > 0
    assert seen["editable"] and not seen["result_editable"]
    assert "found_labels.gpkg" in seen["source"] and "class_name" in seen["fields"]
    assert seen["area"] == 1 and seen["class_field"] == "class_name"
    assert seen["init"].endswith("houses_of_banepa") and seen["title"] == "Houses of Banepa 2"


def test_pictures_are_small_enough_for_the_guide(session, steps):
    for name in ("train_inputs", "train", "train_end", "correct"):
        path = session["shots"] / f"{name}.png"
        assert 5_000 < path.stat().st_size < MAX_SHOT_BYTES, path
