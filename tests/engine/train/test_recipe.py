"""Recipes: every network has one, overrides win in order, mistakes are named with a way out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import JobError
from engine.models.registry import INSTANCE, SEMANTIC, list_models
from engine.train.recipe import (
    FOLDER,
    Recipe,
    known_names,
    network_layers,
    parse_options,
    preset_layers,
    read_config,
    recipe_source,
    resolve_recipe,
)
from engine.train.recipe_checks import CHOICES, RANGES
from engine.train.schedule import ScheduleRecipe, rate_ratio, warmup_length

TASKS = [
    (name, task)
    for task in (SEMANTIC, INSTANCE)
    for name in list_models(task)
    if not name.endswith("_of_the_tests")
]


@pytest.mark.parametrize("preset", ["", "quick", "balanced", "best"])
def test_every_network_resolves_with_every_preset(preset: str) -> None:
    for name, task in TASKS:
        recipe = resolve_recipe(name, task, preset_layers(preset, name, task))
        assert recipe.network == name
        assert recipe.epochs >= 1


def test_every_network_of_a_paper_has_a_source_and_one_recipe_of_its_own() -> None:
    without = [n for n, _ in TASKS if n != "pixel_linear" and not recipe_source(n)]
    assert not without
    assert all(len(network_layers(n, t)) <= 2 for n, t in TASKS)


def test_farseg_trains_as_published() -> None:
    recipe = resolve_recipe("farseg_r50", SEMANTIC, [])
    assert (recipe.steps, recipe.batch, recipe.crop_px) == (60000, 8, 896)
    assert (recipe.optimizer.name, recipe.optimizer.lr) == ("sgd", 0.007)
    assert (recipe.schedule.name, recipe.schedule.power) == ("poly", 0.9)


def test_later_layers_win_and_text_is_read_in_the_type_of_the_field() -> None:
    layers = [
        ("file", {"epochs": 7, "optimizer": {"lr": 0.5}, "options": {"encoder": "resnet18"}}),
        ("option", parse_options(["optimizer.lr=1e-3", "epochs = 9", "schedule.name=poly"])),
        ("option", parse_options(["options.depth=3", "schedule.milestones=[0.5, 0.9]"])),
    ]
    recipe = resolve_recipe("unet", SEMANTIC, layers)
    assert (recipe.epochs, recipe.optimizer.lr, recipe.schedule.name) == (9, 0.001, "poly")
    assert recipe.options["encoder"] == "resnet18"
    assert recipe.options["depth"] == 3
    assert recipe.schedule.milestones == (0.5, 0.9)


def test_a_resolved_recipe_reads_back_as_itself(tmp_path: Path) -> None:
    recipe = resolve_recipe("hi_resnet", SEMANTIC, [("o", parse_options(["ema_decay=0.9"]))])
    path = tmp_path / "recipe.json"
    path.write_text(recipe.to_json(), encoding="utf-8")
    assert resolve_recipe("hi_resnet", SEMANTIC, [("file", read_config(path))]) == recipe


@pytest.mark.parametrize(
    ("option", "says", "hint"),
    [
        ("optimizer.rl=1", "no recipe value 'optimizer.rl'", "did you mean 'optimizer.lr'"),
        ("epoch=3", "no recipe value 'epoch'", "did you mean 'epochs'"),
        ("epochs=many", "epochs = 'many' is not a whole number", "correct"),
        ("epochs=2.5", "epochs = '2.5' is not a whole number", "correct"),
        ("optimizer.name=adam", "optimizer.name = 'adam' is unknown", "sgd, adamw"),
        ("batch=0", "batch = 0 is not in 1", "correct"),
        ("augment.scale_min=3", "augment.scale_min = 3 is not in 0.1..1", "correct"),
        ("optimizer.norm_decay=1", "norm_decay = '1' is not true or false", "correct"),
        ("epochs=NaN", "epochs = 'NaN' is not a finite number", "correct"),
        ("optimizer.lr=Infinity", "lr = 'Infinity' is not a finite number", "correct"),
        ("optimizer.momentum=1.5", "optimizer.momentum = 1.5 is not in 0..0.999999", "correct"),
        ("optimizer.weight_decay=-1", "weight_decay = -1 is not in 0..1000", "correct"),
        ("options=3", "options = '3' is not a group of values", "correct"),
        ("optimizer=adamw", "optimizer = 'adamw' is not a group of values", "correct"),
    ],
)
def test_mistakes_are_named_with_a_way_out(option: str, says: str, hint: str) -> None:
    with pytest.raises(JobError) as caught:
        resolve_recipe("unet", SEMANTIC, [("option", parse_options([option]))])
    assert says in caught.value.message
    assert hint in caught.value.hint


def test_every_number_has_a_range() -> None:
    texts = {*CHOICES, "network", "options", "stages", "schedule.milestones"}
    switches = {"optimizer.norm_decay"}
    assert set(known_names()) == texts | switches | set(RANGES)


def test_inner_options_of_a_network_are_set_one_by_one() -> None:
    layers = [("card", {"options": {"look": {"patch_px": 16, "top_n": 4}}})]
    options = ["options.look.top_n=9", "options.look.deep.er=[1, 2]", "options.width=8"]
    recipe = resolve_recipe("unet", SEMANTIC, [*layers, ("option", parse_options(options))])
    assert recipe.options["look"] == {"patch_px": 16, "top_n": 9, "deep": {"er": [1, 2]}}
    assert recipe.options["width"] == 8
    assert layers[0][1]["options"]["look"] == {"patch_px": 16, "top_n": 4}
    whole = [("option", parse_options(options)), ("config", {"options": {"look": {"top_n": 1}}})]
    assert resolve_recipe("unet", SEMANTIC, whole).options["look"] == {"top_n": 1}


def test_recipe_files_are_objects_with_networks_source_and_recipe() -> None:
    files = [p for p in FOLDER.glob("*.json") if p.name != "presets.json"]
    assert files
    for path in files:
        record = json.loads(path.read_text(encoding="utf-8"))
        assert set(record) <= {"networks", "source", "recipe", "order", "with_preset"}, path.name
        assert record["source"], path.name


def test_config_that_is_no_json_object(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    with pytest.raises(JobError, match="cannot be read"):
        read_config(path)
    path.write_text("[1]", encoding="utf-8")
    with pytest.raises(JobError, match="not a JSON object"):
        read_config(path)


def test_warm_up_and_polynomial_by_hand() -> None:
    recipe = ScheduleRecipe(name="poly", power=0.5, warmup_steps=4)
    values = [rate_ratio(recipe, s, 8, 4) for s in range(9)]
    assert values[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert values[4:] == pytest.approx([1, 0.75**0.5, 0.5**0.5, 0.25**0.5, 0])


def test_milestones_count_the_whole_training() -> None:
    recipe = ScheduleRecipe(name="step", milestones=(8 / 12, 11 / 12))
    values = [rate_ratio(recipe, 10 * epoch, 120, 0) for epoch in range(12)]
    assert values == pytest.approx([1] * 8 + [0.1] * 3 + [0.01])


def test_cosine_ends_at_its_floor_and_one_cycle_peaks_at_one() -> None:
    cosine = ScheduleRecipe(name="cosine", floor=0.02)
    assert rate_ratio(cosine, 50, 100, 0) == pytest.approx(0.51)
    assert rate_ratio(cosine, 100, 100, 0) == pytest.approx(0.02)
    cycle = ScheduleRecipe(name="one_cycle", rise=0.25)
    values = [rate_ratio(cycle, s, 100, 0) for s in range(101)]
    assert values[0] == pytest.approx(1 / 25)
    assert values[25] == max(values) == pytest.approx(1)
    assert values[100] == pytest.approx(0)


def test_warm_up_is_at_most_half_of_the_training() -> None:
    assert warmup_length(ScheduleRecipe(warmup_steps=1500), 100, 10) == 50
    assert warmup_length(ScheduleRecipe(warmup_epochs=3), 1000, 10) == 30
    assert warmup_length(ScheduleRecipe(warmup_ratio=0.1), 1000, 10) == 100


def test_default_recipe_is_sound() -> None:
    assert Recipe().optimizer.backbone_ratio <= 1
