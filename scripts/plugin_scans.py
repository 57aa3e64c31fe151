"""The plugin site's scanners, and the unpacked plugin in a real QGIS."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from plugin_files import PLUGIN, ROOT

# Rules that the site has switched off by default (import of subprocess, and retired ones).
BANDIT_OFF = "B404,B109,B111,B410,B411"
TIMEOUT_S = 300
QGIS_CODE = """
import sys
sys.path.insert(0, sys.argv[1])
for name in ("torch", "torchvision", "rasterio", "numpy"):
    sys.modules[name] = None
from qgis.core import QgsApplication
app = QgsApplication([], False)
app.initQgis()
import {plugin}
plugin = {plugin}.classFactory(None)
plugin.initProcessing()
found = QgsApplication.processingRegistry().algorithmById("rssegment:segment")
from {plugin} import engine_api
print("LOADED" if found is not None and engine_api.engine_root().name == "{plugin}" else "FAILED")
plugin.unload()
app.exitQgis()
"""


def _tool(module: str) -> list[str] | None:
    """Return how to start a scanner: from the checkout's environment, else from this Python."""
    for python in (ROOT / ".venv" / "bin" / "python", Path(sys.executable)):
        if python.is_file() and _run([str(python), "-c", f"import {module}"]).returncode == 0:
            return [str(python), "-m", module]
    return None


def _run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, **options
    )


def scan_code(folder: Path) -> list[str]:
    """Return Bandit's findings; any of an enabled rule blocks an upload."""
    tool = _tool("bandit")
    if tool is None:
        return ["bandit is not installed: pip install -r requirements-dev.txt"]
    done = _run([*tool, "-r", str(folder), "-f", "json", "-q", "-s", BANDIT_OFF])
    try:
        report = json.loads(done.stdout)
    except ValueError:
        return [f"bandit gave no report: {done.stderr.strip()[-300:]}"]
    problems = [f"bandit could not read {error['filename']}" for error in report["errors"]]
    for finding in report["results"]:
        place = f"{Path(finding['filename']).relative_to(folder)}:{finding['line_number']}"
        problems.append(f"bandit {finding['test_id']} {place}: {finding['issue_text']}")
    return problems


def scan_secrets(folder: Path) -> list[str]:
    """Return detect-secrets' findings; they block an upload as well."""
    tool = _tool("detect_secrets")
    if tool is None:
        return ["detect-secrets is not installed: pip install -r requirements-dev.txt"]
    done = _run([*tool, "scan", "--all-files", "."], cwd=folder)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        return [f"detect-secrets gave no report: {done.stderr.strip()[-300:]}"]
    return [
        f"detect-secrets {name}:{finding['line_number']}: {finding['type']}"
        for name, findings in report["results"].items()
        if name != "metadata.txt"
        for finding in findings
    ]


def qgis_python() -> str:
    """Return the interpreter that has PyQGIS, an empty text if there is none."""
    for name in ("/usr/bin/python3", shutil.which("python3") or ""):
        if name and _run([name, "-c", "import qgis.core"]).returncode == 0:
            return name
    return ""


def check_in_qgis(folder: Path, scratch: Path) -> list[str]:
    """Load the unpacked plugin in a real QGIS, with heavy packages made unimportable."""
    python = qgis_python()
    if not python:
        return ["there is no QGIS here to load the zip in (--no-qgis skips this)"]
    environment = {
        **{k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        "QT_QPA_PLATFORM": "offscreen",
        "QGIS_CUSTOM_CONFIG_PATH": str(scratch / "profile"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    code = QGIS_CODE.format(plugin=PLUGIN)
    done = _run([python, "-c", code, str(folder.parent)], cwd=scratch, env=environment)
    if done.returncode != 0 or "LOADED" not in done.stdout:
        return [f"QGIS cannot load the zip: {(done.stderr or done.stdout).strip()[-600:]}"]
    return []
