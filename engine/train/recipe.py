"""Recipes: all numbers of a training as data, from a network's defaults to the last override.

Later ones win: the defaults of the task, the recipe of the network (``recipes/*.json``), the
preset (``recipes/presets.json``), the user's file, ``NAME=VALUE`` options, then the job's own
fields. The resolved recipe is written into the work folder.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from ..errors import JobError
from .recipe_checks import check_numbers
from .schedule import ScheduleRecipe

FOLDER = Path(__file__).parent / "recipes"
PRESETS_FILE = "presets.json"

RecordType = TypeVar("RecordType")


@dataclass(frozen=True)
class OptimizerRecipe:
    """Optimiser and its rates.

    Attributes:
        name: ``sgd`` or ``adamw``.
        lr: Peak learning rate for ``batch`` chips per step.
        momentum: Momentum of SGD.
        beta1: First decay rate of AdamW.
        beta2: Second one.
        weight_decay: Decay of matrices and kernels.
        norm_decay: Whether vectors (biases, normalisations) decay, too.
        backbone_ratio: Rate of the backbone relative to ``lr`` where it starts from weights.
    """

    name: str = "adamw"
    lr: float = 1e-3
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 0.02
    norm_decay: bool = False
    backbone_ratio: float = 0.1


@dataclass(frozen=True)
class AugmentRecipe:
    """Random changes of the chips.

    Attributes:
        hflip: Probability of a left-right flip.
        vflip: Probability of an upside-down flip.
        rotate90: Probability of a turn by 90, 180 or 270 degrees.
        scale_min: Smallest enlargement.
        scale_max: Largest enlargement.
        brightness: Largest shift of all bands, in standard deviations.
        contrast: Largest relative change of the spread.
        saturation: Largest relative change of the differences between bands.
        band_gain: Largest relative change of a single band.
        noise: Largest standard deviation of added noise, in standard deviations.
        color_ratio: Share of chips whose values change.
    """

    hflip: float = 0.5
    vflip: float = 0.5
    rotate90: float = 0.75
    scale_min: float = 1.0
    scale_max: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    band_gain: float = 0.0
    noise: float = 0.0
    color_ratio: float = 0.8


@dataclass(frozen=True)
class Recipe:
    """All numbers of a training.

    Attributes:
        network: Name of the network.
        options: Further arguments of its builder.
        epochs: Passes over the training chips, per stage.
        steps: Optimiser steps per stage instead of ``epochs``, rounded up to whole ones; 0 means
            ``epochs`` counts.
        batch: Chips per step and process.
        accumulate: Batches whose gradients are added up for one optimiser step.
        crop_px: Side of a training crop; 0 means the whole chip.
        repeat: How often each chip comes in an epoch.
        empty_ratio: Largest share of chips without objects in an epoch.
        class_weights: ``none``, ``inverse`` or ``square_root`` of the class's pixels; semantic
            networks only, by thinning out the pixels of frequent classes.
        clip_norm: Largest norm of the gradient; 0 means no limit.
        ema_decay: Decay of the running average of the weights, which is then what is validated
            and published; 0 means no average.
        freeze_norm_from: Share of a stage's steps after which batch normalisations keep their
            statistics (small batches); 1 means never.
        stages: Stages of the network (``set_stage``), each a whole schedule; usually none.
        validate_epochs: Epochs between validations.
        patience: Validations without progress after which training ends; 0 means never.
        min_delta: Progress that counts.
        log_steps: Steps between points of the loss curve.
        checkpoint_steps: Least steps between checkpoints; 0 means one after each epoch only.
        score_threshold: Threshold of the published model.
        weights_dtype: ``fp16`` or ``fp32``: how matrices are published.
        optimizer: Optimiser.
        schedule: Learning rate.
        augment: Random changes of the chips.
    """

    network: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    epochs: int = 50
    steps: int = 0
    batch: int = 8
    accumulate: int = 1
    crop_px: int = 0
    repeat: int = 1
    empty_ratio: float = 1.0
    class_weights: str = "none"
    clip_norm: float = 0.0
    ema_decay: float = 0.0
    freeze_norm_from: float = 1.0
    stages: tuple[str, ...] = ()
    validate_epochs: int = 1
    patience: int = 0
    min_delta: float = 0.0
    log_steps: int = 10
    checkpoint_steps: int = 200
    score_threshold: float = 0.0
    weights_dtype: str = "fp16"
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    schedule: ScheduleRecipe = field(default_factory=ScheduleRecipe)
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)

    def to_json(self) -> str:
        """Return the recipe as indented JSON, which ``config`` of a job reads back."""
        return json.dumps(asdict(self), indent=2) + "\n"


def known_names() -> list[str]:
    """Return the dotted names of all numbers of a recipe."""
    return [name for name, _ in _flat(asdict(Recipe()))]


def resolve_recipe(
    network: str, task: str, layers: Sequence[tuple[str, Mapping[str, Any]]]
) -> Recipe:
    """Return the recipe of a network with overrides.

    Args:
        network: Name of the network.
        task: ``semantic`` or ``instance``.
        layers: Where overrides come from (for messages) and the overrides, flat or nested;
            later ones win. Text is read as JSON where the field is no text.

    Raises:
        JobError: If a name is unknown or a value is wrong; close names are suggested.
    """
    own = [(f"recipe of {network}", layer) for layer in network_layers(network, task)]
    return replace(override(Recipe(), [*own, *layers]), network=network)


def override(base: Recipe, layers: Sequence[tuple[str, Mapping[str, Any]]]) -> Recipe:
    """Return a recipe with overrides; see :func:`resolve_recipe`."""
    values: dict[str, Any] = {}
    for source, layer in layers:
        for name, value in _checked(layer, source).items():
            earlier = [k for k in values if k == name or k.startswith(f"{name}.")]
            for key in earlier:
                del values[key]
            values[name] = value
    recipe = _build(values, base)
    check_numbers(dict(_flat(asdict(recipe))))
    return recipe


def network_layers(network: str, task: str) -> list[dict[str, Any]]:
    """Return the published values of a network, those of its task first."""
    found = []
    for record in _recipe_files():
        if any(fnmatchcase(network, pattern) for pattern in record["networks"]):
            found.append(record)
    layers = [record["recipe"] for record in sorted(found, key=lambda r: int(r.get("order", 0)))]
    return [preset_layer("task", task), *layers]


def recipe_source(network: str) -> str:
    """Return where the recipe of a network comes from, empty if it has none of its own."""
    sources = [
        record["source"]
        for record in _recipe_files()
        if any(fnmatchcase(network, pattern) for pattern in record["networks"])
    ]
    return str(sources[-1]) if sources else ""


def preset_layer(preset: str, task: str) -> dict[str, Any]:
    """Return the overrides of a preset for a task; ``task`` is the preset under all others."""
    presets = json.loads((FOLDER / PRESETS_FILE).read_text(encoding="utf-8"))
    layer: dict[str, Any] = presets[preset][task] if preset else {}
    return layer


def preset_layers(preset: str, network: str, task: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the named overrides of a preset: the task's, then what the network needs with it.

    The two-stage networks, for example, do not enlarge chips when they are trained by a preset.
    """
    if not preset:
        return []
    own = [
        record["with_preset"]
        for record in _recipe_files()
        if "with_preset" in record and any(fnmatchcase(network, p) for p in record["networks"])
    ]
    return [(f"preset {preset}", layer) for layer in [preset_layer(preset, task), *own]]


def read_config(path: Path) -> dict[str, Any]:
    """Return the overrides of a user's JSON file.

    Raises:
        JobError: If it is missing or no JSON object.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise JobError(f"config {path} cannot be read: {error}", "give a JSON file") from None
    if not isinstance(record, dict):
        raise JobError(f"config {path} is not a JSON object", 'write {"epochs": 20} or the like')
    return record


def parse_options(options: Sequence[str]) -> dict[str, str]:
    """Return ``NAME=VALUE`` pairs as a mapping."""
    pairs = (option.partition("=") for option in options)
    return {name.strip(): value.strip() for name, _, value in pairs}


@cache
def _recipe_files() -> tuple[dict[str, Any], ...]:
    paths = sorted(FOLDER.glob("*.json"))
    return tuple(
        json.loads(path.read_text(encoding="utf-8")) for path in paths if path.name != PRESETS_FILE
    )


def _flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted names of all numbers with their values."""
    for name, value in record.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _checked(layer: Mapping[str, Any], source: str, prefix: str = "") -> dict[str, Any]:
    """Return a layer with dotted names; options of the network stay below ``options.``."""
    groups = {"optimizer", "schedule", "augment", "options"}
    found: dict[str, Any] = {}
    for name, value in layer.items():
        dotted = f"{prefix}{name}"
        if dotted in groups and isinstance(value, Mapping):
            found.update(_checked(value, source, f"{dotted}."))
            continue
        if dotted in groups:
            _refuse(dotted, value, 'a group of values such as {"name": 1}')
        known = known_names()
        if not dotted.startswith("options.") and dotted not in known:
            close = difflib.get_close_matches(dotted, known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
            raise JobError(f"{source}: there is no recipe value {dotted!r}", hint)
        found[dotted] = value
    return found


def _build(values: Mapping[str, Any], base: Recipe) -> Recipe:
    nested: dict[str, Any] = {}
    for dotted, value in values.items():
        *groups, name = dotted.split(".")
        place = nested
        for group in groups:
            inner = place.setdefault(group, {})
            place[group] = place = dict(inner) if isinstance(inner, Mapping) else {}
        place[name] = _json_or_text(value) if groups[:1] == ["options"] else value
    options = nested.pop("options", {})
    return replace(_record(base, nested, ""), options={**base.options, **options})


def _record(base: RecordType, values: Mapping[str, Any], prefix: str) -> RecordType:
    hints = get_type_hints(type(base))
    given: dict[str, Any] = {}
    for item in fields(base):  # type: ignore[arg-type]
        if item.name not in values:
            continue
        kind, value = hints[item.name], values[item.name]
        if is_dataclass(kind):
            given[item.name] = _record(getattr(base, item.name), value, f"{item.name}.")
        else:
            given[item.name] = _typed(f"{prefix}{item.name}", kind, value)
    return replace(base, **given)  # type: ignore[type-var]


def _json_or_text(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _typed(name: str, kind: Any, value: Any) -> Any:
    """Return a value in the type of its field.

    Raises:
        JobError: If that is not possible.
    """
    plain = value if kind is str else _json_or_text(value)
    if isinstance(plain, float) and not math.isfinite(plain):
        _refuse(name, value, "a finite number")
    if kind is float and isinstance(plain, (int, float)) and not isinstance(plain, bool):
        return float(plain)
    if kind is int and isinstance(plain, (int, float)) and plain == int(plain):
        return int(plain) if not isinstance(plain, bool) else _refuse(name, value, "a number")
    if kind is bool and isinstance(plain, bool):
        return plain
    if kind is str and isinstance(plain, str):
        return plain
    if kind == tuple[float, ...] and isinstance(plain, (list, tuple)):
        return tuple(_typed(name, float, item) for item in plain)
    if kind == tuple[str, ...] and isinstance(plain, (list, tuple)):
        return tuple(_typed(name, str, item) for item in plain)
    words = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
    return _refuse(name, value, words.get(kind, "a list such as [0.67, 0.89]"))


def _refuse(name: str, value: Any, wanted: str) -> Any:
    raise JobError(f"recipe value {name} = {value!r} is not {wanted}", "correct the value")
