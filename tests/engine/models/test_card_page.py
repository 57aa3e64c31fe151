"""The page and the schema of the card name the fields that the code knows, no more, no fewer."""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from engine.models.load import CARD_DECIDES
from engine.zoo.card import BandSpec, ClassInfo, ModelCard, Resolution, WeightsInfo, read_card
from engine.zoo.registry import shipped_zoo

DOCS = Path(__file__).resolve().parents[3] / "docs"
SCHEMA = json.loads((DOCS / "card.schema.json").read_text(encoding="utf-8"))
PROPERTIES = SCHEMA["properties"]


@pytest.mark.parametrize(
    ("cls", "schema"),
    [
        (ModelCard, SCHEMA),
        (ClassInfo, PROPERTIES["classes"]["items"]),
        (BandSpec, PROPERTIES["bands"]["items"]),
        (Resolution, PROPERTIES["resolution_m"]),
        (WeightsInfo, PROPERTIES["weights"]["anyOf"][1]),
    ],
)
def test_schema_has_the_fields_of_the_record(cls: Any, schema: dict[str, Any]) -> None:
    assert set(schema["properties"]) == {f.name for f in fields(cls)}
    needed = {f.name for f in fields(cls) if f.default is f.default_factory is MISSING}
    assert set(schema["required"]) == needed
    assert schema["additionalProperties"] is False


def test_page_explains_every_field() -> None:
    page = (DOCS / "card.md").read_text(encoding="utf-8")
    words = set(re.findall(r"`\"?([a-z_0-9]+)\"?`", page))
    assert {f.name for f in fields(ModelCard)} <= words


def test_schema_forbids_what_the_loader_forbids() -> None:
    forbidden = PROPERTIES["builder_args"]["properties"]
    assert {name for name, allowed in forbidden.items() if allowed is False} == CARD_DECIDES


def test_patterns_accept_the_shipped_cards() -> None:
    folders = [path.parent for path in shipped_zoo().glob("*/card.json")]
    assert folders
    for folder in folders:
        record = read_card(folder).to_dict()
        assert set(record) <= set(PROPERTIES)
        for name in ("id", "builder"):
            assert re.search(PROPERTIES[name]["pattern"], record[name])
        digest = PROPERTIES["weights"]["anyOf"][1]["properties"]["sha256"]["pattern"]
        assert re.search(digest, record["weights"]["sha256"])
