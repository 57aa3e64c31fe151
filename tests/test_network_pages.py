"""Every network has a page with what it is good at, its cost and a picture, all from one source."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from engine.zoo.families import FAMILIES
from engine.zoo.networks import NETWORKS, network_info

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "networks"
PAGES = sorted({family.page for family in FAMILIES})
MAX_PICTURE_BYTES = 128 * 1024


@pytest.fixture(scope="module")
def tables():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import _network_costs
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    return _network_costs


def _text(page: str) -> str:
    return (FOLDER / f"{page}.md").read_text(encoding="utf-8")


def test_every_network_is_named_on_its_page() -> None:
    lost = [n.name for n in NETWORKS if not re.search(rf"`{n.name}`", _text(n.page))]
    assert not lost


def test_every_family_has_a_network_and_says_what_it_is_good_at() -> None:
    assert {family.title for family in FAMILIES} == {network.family for network in NETWORKS}
    assert all(family.good_at and not family.good_at.endswith(".") for family in FAMILIES)
    assert network_info("unet_r50").good_at == network_info("unet").good_at != ""


@pytest.mark.parametrize("page", PAGES)
def test_page_has_the_parts_that_people_look_for(page: str) -> None:
    text = _text(page)
    for part in ("**Good at** ", "## Cost\n", "## Differences from the paper\n"):
        assert text.count(part) == 1, part
    assert re.search(r"https://(arxiv|doi)\.org/", text), "no citation"


@pytest.mark.parametrize("page", PAGES)
def test_page_has_a_small_picture(page: str) -> None:
    pictures = re.findall(r"!\[[^\]]+\]\((\.\./images/networks/[^)]+)\)", _text(page))
    assert pictures
    for picture in pictures:
        assert (FOLDER / picture).stat().st_size <= MAX_PICTURE_BYTES, picture


@pytest.mark.parametrize("page", PAGES)
def test_costs_of_the_page_are_the_measured_ones(page: str, tables) -> None:
    lines = tables.page_lines(page, tables.read_costs())
    assert tables.between(_text(page), "cost").splitlines() == lines


def test_every_semantic_network_and_every_page_has_its_cost(tables) -> None:
    costs = tables.read_costs()
    missing = {n.name for n in NETWORKS if n.task == "semantic"} - set(costs)
    assert not missing
    assert sorted({n.page for n in NETWORKS if n.name in costs}) == PAGES
    assert all(costs.get(other) == costs.get(name) for other, name in tables.SAME.items())
    assert all(cost.timings["cpu"].s_per_megapixel > 0 for cost in costs.values())
    assert costs[tables.REFERENCE].timings["cpu"].forward_ratio == 1.0


def test_index_lists_every_family_with_its_networks(tables) -> None:
    index = (FOLDER / tables.INDEX).read_text(encoding="utf-8")
    assert tables.between(index, "families").splitlines() == tables.family_lines()


def test_lines_of_a_network_by_hand(tables) -> None:
    timing = tables.Timing(4.281, 1.0, None, 2, 256)
    costs = {"unet": tables.NetworkCost(24.436, 31.38, {"cpu": timing})}
    lines = tables.page_lines("unet", costs)
    assert lines[-1].count("Not measured: `unet_r50`.") == 1 and len(lines) == 5
    row = lines[2]
    assert row == "| `unet` | 24.44 M | 31.4 | 4.28 | not measured | 1.00 |"
    overview = tables.overview_lines(["unet"], costs)[2]
    assert overview == "| `unet` | 24.44 | 31.4 | 1.00 | not measured | 4.28 |"


def test_figures_below_the_pictures_are_those_of_the_gallery(tables) -> None:
    table = tables.between(_text("comparison"), "gallery")
    found = re.findall(r"\| `(\w+)` \| .*? \| (\d+) \| ([\d.]+) \| ([\d.]+) \|", table)
    assert len(found) >= len(PAGES) - 5  # the five networks of the papers have other pictures
    for name, steps, miou, accuracy in found:
        if "<!-- picture: start -->" not in _text(network_info(name).page):
            continue
        text = " ".join(tables.between(_text(network_info(name).page), "picture").split())
        figures = f"{steps} steps from random weights, mIoU {miou}, pixel accuracy {accuracy} on"
        assert f"`{name}`" in text and figures in text, name
        assert f"images/networks/{name}.jpg" in text


def test_marks_that_are_missing_are_named(tables, tmp_path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n", encoding="utf-8")
    with pytest.raises(ValueError, match="cost: start"):
        tables.put_between(page, "cost", ["x"])
