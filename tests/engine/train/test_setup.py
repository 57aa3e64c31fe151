"""The network that a training starts from: annealing fitted to its length, no dead ends."""

from __future__ import annotations

from typing import Any

import pytest

from engine.data.chip_folder import ChipFolder
from engine.errors import ModelError
from engine.models.registry import SEMANTIC
from engine.train.recipe import parse_options, resolve_recipe
from engine.train.setup import make_network, read_material

from .chips_for_tests import write_chips


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = write_chips(tmp_path_factory.mktemp("setup") / "chips", {"train": 2, "val": 1})
    return read_material(ChipFolder.open(folder), SEMANTIC)


@pytest.mark.parametrize("name", ["farseg", "farseg_r50"])
def test_farseg_anneals_over_a_sixth_of_the_training(material: Any, name: str) -> None:
    recipe = resolve_recipe(name, SEMANTIC, [])
    assert make_network(material, recipe, 600).criterion.annealing_steps == 100


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("farseg", 'options.focus={"annealing_steps": 7, "gamma": 1.0}'),
        ("farseg_r50", "options.annealing_steps=7"),
    ],
)
def test_the_recipe_decides_over_the_annealing(material: Any, name: str, option: str) -> None:
    recipe = resolve_recipe(name, SEMANTIC, [("option", parse_options([option]))])
    assert make_network(material, recipe, 600).criterion.annealing_steps == 7


def test_what_could_not_run_on_rasters_is_refused_before_the_training(material: Any) -> None:
    options = [
        "options.coarse=pixel_linear",
        "options.fine=pixel_linear",
        'options.look={"infer_top_n": 5}',
    ]
    recipe = resolve_recipe("c2fnet", SEMANTIC, [("option", parse_options(options))])
    with pytest.raises(ModelError, match="infer_top_n 5") as caught:
        make_network(material, recipe, 600)
    assert "options of the recipe" in caught.value.hint


def test_any_options_of_the_focus_keep_the_sixth(material: Any) -> None:
    options = parse_options(['options.focus={"gamma": 1.0}'])
    recipe = resolve_recipe("farseg", SEMANTIC, [("option", options)])
    criterion = make_network(material, recipe, 600).criterion
    assert (criterion.gamma, criterion.annealing_steps) == (1.0, 100)
