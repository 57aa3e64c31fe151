"""Registry of shipped and user models: reads cards, imports no torch (light)."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from ..errors import EngineError, ModelError
from .card import CARD_NAME, ModelCard, read_card

ZOO_VARIABLE = "RS_SEGMENT_ZOO"
SHIPPED = "shipped"
USER = "user"


@dataclass(frozen=True)
class ModelEntry:
    """A model folder: its card, or the reason why the card is unusable."""

    folder: Path
    origin: str
    card: Optional[ModelCard]
    problem: str = ""

    @property
    def id(self) -> str:
        """Id of the card, or the folder's name if the card is unusable."""
        return self.card.id if self.card else self.folder.name


def shipped_zoo() -> Path:
    """Return the folder of the models that come with RS Segment.

    It lies in ``resources/zoo`` beside ``engine`` in a checkout, and one level higher
    than ``engine`` inside the packaged plugin; both are the same relative place.
    """
    return Path(__file__).resolve().parents[2] / "resources" / "zoo"


def user_zoo() -> Path:
    """Return the user's model folder: ``$RS_SEGMENT_ZOO`` or ``~/.rs_segment/zoo``."""
    configured = os.environ.get(ZOO_VARIABLE)
    return Path(configured) if configured else Path.home() / ".rs_segment" / "zoo"


def zoo_folders() -> List[Tuple[Path, str]]:
    """Return the searched folders with their origin, the user's first."""
    return [(user_zoo(), USER), (shipped_zoo(), SHIPPED)]


def list_models(folders: Optional[Sequence[Tuple[Path, str]]] = None) -> List[ModelEntry]:
    """Return all model folders sorted by id; a user's model hides a shipped one of its id."""
    found: Dict[str, ModelEntry] = {}
    for root, origin in zoo_folders() if folders is None else folders:
        if not root.is_dir():
            continue
        for folder in sorted(root.iterdir()):
            if folder.name.startswith(".") or not (folder / CARD_NAME).is_file():
                continue
            entry = _entry(folder, origin)
            found.setdefault(entry.id, entry)
    return [found[key] for key in sorted(found)]


def _entry(folder: Path, origin: str) -> ModelEntry:
    try:
        return ModelEntry(folder, origin, read_card(folder))
    except EngineError as error:
        return ModelEntry(folder, origin, None, str(error))


def find_model(model: str) -> ModelEntry:
    """Return the model with this id, or the one in this folder.

    Raises:
        ModelError: If there is none, or its card is unusable.
    """
    folder = Path(model)
    if folder.is_dir() and (folder / CARD_NAME).is_file():
        return ModelEntry(folder, USER, read_card(folder))
    if os.sep in model or folder.is_dir():
        raise ModelError(
            f"{model} is not a model folder (no {CARD_NAME})",
            "choose a folder with card.json and weights.safetensors",
        )
    entries = {entry.id: entry for entry in list_models()}
    if model not in entries:
        close = difflib.get_close_matches(model, entries, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(entries) or 'none'}"
        raise ModelError(f"there is no model {model!r} in the zoo", hint)
    entry = entries[model]
    if entry.card is None:
        raise ModelError(f"model {model!r} is unusable: {entry.problem}", "import it again")
    return entry


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits, read in pieces of 1 MiB."""
    digest = sha256()
    with path.open("rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def verify_weights(entry: ModelEntry) -> Path:
    """Return the path of the weights after checking size and hash.

    Raises:
        ModelError: If the model has no weights, or they are not the ones of the card.
    """
    card = entry.card
    if card is None or card.weights is None:
        raise ModelError(f"model {entry.id!r} has no weights", "train it first, or import weights")
    path = entry.folder / card.weights.file
    if not path.is_file():
        raise ModelError(f"weights {path} are missing", "import the model again")
    wanted = card.weights.sha256.split(":")[-1]
    if path.stat().st_size != card.weights.bytes or file_sha256(path) != wanted:
        raise ModelError(
            f"weights of {card.id!r} do not match the SHA-256 of their card",
            "the file is damaged or was replaced: import the model again",
        )
    return path
