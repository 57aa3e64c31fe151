"""The evaluate job of instance models: a network that reads the objects from the raster."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.errors import LabelError
from tests.engine.pipelines.evaluate_scenes import (
    BLOCKS,
    SHAPE,
    evaluate,
    make_chips,
    write_labels,
    write_scene,
)
from tests.factories_instances import write_oracle_model
from tests.factories_models import write_identity_model

NUMBERS = range(1, len(BLOCKS) + 1)
NAMES = [f"Kind_{number % 3}" for number in NUMBERS]


def scene(left_out: int = 0) -> np.ndarray:
    """Return the raster that holds the number of the object at each pixel."""
    numbers = np.zeros(SHAPE, np.uint8)
    for number, (top, left, bottom, right, _) in zip(NUMBERS, BLOCKS, strict=True):
        if number != left_out:
            numbers[top:bottom, left:right] = number
    return numbers


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(write_oracle_model(tmp_path / "oracle", tile_px=64))


def test_a_perfect_model_on_a_raster_with_labels(tmp_path: Path, model: str) -> None:
    raster, labels = write_scene(tmp_path, scene()), write_labels(tmp_path / "l.gpkg", names=NAMES)
    result, _ = evaluate(tmp_path, model=model, raster=raster, labels=labels, class_field="kind")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    for kind in ("mask", "box"):
        assert metrics[kind]["AP"] == metrics[kind]["AP75"] == metrics[kind]["AR"] == 1.0
    assert metrics["mask"]["APM"] == 1.0
    assert metrics["mask"]["APS"] == 1.0  # 30 x 18 and 25 x 40 pixels
    assert metrics["objects"]["f1"] == 1.0
    assert metrics["ground"]["iou"] == pytest.approx(1.0)
    assert metrics["count"] == {"objects": 5, "detections": 5}
    assert [row["truth"] for row in metrics["classes"]] == [1, 2, 2]
    assert result.details["min_score"] == 0.05


def test_a_missed_object_on_a_raster(tmp_path: Path, model: str) -> None:
    """One of two objects of kind 2 is not there: recall 1/2, AP 51/101 for it, 1 for the rest."""
    raster = write_scene(tmp_path, scene(left_out=2))
    labels = write_labels(tmp_path / "l.gpkg", names=NAMES)
    result, _ = evaluate(tmp_path, model=model, raster=raster, labels=labels, class_field="kind")
    aps = [row["mask"]["AP"] for row in result.details["classes"]]
    assert aps == pytest.approx([1.0, 1.0, 51 / 101])
    assert result.details["objects"]["recall"] == pytest.approx(4 / 5)
    assert result.details["ground"]["precision"] == pytest.approx(1.0)


def test_objects_and_ground_are_those_above_the_threshold_of_the_card(
    tmp_path: Path, model: str
) -> None:
    """The scores are 0.648, 0.796, 0.944, 0.592 and 0.74; AP counts all of them."""
    card = json.loads((Path(model) / "card.json").read_text())
    (Path(model) / "card.json").write_text(json.dumps({**card, "score_threshold": 0.7}))
    raster, labels = write_scene(tmp_path, scene()), write_labels(tmp_path / "l.gpkg", names=NAMES)
    result, _ = evaluate(tmp_path, model=model, raster=raster, labels=labels, class_field="kind")
    sizes = [(scene() == number).sum() for number in NUMBERS]
    seen = sum(sizes[number - 1] for number in (2, 3, 5))
    assert result.details["mask"]["AP"] == 1.0
    assert result.details["objects"]["recall"] == pytest.approx(3 / 5)
    assert result.details["ground"]["precision"] == pytest.approx(1.0)
    assert result.details["ground"]["recall"] == pytest.approx(seen / sum(sizes), rel=1e-3)


def test_objects_outside_the_labelled_area_do_not_count(tmp_path: Path, model: str) -> None:
    raster = write_scene(tmp_path, scene(left_out=2))
    labels = write_labels(tmp_path / "l.gpkg", names=NAMES)
    area = write_labels(tmp_path / "a.gpkg", [(48, 0, SHAPE[0], SHAPE[1], 1)])
    result, _ = evaluate(
        tmp_path, model=model, raster=raster, labels=labels, class_field="kind", aoi=area
    )
    assert result.details["mask"]["AP"] == 1.0
    assert result.counts == {"objects": 3, "detections": 3}


def test_chips_with_cut_objects(tmp_path: Path, model: str) -> None:
    """Objects are cut by the chips; the network sees the same cuts, so nothing is wrong."""
    raster, labels = write_scene(tmp_path, scene()), write_labels(tmp_path / "l.gpkg", names=NAMES)
    chips = make_chips(tmp_path, raster, labels)
    result, _ = evaluate(tmp_path, model=model, chips=chips, split="all")
    assert result.details["mask"]["AP"] == result.details["box"]["AP"] == 1.0
    assert result.details["mask"]["AR100"] == 1.0
    assert result.counts["objects"] >= 5
    worse = write_scene(tmp_path, np.where(scene() == 4, 0, scene()))
    chips = make_chips(tmp_path, worse, labels, overwrite=True)
    result, _ = evaluate(tmp_path, model=model, chips=chips, split="all")
    aps = {row["name"]: row["mask"]["AP"] for row in result.details["classes"]}
    assert aps["kind 0"] == aps["kind 2"] == 1.0
    assert aps["kind 1"] < 1.0


def test_what_does_not_fit_is_said(tmp_path: Path, model: str) -> None:
    raster, labels = write_scene(tmp_path, scene()), write_labels(tmp_path / "l.gpkg")
    with pytest.raises(LabelError, match="lacks: Class_1, Class_2"):
        evaluate(tmp_path, model=model, raster=raster, labels=labels, class_field="kind")
    semantic = write_identity_model(tmp_path / "identity", 6)
    chips = make_chips(tmp_path, raster, write_labels(tmp_path / "m.gpkg"), background=False)
    with pytest.raises(LabelError, match="lacks: Class_1"):
        evaluate(tmp_path, model=model, chips=chips, split="all")
    with pytest.raises(LabelError, match="there is no split 'tset'"):
        evaluate(tmp_path, model=model, chips=chips, split="tset")
    result, notes = evaluate(tmp_path, model=str(semantic), chips=chips, split="all")
    assert any("classes of the model that the labels do not have: class 0" in n for n in notes)
    assert result.details["miou"] is not None
