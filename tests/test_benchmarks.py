"""The table of goals fits the benchmarks: files, options and patterns are there."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def goals():
    sys.path.insert(0, str(FOLDER))
    try:
        import _goals
    finally:
        sys.path.remove(str(FOLDER))
    return _goals


def test_every_benchmark_exists_and_knows_its_options(goals) -> None:
    for benchmark in goals.BENCHMARKS:
        source = (FOLDER / f"{benchmark.name}.py").read_text(encoding="utf-8")
        for option in (o for o in (*benchmark.quick, *benchmark.full) if o.startswith("--")):
            assert f'"{option}"' in source, f"{benchmark.name} has no {option}"
        assert any(goal.benchmark == benchmark.name for goal in goals.GOALS)
    known = {benchmark.name for benchmark in goals.BENCHMARKS}
    assert {goal.benchmark for goal in goals.GOALS} <= known


def test_patterns_compile_and_name_what_the_benchmark_prints(goals) -> None:
    """The longest plain word of each pattern stands in the source of its benchmark."""
    for goal in goals.GOALS:
        assert re.compile(goal.pattern).groups == 1
        source = (FOLDER / f"{goal.benchmark}.py").read_text(encoding="utf-8")
        words = re.findall(r"[a-z_]{4,}", goal.pattern.replace(goals.N, " "))
        assert max(words, key=len) in source, f"{goal.benchmark} does not print {goal.figure}"


def test_figures_are_read_and_judged(goals) -> None:
    ratio, wait = (
        next(g for g in goals.GOALS if g.benchmark == "coco_eval" and "masks" in g.figure),
        next(g for g in goals.GOALS if "waits" in g.figure),
    )
    text = (
        '{"kind": "box", "seconds": 1, "ratio": 9.0}, {"kind": "mask", "seconds": 0.2, "ratio": 4.9'
    )
    assert ratio.read(text) == 4.9
    assert not ratio.holds(4.9)
    assert ratio.holds(5.0)
    assert wait.read("waiting for data: 3.5% of a step") == pytest.approx(0.035)
    assert wait.holds(0.035)
    assert wait.read("nothing") is None


def test_figures_and_programs_go_between_the_marks_of_a_page(goals, tmp_path) -> None:
    sys.path.insert(0, str(FOLDER))
    try:
        import run_all
    finally:
        sys.path.remove(str(FOLDER))
    page = tmp_path / "page.md"
    (tmp_path / "images").mkdir()
    marks = ["<!-- figures: start -->", "<!-- figures: end -->", "<!-- peers: start -->"]
    page.write_text("\n".join(["above", *marks, "old", "<!-- peers: end -->", "below"]))
    benchmark = next(b for b in goals.BENCHMARKS if b.name == "coco_eval")
    text = '"kind": "box", "seconds": 1, "ratio": 9.0, "kind": "mask", "seconds": 1, "ratio": 4.0'
    rows = run_all.rows_of(benchmark, text, quick=False, sound=True)
    assert [row.verdict for row in rows] == ["met", "missed", "failed"]
    run_all.write_page(page, rows, "figures", "")
    first = page.read_text()
    assert "| coco_eval | pycocotools / engine, boxes | 9 | ≥ 5 | met |" in first
    assert "20 % below the goal" in first and "old" in first
    record = {
        "size_px": 64,
        "runs": {"engine": {"seconds": 2.0}, "torchgeo": {"seconds": 7.0}},
        "ratios": {"torchgeo/engine": 3.5},
        "failed": {"samgeo": "no module"},
    }
    run_all.write_page(page, [], "peers", json.dumps(record))
    second = page.read_text()
    assert "| torchgeo | 7 | 3.5 | – |" in second and "samgeo failed: no module" in second
    assert "old" not in second and "| coco_eval |" in second
    assert second.startswith("above") and second.endswith("below")


def test_iou_of_counts_and_of_drawn_parts() -> None:
    numpy = pytest.importorskip("numpy")
    pytest.importorskip("torch")
    sys.path.insert(0, str(FOLDER))
    try:
        import ablation_confidence as confidence
    finally:
        sys.path.remove(str(FOLDER))
    counts = numpy.zeros((2, confidence.COUNT, confidence.COUNT), numpy.int64)
    counts[0, 0, 0], counts[0, 0, 1], counts[1, 1, 1] = 6, 2, 4  # truth, answer
    both = confidence.ious(counts.sum(axis=0))
    # Class 0: 6 of 8. Class 1: 4 of 6. The mean is over five classes, three of them absent.
    assert both[1:3].tolist() == pytest.approx([75.0, 400 / 6])
    assert both[0] == pytest.approx((75 + 400 / 6) / 5)
    draws = numpy.array([[0, 1], [0, 0]])
    expected = numpy.stack([both, confidence.ious(2 * counts[0])])
    assert numpy.allclose(confidence.drawn(counts, draws), expected)
