"""The evaluate job of semantic models: a model that gives its input back is the oracle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.errors import JobCancelled, JobError, LabelError, ModelError, RasterError
from engine.jobs import EvaluateJob
from engine.pipelines.evaluate import run_evaluate
from tests.engine.pipelines.evaluate_scenes import (
    BLOCKS,
    SHAPE,
    class_map,
    evaluate,
    make_chips,
    write_labels,
    write_scene,
)
from tests.factories import make_raster
from tests.factories_models import write_identity_model


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(write_identity_model(tmp_path / "identity", 3))


def test_a_perfect_model_on_a_raster_with_labels(tmp_path: Path, model: str) -> None:
    raster, labels = write_scene(tmp_path, class_map()), write_labels(tmp_path / "l.gpkg")
    result, _ = evaluate(tmp_path, model=model, raster=raster, labels=labels, class_field="kind")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["miou"] == metrics["pixel_accuracy"] == metrics["mean_f1"] == 1.0
    assert metrics["boundary"]["mean_f1"] == 1.0
    assert metrics["confusion"] == np.diag(np.bincount(class_map().ravel())).tolist()
    assert metrics["count"] == {"pixels": SHAPE[0] * SHAPE[1], "polygons": len(BLOCKS)}
    assert (metrics["model"], metrics["split"], metrics["data"]) == ("identity", "all", raster)
    assert metrics["seconds"] > 0
    assert result.outputs["metrics"] == str(tmp_path / "metrics.json")
    assert not list(tmp_path.glob(".*"))  # the work folder is gone
    by_code, _ = evaluate(tmp_path, model=model, raster=raster, labels=labels, class_field="code")
    assert by_code.details["miou"] == 1.0


def test_mistakes_are_counted_to_the_pixel(tmp_path: Path, model: str) -> None:
    """The model calls a block of class 1 class 2, misses one of class 2 and finds a false one."""
    found = class_map([(*b[:4], 2) if i == 0 else b for i, b in enumerate(BLOCKS) if i != 3])
    found[0:5, 0:7] = 1
    raster, labels = write_scene(tmp_path, found), write_labels(tmp_path / "l.gpkg")
    result, _ = evaluate(tmp_path, model=model, raster=raster, labels=labels, class_field="kind")
    truth = class_map()
    expected = [[int(((truth == t) & (found == f)).sum()) for f in range(3)] for t in range(3)]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["confusion"] == expected
    assert expected[0][1] == 35
    assert expected[1][2] == 30 * 18
    assert expected[2][0] == 40 * 30
    row = result.details["classes"][2]
    assert row["recall"] == pytest.approx(25 * 40 / (25 * 40 + 1200))
    assert row["precision"] == pytest.approx(1000 / 1540)


def test_only_the_labelled_area_and_valid_pixels_count(tmp_path: Path, model: str) -> None:
    """Rows 0 to 59 are labelled; below them the model is wrong; 200 pixels have no data."""
    found = class_map()
    found[60:] = 2
    found[:10, :20] = 9
    raster = write_scene(tmp_path, found, nodata=9)
    labels = write_labels(tmp_path / "l.gpkg")
    area = write_labels(tmp_path / "a.gpkg", [(0, 0, 60, SHAPE[1], 1)])
    result, _ = evaluate(
        tmp_path, model=model, raster=raster, labels=labels, class_field="kind", aoi=area
    )
    assert result.details["miou"] == 1.0
    assert result.counts["pixels"] == 60 * SHAPE[1] - 200


def test_a_tolerance_of_outlines_in_metres(tmp_path: Path, model: str) -> None:
    """Pixels are 2 m wide and 1 m high: outlines one column aside are right at 2 m, not at 1.9."""
    found = np.zeros(SHAPE, np.uint8)
    found[:, 81:] = 1
    raster = write_scene(tmp_path, found)
    labels = write_labels(tmp_path / "l.gpkg", [(0, 80, SHAPE[0], SHAPE[1], 1)])
    given = {"model": model, "raster": raster, "labels": labels, "class_field": "code"}
    scores = []
    for metres in (1.9, 2.01):
        result, _ = evaluate(tmp_path, **given, boundary_m=metres)
        outlines = result.details["boundary"]
        scores.append(outlines["classes"][1]["f1"])
        assert outlines["tolerance_px"] == pytest.approx(metres / 2**0.5, rel=0.01)
    assert scores == [0.0, 1.0]
    result, _ = evaluate(tmp_path, **given, boundary_px=1.0)
    assert result.details["boundary"]["mean_f1"] == 1.0


def test_chips_give_the_figures_of_their_pixels(tmp_path: Path, model: str) -> None:
    """The same mistakes as on the raster, over the chips of all parts and of one."""
    found = class_map()
    found[100:140, 30:60] = 0
    raster, labels = write_scene(tmp_path, found), write_labels(tmp_path / "l.gpkg")
    chips = make_chips(tmp_path, raster, labels)
    result, _ = evaluate(tmp_path, model=model, chips=chips, split="all")
    rows = {row["name"]: row for row in result.details["classes"]}
    assert rows["class 1"]["iou"] == 1.0
    assert 0 < rows["class 2"]["recall"] < 1
    assert rows["class 2"]["precision"] == 1.0
    assert result.counts["pixels"] > 0.5 * found.size
    parts = [
        evaluate(tmp_path, model=model, chips=chips, split=split)[0].counts["pixels"]
        for split in ("train", "val", "test")
    ]
    assert sum(parts) == result.counts["pixels"]


def test_chips_larger_than_a_tile_are_tiled(tmp_path: Path, model: str) -> None:
    raster, labels = write_scene(tmp_path, class_map()), write_labels(tmp_path / "l.gpkg")
    chips = make_chips(tmp_path, raster, labels, tile_px=140, block_m=150.0, split=[98, 1, 1])
    result, _ = evaluate(tmp_path, model=model, chips=chips, split="train")
    assert result.details["miou"] == 1.0


def test_figures_are_written(tmp_path: Path, model: str) -> None:
    raster, labels = write_scene(tmp_path, class_map()), write_labels(tmp_path / "l.gpkg")
    folder = tmp_path / "figures"
    result, _ = evaluate(
        tmp_path, model=model, raster=raster, labels=labels, class_field="kind", figures=str(folder)
    )
    assert sorted(p.name for p in folder.iterdir()) == ["classes.png", "confusion.png"]
    assert result.outputs["figure_confusion"] == str(folder / "confusion.png")


def test_what_does_not_fit_is_said(tmp_path: Path, model: str) -> None:
    raster = write_scene(tmp_path, class_map())
    labels = write_labels(tmp_path / "l.gpkg")
    given = {"model": model, "raster": raster, "labels": labels}
    with pytest.raises(LabelError, match=r"no class field, model 'identity' has 2 classes"):
        evaluate(tmp_path, **given)
    odd = write_labels(tmp_path / "o.gpkg", names=["class 1", "class 2", "lake", "sea", "class 1"])
    with pytest.raises(LabelError, match="lacks: lake, sea") as caught:
        evaluate(tmp_path, **{**given, "labels": odd}, class_field="kind")
    assert "class 0, class 1, class 2" in caught.value.hint
    far = write_labels(tmp_path / "far.gpkg", [(5000, 0, 5010, 10, 1)])
    with pytest.raises(LabelError, match=r"no polygon of .* lies on"):
        evaluate(tmp_path, **{**given, "labels": far}, class_field="kind")
    with pytest.raises(LabelError, match="no field 'sort'"):
        evaluate(tmp_path, **given, class_field="sort")
    with pytest.raises(ModelError, match="no model 'nothing'"):
        evaluate(tmp_path, **{**given, "model": "nothing"})
    chips = make_chips(tmp_path, raster, odd)
    with pytest.raises(LabelError, match="lacks: lake, sea"):
        evaluate(tmp_path, model=model, chips=chips, split="all")
    with pytest.raises(LabelError, match="no folder of chips"):
        evaluate(tmp_path, model=model, chips=str(tmp_path))


def test_a_cancelled_evaluation_leaves_nothing(tmp_path: Path, model: str) -> None:
    raster, labels = write_scene(tmp_path, class_map()), write_labels(tmp_path / "l.gpkg")
    record = {"model": model, "output": str(tmp_path / "m.json"), "raster": raster,
              "labels": labels, "class_field": "kind", "device": "cpu"}  # fmt: skip
    with pytest.raises(JobCancelled):
        run_evaluate(EvaluateJob.from_dict(record), lambda event: None, lambda: True)
    assert not (tmp_path / "m.json").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_data_set_is_cut_and_measured(tmp_path: Path, model: str) -> None:
    """A folder of images with label images; in one of them the model is wrong on 100 pixels."""
    root = tmp_path / "data"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    names = {str(i): f"class {i}" for i in range(3)}
    (root / "classes.json").write_text(json.dumps(names))
    for number in range(4):
        truth = np.roll(class_map(), 7 * number, axis=1)
        image = truth.copy()
        image[:10, :10] = 2 if number == 0 else image[:10, :10]
        make_raster(root / "images" / f"a{number}.tif", image[None])
        make_raster(root / "masks" / f"a{number}.tif", truth[None])
    result, _ = evaluate(tmp_path, model=model, dataset="masks", root=str(root), split="all")
    assert result.counts["pixels"] == 4 * SHAPE[0] * SHAPE[1]
    assert result.details["data"] == f"masks: {root}"
    wrong = (class_map()[:10, :10] != 2).sum()
    assert result.details["pixel_accuracy"] == pytest.approx(1 - wrong / result.counts["pixels"])
    assert not list(tmp_path.glob(".*"))


def test_a_raster_without_crs_is_refused_and_accepted_with_one(tmp_path: Path, model: str) -> None:
    raster = write_scene(tmp_path, class_map(), crs=None)
    given = {"model": model, "raster": raster, "labels": write_labels(tmp_path / "l.gpkg")}
    with pytest.raises(RasterError, match="no coordinate reference system") as caught:
        evaluate(tmp_path, **given, class_field="kind")
    assert "--crs" in caught.value.hint
    result, _ = evaluate(tmp_path, **given, class_field="kind", crs="EPSG:32645")
    assert result.details["miou"] == 1.0
    with pytest.raises(LabelError, match="lies on"):
        evaluate(tmp_path, **given, class_field="kind", crs="EPSG:32644")
    with pytest.raises(JobError, match="is unknown"):
        evaluate(tmp_path, **given, class_field="kind", crs="EPSG:nothing")
