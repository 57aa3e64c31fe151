"""The model card: all that is needed to run a model, as data (light).

A model is a folder with ``card.json`` and ``weights.safetensors``. The card names the
builder (a name of ``engine.models.create_model``), classes with colours, bands with their
scaling and statistics, ground sampling distance, tile size, threshold, provenance and licences.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple, Type, TypeVar

from ..errors import ModelError

CARD_NAME = "card.json"
WEIGHTS_NAME = "weights.safetensors"
TASKS = ("semantic", "instance")
NODATA_CLASS_ID = 255
_ID = re.compile(r"^[a-z0-9][a-z0-9_.-]{0,79}$")
_COLOR = re.compile(r"^#[0-9a-fA-F]{6}$")

RecordType = TypeVar("RecordType")


@dataclass(frozen=True)
class ClassInfo:
    """One class: the id in class rasters, its name, ``#rrggbb`` and whether it is background.

    Background classes are predicted, but do not become polygons.
    """

    id: int
    name: str
    color: str
    background: bool = False


@dataclass(frozen=True)
class BandSpec:
    """One input band of the network.

    The network sees ``(pixel * scale + offset - mean) / std``. ``names`` are band names
    (lower case) by which the band is found in a raster.
    """

    name: str
    scale: float
    offset: float
    mean: float
    std: float
    names: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Resolution:
    """Ground sampling distance of the training data and the range that works, in metres."""

    min: float
    nominal: float
    max: float


@dataclass(frozen=True)
class WeightsInfo:
    """The weights file: name inside the folder, ``sha256:<64 hex digits>`` and size in bytes."""

    file: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class ModelCard:
    """The card of a model; see ``docs/card.md`` for each field."""

    id: str
    title: str
    task: str
    builder: str
    builder_args: Dict[str, Any]
    classes: Tuple[ClassInfo, ...]
    bands: Tuple[BandSpec, ...]
    resolution_m: Resolution
    tile_px: int
    overlap_px: int
    stride: int
    score_threshold: float
    weights: Optional[WeightsInfo]
    dtypes: Tuple[str, ...] = ()
    training: Dict[str, Any] = field(default_factory=dict)
    metrics: Tuple[Dict[str, Any], ...] = ()
    licenses: Dict[str, str] = field(default_factory=dict)
    paper: Optional[Dict[str, Any]] = None
    differences_from_paper: Tuple[str, ...] = ()
    description: str = ""
    engine_version: str = ""
    created: str = ""

    def class_by_id(self, class_id: int) -> ClassInfo:
        """Return the class with this id; KeyError if there is none."""
        return {c.id: c for c in self.classes}[class_id]

    def to_dict(self) -> Dict[str, Any]:
        """Return the card as plain JSON values."""
        record: Dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return record

    def to_json(self) -> str:
        """Return the card as indented JSON with a final newline."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"


def _record(cls: Type[RecordType], value: Any, where: str) -> RecordType:
    """Build a dataclass from a mapping, with errors that name the place."""
    if not isinstance(value, Mapping):
        raise ModelError(f"{where} is not an object", "import the model again")
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(value) - known)
    if unknown:
        raise ModelError(f"{where} has an unknown field {unknown[0]!r}", "update RS Segment")
    try:
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in value.items()})
    except TypeError as error:
        raise ModelError(f"{where}: {error}", "complete the card, see docs/card.md") from None


def card_from_dict(record: Any, *, source: str = CARD_NAME) -> ModelCard:
    """Build and check a card.

    Raises:
        ModelError: If a field is missing, unknown or wrong; the message names ``source``.
    """
    if not isinstance(record, Mapping):
        raise ModelError(f"{source} is not a JSON object", "import the model again")
    values = dict(record)
    for name, cls in (("classes", ClassInfo), ("bands", BandSpec)):
        items = values.get(name)
        if not isinstance(items, list) or not items:
            raise ModelError(f"{source} has no {name}", "complete the card, see docs/card.md")
        values[name] = [_record(cls, v, f"{source}: {name}[{i}]") for i, v in enumerate(items)]
    values["resolution_m"] = _record(
        Resolution, values.get("resolution_m"), f"{source}: resolution_m"
    )
    if values.get("weights") is not None:
        values["weights"] = _record(WeightsInfo, values["weights"], f"{source}: weights")
    card = _record(ModelCard, values, source)
    for problem in card_problems(card):
        raise ModelError(f"{source}: {problem}", "correct the card, see docs/card.md")
    return card


def card_problems(card: ModelCard) -> List[str]:
    """Return what is wrong with the values of a card, an empty list for a sound one."""
    try:
        return _value_problems(card)
    except (TypeError, AttributeError) as error:
        return [f"a field has the wrong type: {error}"]


def _value_problems(card: ModelCard) -> List[str]:
    found = []
    if not _ID.match(card.id):
        found.append(f"id {card.id!r} is not lower-case letters, digits, '_', '.', '-'")
    if card.task not in TASKS:
        found.append(f"task {card.task!r} is not one of {', '.join(TASKS)}")
    if not re.match(r"^[a-z][a-z0-9_]*$", card.builder):
        found.append(f"builder {card.builder!r} is not a plain name of engine.models")
    ids = [c.id for c in card.classes]
    if len(set(ids)) != len(ids) or any(not 0 <= i < NODATA_CLASS_ID for i in ids):
        found.append(f"class ids {ids} are not different numbers in 0..254")
    if card.task == "semantic" and ids != list(range(len(ids))):
        found.append(f"class ids {ids} of a semantic model are not 0..{len(ids) - 1} in order")
    bad = [c.color for c in card.classes if not _COLOR.match(c.color)]
    if bad:
        found.append(f"color {bad[0]!r} is not #rrggbb")
    if any(not band.std > 0 for band in card.bands):
        found.append("a band's std is not above 0")
    r = card.resolution_m
    if not 0 < r.min <= r.nominal <= r.max:
        found.append(f"resolution_m {r.min}, {r.nominal}, {r.max} is not 0 < min <= nominal <= max")
    if not 0 <= card.overlap_px < card.tile_px or card.stride < 1:
        found.append(f"tile_px {card.tile_px}, overlap_px {card.overlap_px}, stride {card.stride}")
    if not 0 <= card.score_threshold <= 1:
        found.append(f"score_threshold {card.score_threshold} is not in 0..1")
    if card.weights is not None and Path(card.weights.file).name != card.weights.file:
        found.append(f"weights file {card.weights.file!r} is not inside the folder")
    return found


def read_card(folder: Path) -> ModelCard:
    """Read and check the card of a model folder.

    Raises:
        ModelError: If the folder has no card, or the card is wrong.
    """
    path = Path(folder) / CARD_NAME
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{folder} has no {CARD_NAME}", "choose a model folder (card.json + weights)"
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}", "import the model again") from None
    return card_from_dict(record, source=str(path))
