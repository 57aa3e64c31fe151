"""Starts the real QGIS program under a virtual display and lets a session script drive it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "resources" / "samples" / "banepa.tif"
ENGINE_PYTHON = os.environ.get("RS_SEGMENT_PYTHON", str(ROOT / ".venv" / "bin" / "python"))
PATIENCE = float(os.environ.get("RS_SEGMENT_PATIENCE", "1"))
SESSION_LIMIT_S = 540 * PATIENCE

MARKS = [
    pytest.mark.qgis,
    pytest.mark.slow,
    pytest.mark.timeout(SESSION_LIMIT_S + 30),
    pytest.mark.skipif(shutil.which("qgis") is None, reason="the QGIS program is not installed"),
    pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="xvfb-run is not installed"),
]


def run_session(folder: Path, script: str, **environment: str) -> dict[str, Any]:
    """Run a session script in QGIS; returns its report with the folder of its pictures.

    Args:
        folder: New folder for profile, work and report.
        script: Name of the script beside this file.
        environment: Further environment variables for QGIS.
    """
    profiles, work = folder / "profiles", folder / "work"
    profile = profiles / "profiles" / "default"
    work.mkdir()
    install = [sys.executable, str(ROOT / "scripts" / "install_plugin.py")]
    subprocess.run([*install, "--profile-dir", str(profile)], check=True, cwd=ROOT)
    write_settings(profile / "QGIS" / "QGIS3.ini")
    shots = Path(os.environ.get("RS_SEGMENT_SCREENSHOTS") or folder / "shots")
    settings = {
        "report": str(folder / "report.json"),
        "shots": str(shots),
        "raster": str(SAMPLE),
        "python": ENGINE_PYTHON,
        "work": str(work),
        "patience": PATIENCE,
    }
    variables = {k: v for k, v in os.environ.items() if k not in ("RS_SEGMENT_PYTHON", "DISPLAY")}
    variables.pop("QT_QPA_PLATFORM", None)
    variables.update(
        RS_SEGMENT_SESSION=json.dumps(settings),
        RS_SEGMENT_SESSION_FOLDER=str(Path(__file__).parent),
        RS_SEGMENT_ZOO=str(folder / "zoo"),
        QGIS_CUSTOM_CONFIG_PATH=str(profiles),
        LIBGL_ALWAYS_SOFTWARE="1",
        GDAL_PAM_ENABLED="NO",
        XDG_RUNTIME_DIR=str(make_private(folder / "runtime")),
        **environment,
    )
    command = ["xvfb-run", "-a", "-s", "-screen 0 1400x900x24", "qgis", "--nologo"]
    command += ["--noversioncheck", "--profiles-path", str(profiles)]
    command += ["--code", str(Path(__file__).with_name(script))]
    done = subprocess.run(
        command, env=variables, capture_output=True, text=True, timeout=SESSION_LIMIT_S
    )
    report = Path(settings["report"])
    assert done.returncode == 0, f"QGIS ended with {done.returncode}:\n{done.stderr[-4000:]}"
    assert report.is_file(), f"QGIS ended without a report:\n{done.stdout}\n{done.stderr}"
    return {**json.loads(report.read_text(encoding="utf-8")), "shots": shots, "folder": folder}


def make_private(folder):
    folder.mkdir(mode=0o700)
    return folder


def write_settings(path):
    """Enable the plugin in a fresh profile, without tips and welcome pages."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    text += "\n[PythonPlugins]\nrs_segment_plugin=true\nprocessing=true\n"
    text += "\n[qgis]\nshowTips=false\ncheckVersion=false\n"
    path.write_text(text, encoding="utf-8")
