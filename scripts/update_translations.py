"""Collects the plugin's texts into translation files, and compiles the translated ones.

``python scripts/update_translations.py [LANGUAGE ...]`` writes ``resources/i18n/rs_segment.ts``
(the template) and ``rs_segment_<language>.ts`` for each language named or already there; texts
that are translated stay so, texts that are gone are dropped. With ``--compile`` Qt's
``lrelease`` makes the ``.qm`` files that the plugin loads. Translate with Qt Linguist.
"""

from __future__ import annotations

import argparse
import ast
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "resources" / "i18n"
STEM = "rs_segment"
CONTEXT = "RsSegment"


def collect(folder: Path) -> dict[str, list[str]]:
    """Return each text given to ``tr()`` with its places (``file:line``).

    Raises:
        SystemExit: If an argument is not a plain text, which cannot be collected.
    """
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "tr"):
                continue
            place = f"{path.relative_to(ROOT)}:{node.lineno}"
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                found.setdefault(argument.value, []).append(place)
            elif "layers/results.py" not in place:
                raise SystemExit(f"{place}: tr() needs a plain text")
    return found


def read_translations(path: Path) -> dict[str, str]:
    """Return the finished translations of a file, empty if there is no file."""
    if not path.is_file():
        return {}
    messages = ElementTree.parse(path).iter("message")
    pairs = ((m.findtext("source") or "", m.find("translation")) for m in messages)
    return {s: t.text for s, t in pairs if t is not None and t.text and "type" not in t.attrib}


def write_file(path: Path, texts: dict[str, list[str]], language: str) -> int:
    """Write a translation file; returns how many texts are not translated yet."""
    done = read_translations(path)
    root = ElementTree.Element("TS", version="2.1", sourcelanguage="en")
    if language:
        root.set("language", language)
    context = ElementTree.SubElement(root, "context")
    ElementTree.SubElement(context, "name").text = CONTEXT
    for text in sorted(texts):
        message = ElementTree.SubElement(context, "message")
        ElementTree.SubElement(message, "source").text = text
        translation = ElementTree.SubElement(message, "translation")
        if text in done:
            translation.text = done[text]
        else:
            translation.set("type", "unfinished")
    ElementTree.indent(root)
    xml = ElementTree.tostring(root, encoding="unicode")
    head = '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n'
    path.write_text(f"{head}{xml}\n", encoding="utf-8")
    return sum(text not in done for text in texts)


def main() -> int:
    """Update the files; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("languages", nargs="*", help="two letters each, for example de ne")
    parser.add_argument("--compile", action="store_true", help="make the .qm files with lrelease")
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    texts = collect(ROOT / "rs_segment_plugin")
    present = {path.stem.rsplit("_", 1)[1] for path in FOLDER.glob(f"{STEM}_*.ts")}
    write_file(FOLDER / f"{STEM}.ts", texts, "")
    for language in sorted(present | set(arguments.languages)):
        path = FOLDER / f"{STEM}_{language}.ts"
        missing = write_file(path, texts, language)
        print(f"{path.relative_to(ROOT)}: {len(texts) - missing} of {len(texts)} translated")
        if arguments.compile:
            lrelease = shutil.which("lrelease") or "lrelease"
            subprocess.run([lrelease, "-silent", str(path)], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
