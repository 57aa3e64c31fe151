"""Files of the project: one version everywhere, plain requirement files, nothing oversized."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXTS = (".py", ".md", ".txt", ".toml", ".sh", ".yaml", ".json", ".cff", "")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_versions_are_equal() -> None:
    metadata = (ROOT / "metadata.txt").read_text(encoding="utf-8")
    engine = (ROOT / "engine" / "__init__.py").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    versions = {
        re.search(r"(?m)^version=(.+)$", metadata)[1].strip(),
        re.search(r'(?m)^__version__ = "(.+)"$', engine)[1],
        re.search(r"(?m)^## \[(\d[^\]]*)\]", changelog)[1],
        re.search(r'(?m)^version: "?([^"\n]+)"?$', citation)[1],
    }
    assert len(versions) == 1, versions


def test_requirement_files_name_packages_only() -> None:
    files = [ROOT / "requirements-dev.txt", *ROOT.glob("resources/*requirements*.txt")]
    assert len(files) >= 2
    requirement = re.compile(
        r"^(-r [\w/.-]+|[\w.-]+==[\w.]+( ; python_version [<>=]+ \"[\d.]+\")?)$"
    )
    for path in files:
        lines = path.read_text(encoding="utf-8").splitlines()
        wanted = [line for line in lines if line and not line.startswith("#")]
        bad = [line for line in wanted if not requirement.match(line)]
        assert not bad, f"{_name(path)}: {bad}"


def _tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_no_large_files_and_no_machine_paths() -> None:
    # Spelled in two pieces so that this file does not contain what it looks for.
    places = re.compile(rb"(?<![\w.])/(?:ro" + rb"ot|wo" + rb"rk|home/\w+|tmp/br" + rb"ief)/")
    problems = []
    for path in _tracked_files():
        if path.stat().st_size > 10_000_000:
            problems.append(f"{_name(path)} is over 10 MB")
        if path.suffix in TEXTS and path.name != ".gitignore":
            found = places.search(path.read_bytes())
            if found:
                problems.append(f"{_name(path)} names a place of one machine: {found[0]!r}")
    assert not problems, "\n".join(problems)
