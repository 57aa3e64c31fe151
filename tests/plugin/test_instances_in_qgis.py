"""A trained model of single objects in the dock of the real QGIS program.

``RS_SEGMENT_INSTANCE_MODEL`` names the model folder (``docs/instances.md`` says how one is made);
without it there is nothing to run. Pictures as in ``test_dock_in_qgis.py``.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

pytest.importorskip("qgis.core")

from tests.plugin.qgis_program import ENGINE_PYTHON, MARKS, run_session

MODEL = os.environ.get("RS_SEGMENT_INSTANCE_MODEL", "")
MAX_SHOT_BYTES = 500_000
pytestmark = [
    *MARKS,
    pytest.mark.skipif(not MODEL, reason="RS_SEGMENT_INSTANCE_MODEL names no model folder"),
]


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    folder = tmp_path_factory.mktemp("instances_session")
    shutil.copytree(MODEL, folder / "zoo" / Path(MODEL).name)
    return run_session(folder, "instances_session.py", RS_SEGMENT_PYTHON=ENGINE_PYTHON)


@pytest.fixture
def steps(session):
    assert session["errors"] == [], session["errors"][0]
    return session["steps"]


def test_the_run_gives_one_layer_of_objects_with_a_slider(steps):
    run = steps["run"]
    assert run["kind"] == "done", run["message"]
    (layer,) = [layer for layer in run["layers"] if layer["groups"]]
    assert layer["valid"] and layer["count"] > 10 and layer["renderer"] == "categorizedSymbol"
    assert {"class_name", "score", "area_m2", "perimeter_m"} <= set(layer["fields"])
    assert run["slider"]


def test_objects_are_coloured_one_by_one_and_filtered_by_score(steps):
    seen = steps["styles"]
    assert seen["by_class"] == "categorizedSymbol" and seen["one_by_one"] == "singleSymbol"
    assert "one by one" in seen["names"]
    assert 0 < seen["sure"] < seen["every"]
    assert seen["filter"] == '"score" >= 0.70' and "70 %" in seen["label"]


def test_pictures_are_small_enough_for_the_guide(session, steps):
    for name in ("instances", "instances_score"):
        assert 5_000 < (session["shots"] / f"{name}.png").stat().st_size < MAX_SHOT_BYTES
