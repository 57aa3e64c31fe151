"""Texts can be translated: all are literals, and placeholders survive a translation."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from string import Formatter

ROOT = Path(__file__).resolve().parents[2]


def load_script():
    path = ROOT / "scripts" / "update_translations.py"
    spec = importlib.util.spec_from_file_location("update_translations", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fields(text):
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name is not None)


def test_every_text_is_a_literal_with_named_placeholders():
    texts = load_script().collect(ROOT / "rs_segment_plugin")
    assert len(texts) > 200
    for text in texts:
        assert all(re.fullmatch(r"[a-z_]+", name) for name in fields(text)), text


def test_a_translation_survives_an_update_and_a_dead_one_does_not(tmp_path):
    script = load_script()
    path = tmp_path / "rs_segment_de.ts"
    script.write_file(path, {"Run": [], "Gone": []}, "de")
    xml = path.read_text(encoding="utf-8")
    for source, word in (("Run", "Starten"), ("Gone", "Weg")):
        xml = re.sub(
            rf"(<source>{source}</source>\s*)<translation type=\"unfinished\" />",
            rf"\1<translation>{word}</translation>",
            xml,
        )
    path.write_text(xml, encoding="utf-8")
    assert script.write_file(path, {"Run": [], "Cancel & close": []}, "de") == 1
    assert script.read_translations(path) == {"Run": "Starten"}
    assert "Cancel &amp; close" in path.read_text(encoding="utf-8")


def test_placeholders_are_the_same_in_every_language():
    script = load_script()
    for path in script.FOLDER.glob("rs_segment*.ts"):
        for text, translation in script.read_translations(path).items():
            assert fields(text) == fields(translation), f"{path.name}: {text}"
