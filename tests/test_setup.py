"""The set-up scripts: which apt source they derive, and what they say when they cannot go on."""

from __future__ import annotations

import subprocess
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "install_qgis.sh"

SECURITY = """\
    Types: deb
    URIs: http://security.invalid/debian-security
    Suites: bookworm-security
    Components: main
"""
MAIN = """\
    Types: deb deb-src
    # the mirror of this house
    URIs: http://mirror.invalid/debian
    Suites: bookworm bookworm-updates
    Components: main contrib
    Signed-By:
     -----BEGIN PGP PUBLIC KEY BLOCK-----
     .
     abc
     -----END PGP PUBLIC KEY BLOCK-----
"""


def _bash(folder: Path, commands: str) -> subprocess.CompletedProcess[str]:
    script = f"source {SCRIPT}; apt_folder={folder}; codename=bookworm; {commands}"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_deb822_source_keeps_mirror_and_key(apt: Path) -> None:
    disabled = textwrap.dedent(MAIN).replace("mirror", "disabled") + "Enabled: no\n"
    text = "\n".join([textwrap.dedent(SECURITY), disabled, textwrap.dedent(MAIN)])
    (apt / "sources.list.d" / "debian.sources").write_text(text, encoding="utf-8")
    done = _bash(apt, "backports_source")
    expected = """\
        Types: deb
        URIs: http://mirror.invalid/debian
        Suites: bookworm-backports
        Components: main
        Signed-By:
         -----BEGIN PGP PUBLIC KEY BLOCK-----
         .
         abc
         -----END PGP PUBLIC KEY BLOCK-----
    """
    assert done.stdout == textwrap.dedent(expected), done.stderr


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "deb http://mirror.invalid/debian bookworm main contrib",
            "deb http://mirror.invalid/debian bookworm-backports main\n",
        ),
        (
            "deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] http://m.invalid/d bookworm main",
            "deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] http://m.invalid/d"
            " bookworm-backports main\n",
        ),
        ("deb http://security.invalid/debian-security bookworm-security main", ""),
        ("# deb http://mirror.invalid/debian bookworm main", ""),
    ],
)
def test_one_line_source_keeps_mirror_and_options(apt: Path, line: str, expected: str) -> None:
    (apt / "sources.list").write_text(f"{line}\n", encoding="utf-8")
    done = _bash(apt, "backports_source; backports_line")
    assert done.stdout == expected, done.stderr


def test_without_any_source_the_way_out_is_named(apt: Path) -> None:
    done = _bash(apt, "apt-cache() { :; }; add_backports")
    assert done.returncode == 1
    assert "no apt source of bookworm" in done.stderr
    assert "hint: add the suite bookworm-backports" in done.stderr


def test_without_root_and_sudo_the_command_is_named(apt: Path) -> None:
    done = _bash(apt, "id() { echo 1000; }; PATH=/nowhere; become_root qgis xvfb")
    assert done.returncode == 1
    assert "not root, and there is no sudo; missing: qgis xvfb" in done.stderr
    assert "apt-get install --no-install-recommends qgis xvfb" in done.stderr


@pytest.mark.parametrize(
    ("version", "enough"), [("3.22", True), ("3.9", False), ("3.40", True), ("4.0", True)]
)
def test_versions_are_compared_as_numbers(apt: Path, version: str, enough: bool) -> None:
    assert (_bash(apt, f"new_enough {version}").returncode == 0) is enough
