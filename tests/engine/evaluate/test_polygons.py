"""Layer against layer: polygons whose overlaps can be worked out by hand, and invariants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

from engine.evaluate.ground import dissolved, ground_report, mostly_outside, shared_ground_m2
from engine.evaluate.matching import Objects, match, overlapping_pairs, precision_recall
from tests.engine.evaluate.coco_cases import by_pycocotools

UTM = CRS.from_epsg(32645).to_wkt()
AT = (330_000.0, 3_060_000.0)


def objects(
    boxes: Sequence[tuple[float, float, float, float]],
    kinds: Sequence[int] = (),
    scores: Sequence[float] = (),
    aside: Sequence[bool] = (),
) -> Objects:
    polygons = np.array([shapely.box(*b) for b in boxes], dtype=object)
    count = len(boxes)
    return Objects(
        polygons,
        np.array(kinds or [0] * count, np.int64),
        np.array(scores or [1.0] * count, np.float64),
        np.array(aside or [False] * count, bool),
    )


def curve(found: Objects, truth: Objects, names: Sequence[str] = ("roof",), **options: object):
    return precision_recall(found, truth, overlapping_pairs(found, truth), names, **options)


def test_the_iou_of_two_squares_by_hand() -> None:
    """10 x 10 shifted by 2 in x: 80 shared, 120 united, IoU 2 / 3."""
    found, truth = objects([(2, 0, 12, 10)]), objects([(0, 0, 10, 10)])
    pairs = overlapping_pairs(found, truth)
    assert pairs.iou.tolist() == pytest.approx([2 / 3])
    figures = curve(found, truth).summary()
    assert figures["AP50"] == 1.0
    assert figures["AP75"] == 0.0
    assert figures["AP"] == pytest.approx(4 / 10)  # 0.5, 0.55, 0.6 and 0.65
    assert figures["AR"] == pytest.approx(4 / 10)


def test_one_hit_one_miss_one_false_alarm_by_hand() -> None:
    truth = objects([(0, 0, 10, 10), (50, 0, 60, 10)])
    found = objects([(0, 0, 10, 10), (80, 80, 90, 90)], scores=[0.9, 0.8])
    assert curve(found, truth).summary()["AP"] == pytest.approx(51 / 101)
    first = curve(objects([(80, 80, 90, 90), (0, 0, 10, 10)], scores=[0.9, 0.8]), truth)
    assert first.summary()["AP"] == pytest.approx(0.5 * 51 / 101)


def test_without_scores_the_curve_has_one_point() -> None:
    """Precision 2 / 3 at recall 1 / 2: 51 of 101 recalls."""
    truth = objects([(i * 20, 0, i * 20 + 10, 10) for i in range(4)])
    found = objects([(0, 0, 10, 10), (20, 0, 30, 10), (0, 50, 10, 60)])
    assert curve(found, truth).summary()["AP"] == pytest.approx(2 / 3 * 51 / 101)


def test_each_true_polygon_is_found_once_and_the_better_score_wins() -> None:
    truth = objects([(0, 0, 10, 10)])
    found = objects([(0, 0, 10, 10), (0, 0, 10, 9)], scores=[0.3, 0.6])
    pairs = overlapping_pairs(found, truth)
    none = np.zeros(2, bool), np.zeros(1, bool)
    assert match(pairs, 0.5, *none).partner.tolist() == [-1, 0]
    assert match(pairs, 0.95, *none).partner.tolist() == [0, -1]


def test_classes_do_not_match_each_other() -> None:
    truth = objects([(0, 0, 10, 10), (20, 0, 30, 10)], kinds=[0, 1])
    found = objects([(0, 0, 10, 10), (20, 0, 30, 10)], kinds=[1, 1])
    rows = curve(found, truth, ("roof", "road")).classes()
    assert [row["AP"] for row in rows] == [0.0, 0.5 * 1.0]
    assert [row["found"] for row in rows] == [0, 2]


def test_ground_aside_is_neither_right_nor_wrong() -> None:
    boxes = [(0, 0, 10, 10), (50, 0, 60, 10), (90, 0, 99, 10)]
    truth = objects(boxes[:2], aside=[False, True])
    found = objects(boxes, scores=[0.5, 0.9, 0.8], aside=[False, False, True])
    assert curve(found, truth).summary()["AP"] == 1.0
    counted = objects(boxes, scores=[0.5, 0.9, 0.8])
    assert curve(counted, truth).summary()["AP"] == pytest.approx(0.5)  # the third is wrong


BOX = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 12), st.integers(1, 12))


def boxes(draws: Sequence[tuple[int, int, int, int]]) -> list[tuple[float, ...]]:
    return [(x, y, x + w, y + h) for x, y, w, h in draws]


@settings(max_examples=40)
@given(
    truth=st.lists(BOX, min_size=1, max_size=12),
    found=st.lists(BOX, min_size=1, max_size=12),
    seed=st.integers(0, 999),
)
def test_figures_equal_the_box_figures_of_pycocotools(
    truth: list[tuple[int, ...]], found: list[tuple[int, ...]], seed: int
) -> None:
    """Rectangles on whole numbers, classes by chance, all scores different."""
    rng = np.random.default_rng(seed)
    true_kind, found_kind = rng.integers(0, 2, len(truth)), rng.integers(0, 2, len(found))
    scores = rng.permutation(len(found)) / 100 + 0.1
    dataset = {
        "images": [{"id": 1, "height": 50, "width": 50}],
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
        "annotations": [
            {"id": i + 1, "image_id": 1, "category_id": int(k) + 1, "iscrowd": 0,
             "bbox": list(box), "area": box[2] * box[3]}
            for i, (box, k) in enumerate(zip(truth, true_kind, strict=True))
        ],
    }  # fmt: skip
    detections = [
        {"image_id": 1, "category_id": int(k) + 1, "score": float(s), "bbox": list(box)}
        for box, k, s in zip(found, found_kind, scores, strict=True)
    ]
    reference = by_pycocotools(dataset, detections, "box").eval
    ours = curve(
        objects(boxes(found), found_kind.tolist(), scores.tolist()),
        objects(boxes(truth), true_kind.tolist()),
        ("a", "b"),
        size_limits=(32.0**2, 96.0**2),
    )
    np.testing.assert_allclose(ours.precision, reference["precision"][..., -1], atol=1e-12)
    np.testing.assert_allclose(ours.recall, reference["recall"][..., -1], atol=1e-12)


@settings(max_examples=40)
@given(
    truth=st.lists(BOX, min_size=1, max_size=8),
    found=st.lists(BOX, min_size=1, max_size=8),
    seed=st.integers(0, 99),
)
def test_the_order_of_polygons_does_not_matter(
    truth: list[tuple[int, ...]], found: list[tuple[int, ...]], seed: int
) -> None:
    """Also with tied scores and with polygons on top of each other."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, len(found)) / 4 + 0.1
    one = curve(objects(boxes(found), scores=scores.tolist()), objects(boxes(truth)))
    order, other_order = rng.permutation(len(found)), rng.permutation(len(truth))
    shuffled = objects([boxes(found)[i] for i in order], scores=scores[order].tolist())
    other = curve(shuffled, objects([boxes(truth)[i] for i in other_order]))
    np.testing.assert_array_equal(one.precision, other.precision)
    np.testing.assert_array_equal(one.recall, other.recall)


@given(truth=st.lists(BOX, min_size=1, max_size=8), found=st.lists(BOX, max_size=8))
def test_shared_ground_is_that_of_the_pixels(
    truth: list[tuple[int, ...]], found: list[tuple[int, ...]]
) -> None:
    """Whatever overlaps whatever: as counted on a raster; and symmetric in both sides."""
    masks = []
    for side in (truth, found):
        mask = np.zeros((50, 50), bool)
        for x, y, w, h in side:
            mask[y : y + h, x : x + w] = True
        masks.append(mask)
    sides = objects(boxes(found)), objects(boxes(truth))
    report = ground_report(shared_ground_m2(*sides, 1, ""), ["roof"])
    assert report["shared_m2"] == pytest.approx((masks[0] & masks[1]).sum())
    assert report["iou"] == pytest.approx((masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum())
    assert report["truth_m2"] == pytest.approx(masks[0].sum())
    again = ground_report(shared_ground_m2(sides[1], sides[0], 1, ""), ["roof"])
    assert again["iou"] == pytest.approx(report["iou"])
    assert again["precision"] == report["recall"]


def test_ground_by_class_by_hand() -> None:
    """Truth: 100 m² of a, 200 m² of b; a is called b on 40 m², b is missed on 50 m²."""
    x, y = AT
    truth = objects([(x, y, x + 10, y + 10), (x + 10, y, x + 30, y + 10)], kinds=[0, 1])
    found = objects([(x, y, x + 6, y + 10), (x + 6, y, x + 25, y + 10)], kinds=[0, 1])
    ground = shared_ground_m2(found, truth, 2, UTM)
    expected = np.array([[60, 40, 0], [0, 150, 50], [0, 0, 0]])
    scale = ground.confusion[0, 0] / 60  # map metres to metres on the ellipsoid
    assert 0.998 < scale < 1.003
    np.testing.assert_allclose(ground.confusion, expected * scale, atol=0.01)
    report = ground_report(ground, ["a", "b"])
    assert report["classes"][1]["iou"] == pytest.approx(150 / 240, rel=1e-5)
    assert report["miou"] == pytest.approx((60 / 100 + 150 / 240) / 2, rel=1e-5)
    assert report["iou"] == pytest.approx(210 / 340, rel=1e-5)


def test_an_area_of_interest_cuts_ground_and_sets_objects_aside() -> None:
    area = shapely.box(0, 0, 20, 20)
    truth = objects([(0, 0, 10, 10), (16, 0, 26, 10)])
    assert mostly_outside(truth.polygons, area).tolist() == [False, True]
    report = ground_report(shared_ground_m2(truth, truth, 1, "", area), ["a"])
    assert (report["truth_m2"], report["iou"]) == (140.0, 1.0)


def test_only_overlapping_polygons_are_united() -> None:
    """Two fields that share an edge stay two; two that overlap become one."""
    apart = objects([(0, 0, 10, 10), (10, 0, 20, 10), (40, 0, 50, 10), (45, 0, 55, 10)])
    united = dissolved(apart.polygons)
    assert sorted(shapely.area(united).tolist()) == [100, 100, 150]


def test_perfect_layers_have_ones() -> None:
    rng = np.random.default_rng(2)
    places = rng.uniform(0, 500, (80, 2))
    found = objects([(px, py, px + 11, py + 7) for px, py in places])
    one = curve(found, found).summary()
    assert one["AP"] == one["AR"] == 1.0
    assert ground_report(shared_ground_m2(found, found, 1, ""), ["a"])["iou"] == pytest.approx(1.0)
    nothing = objects([])
    assert curve(nothing, found).summary()["AP"] == 0.0
    assert curve(found, nothing).summary()["AP"] is None
