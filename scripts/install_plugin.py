"""Put the plugin into a QGIS profile and switch it on there.

By default the files are copied; with ``--link`` the plugin's folder consists of links into this
checkout, so that changes show after a restart of QGIS.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from plugin_files import PLUGIN, linked_items, plugin_files

PLUGINS_SECTION = "[PythonPlugins]"
PLUGIN_SECTION = "[rs_segment]"


def default_profile(qgis_major: int) -> Path:
    """Return the folder of the user's profile ``default`` on this system."""
    name = f"QGIS{qgis_major}"
    if sys.platform == "win32":
        base = Path(os.environ.get("APPDATA", str(Path.home() / "AppData" / "Roaming"))) / "QGIS"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support" / "QGIS"
    else:
        data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
        base = Path(data) / "QGIS"
    return base / name / "profiles" / "default"


def remove(folder: Path) -> None:
    """Delete an installed plugin; links are removed, never followed."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.is_dir():
        for item in folder.iterdir():
            if item.is_symlink():
                item.unlink()
        shutil.rmtree(folder)


def copy_into(folder: Path) -> None:
    """Copy all files of the plugin."""
    for name, source in plugin_files().items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def link_into(folder: Path) -> None:
    """Make links into the checkout."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in linked_items().items():
        (folder / name).symlink_to(source, target_is_directory=source.is_dir())


def set_entry(settings: Path, section: str, key: str, value: str) -> None:
    """Set one entry of a settings file of QGIS; all other lines stay as they are."""
    lines = settings.read_text(encoding="utf-8").splitlines() if settings.is_file() else []
    settings.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(_with_entry(lines, section, key, value)) + "\n"
    settings.write_text(text, encoding="utf-8")


def _with_entry(lines: list[str], section: str, key: str, value: str) -> list[str]:
    entry = f"{key}={value}"
    if section not in lines:
        gap = [""] if lines and lines[-1] else []
        return [*lines, *gap, section, entry]
    start = lines.index(section) + 1
    following = range(start, len(lines))
    end = next((i for i in following if lines[i].startswith("[")), len(lines))
    kept = [line for line in lines[start:end] if not line.startswith(f"{key}=")]
    while kept and not kept[-1]:
        kept.pop()
    gap = [""] if end < len(lines) else []
    return [*lines[:start], *kept, entry, *gap, *lines[end:]]


def quoted(text: str) -> str:
    """Return a text as a value of Qt's settings format."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def settings_files(profile: Path, qgis_major: int) -> list[Path]:
    """Return the settings files of a profile: those that exist, at least the one of this QGIS."""
    files = {profile / "QGIS" / f"QGIS{qgis_major}.ini"}
    files.update(path for path in (profile / "QGIS").glob("QGIS[34].ini"))
    return sorted(files)


def main() -> int:
    """Install, or remove, and say what was done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile-dir", type=Path, help="profile folder (default: the user's)")
    parser.add_argument("--qgis", type=int, choices=(3, 4), default=3, help="major version of QGIS")
    parser.add_argument("--python", type=Path, help="interpreter that the engine shall use")
    parser.add_argument("--link", action="store_true", help="link to this checkout (development)")
    parser.add_argument("--no-enable", action="store_true", help="do not switch the plugin on")
    parser.add_argument("--remove", action="store_true", help="remove the plugin from the profile")
    arguments = parser.parse_args()
    profile = (arguments.profile_dir or default_profile(arguments.qgis)).absolute()
    folder = profile / "python" / "plugins" / PLUGIN
    remove(folder)
    if not arguments.remove:
        folder.parent.mkdir(parents=True, exist_ok=True)
        link_into(folder) if arguments.link else copy_into(folder)
    if not arguments.no_enable:
        for settings in settings_files(profile, arguments.qgis):
            on = "false" if arguments.remove else "true"
            set_entry(settings, PLUGINS_SECTION, PLUGIN, on)
    if arguments.python and not arguments.remove:
        for settings in settings_files(profile, arguments.qgis):
            python = quoted(str(arguments.python.absolute()))
            set_entry(settings, PLUGIN_SECTION, "engine_python", python)
    print(f"{'removed from' if arguments.remove else 'installed in'} {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
