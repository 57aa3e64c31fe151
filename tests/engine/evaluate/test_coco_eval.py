"""COCO figures: equal to pycocotools, and right where they can be worked out by hand."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from engine.evaluate.coco_eval import evaluate_coco, instance_report
from tests.engine.evaluate.coco_cases import Case, by_pycocotools, ellipse, geometry, random_case

STATS = {"AP": 0, "AP50": 1, "AP75": 2, "APS": 3, "APM": 4, "APL": 5, "AR100": 8}


def assert_equal_to_pycocotools(truth: dict[str, Any], found: list[dict[str, Any]]) -> None:
    for kind in ("mask", "box"):
        reference = by_pycocotools(truth, found, kind)
        ours = evaluate_coco(truth, found, kind)
        expected = np.asarray(reference.eval["precision"])[..., -1]
        np.testing.assert_allclose(ours.precision, expected, rtol=0, atol=1e-12)
        expected = np.asarray(reference.eval["recall"])[..., -1]
        np.testing.assert_allclose(ours.recall, expected, rtol=0, atol=1e-12)
        figures = ours.summary()
        assert list(figures) == list(STATS)
        for name, place in STATS.items():
            value = -1.0 if figures[name] is None else figures[name]
            assert value == pytest.approx(reference.stats[place], abs=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_random_cases_are_equal_to_pycocotools(seed: int) -> None:
    """With crowds, tied scores, an empty class, images without truth or without detections."""
    truth, found = random_case(seed, ties=seed % 3 > 0, crowd_ratio=0.3 * (seed % 2))
    assert len(found) > 5
    assert_equal_to_pycocotools(truth, found)


def test_true_polygons_are_equal_too() -> None:
    truth, found = random_case(101, crowd_ratio=0.0)
    rng = np.random.default_rng(5)
    for record in truth["annotations"]:
        x, y, width, height = record["bbox"]
        corners = [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]
        corners = np.array(corners) + rng.uniform(-0.5, 0.5, (4, 2))
        record["segmentation"] = [corners.clip(0).ravel().tolist()]
    assert_equal_to_pycocotools(truth, found)


def test_more_than_a_hundred_detections_in_an_image() -> None:
    truth, found = random_case(7, images=1, classes=1, found=14)
    rng = np.random.default_rng(1)
    many = [{**copy.copy(found[i % len(found)]), "score": float(rng.random())} for i in range(130)]
    assert_equal_to_pycocotools(truth, many)


def test_no_detections_and_no_truth() -> None:
    truth, found = random_case(3)
    assert_equal_to_pycocotools(truth, [])
    empty = {**truth, "annotations": []}
    assert_equal_to_pycocotools(empty, found)
    assert_equal_to_pycocotools(empty, [])
    report, _ = instance_report(truth, [])
    assert report["mask"]["AP"] == 0.0
    report, _ = instance_report(empty, found)
    assert set(report["mask"].values()) == {None}


def perfect(seed: int = 4) -> Case:
    truth, _ = random_case(seed, crowd_ratio=0.0)
    found = [{**a, "score": 0.5 + 0.001 * i} for i, a in enumerate(truth["annotations"])]
    return truth, found


def test_perfect_detections_have_ones_everywhere() -> None:
    truth, found = perfect()
    report, _ = instance_report(truth, found)
    for kind in ("mask", "box"):
        known = [value for value in report[kind].values() if value is not None]
        assert known == pytest.approx([1.0] * len(known))
        assert report[kind]["AP"] == pytest.approx(1.0)
    row = report["classes"][1]
    assert row["truth"] == row["found"] > 0
    assert report["classes"][0]["mask"]["AP"] is None  # neither truth nor detections
    assert report["curves"]["classes"][0]["precision50"] is None
    assert report["curves"]["classes"][1]["precision50"] == [1.0] * 101


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_detections_does_not_matter(seed: int) -> None:
    truth, found = random_case(seed, ties=False)
    order = np.random.default_rng(seed).permutation(len(found))
    shuffled = [found[i] for i in order]
    for kind in ("mask", "box"):
        one, other = (evaluate_coco(truth, f, kind) for f in (found, shuffled))
        np.testing.assert_array_equal(one.precision, other.precision)
        np.testing.assert_array_equal(one.recall, other.recall)


def test_one_hit_one_miss_one_false_alarm_by_hand() -> None:
    """Two true discs; the first found exactly with score 0.9, a false one with 0.8.

    Recall reaches 1/2 with precision 1: 51 of the 101 recall points (0 to 0.50) have precision
    1, the others 0, at every IoU threshold. AP = 51 / 101, recall 1/2.
    """
    discs = [geometry(ellipse(p)) for p in ((40, 40, 20, 20), (90, 120, 20, 20), (30, 130, 9, 9))]
    truth = {
        "images": [{"id": 1, "height": 131, "width": 173}],
        "categories": [{"id": 1, "name": "disc"}],
        "annotations": [
            {"id": i + 1, "image_id": 1, "category_id": 1, "iscrowd": 0, **discs[i]}
            for i in range(2)
        ],
    }
    found = [
        {"image_id": 1, "category_id": 1, "score": 0.9, **discs[0]},
        {"image_id": 1, "category_id": 1, "score": 0.8, **discs[2]},
    ]
    report, _ = instance_report(truth, found)
    assert report["mask"]["AP"] == pytest.approx(51 / 101)
    assert report["box"]["AP50"] == pytest.approx(51 / 101)
    assert report["mask"]["AR100"] == 0.5
    assert report["mask"]["APS"] is None
    assert report["mask"]["APM"] == pytest.approx(51 / 101)  # 1257 pixels are medium


def test_unknown_images_classes_and_kinds_are_refused() -> None:
    truth, found = perfect()
    with pytest.raises(ValueError, match="unknown image 99"):
        evaluate_coco(truth, [{**found[0], "image_id": 99}], "mask")
    with pytest.raises(ValueError, match="unknown class 77"):
        evaluate_coco(truth, [{**found[0], "category_id": 77}], "mask")
    with pytest.raises(ValueError, match="kind 'keypoints'"):
        evaluate_coco(truth, found, "keypoints")
