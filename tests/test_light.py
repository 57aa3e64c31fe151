"""The light modules and the plugin start on Python 3.9 without the engine's packages."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIGHT_FILES = [
    *(ROOT / "engine" / f"{name}.py" for name in ("__init__", "errors", "packages", "protocol")),
    *sorted((ROOT / "engine" / "jobs").glob("*.py")),
    *sorted((ROOT / "engine" / "zoo").glob("*.py")),
]
PLUGIN_FILES = sorted((ROOT / "rs_segment_plugin").rglob("*.py"))


def test_light_modules_and_plugin_run_on_python_39() -> None:
    files = [*LIGHT_FILES, *PLUGIN_FILES]
    for path in files:
        ast.parse(path.read_text(encoding="utf-8"), filename=str(path), feature_version=(3, 9))
    command = [
        str(Path(sys.executable).with_name("vermin")),
        "-q",
        "--no-tips",
        "--violations",
        "-t=3.9-",
    ]
    done = subprocess.run([*command, *map(str, files)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def poisoned(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which the engine's heavy packages cannot be imported."""
    for name in ("torch", "torchvision", "numpy", "rasterio"):
        text = f"raise ModuleNotFoundError('{name} is imported', name='{name}')\n"
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    environment = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    paths = os.pathsep.join([str(tmp_path), str(ROOT), "/usr/share/qgis/python/plugins"])
    return {
        **environment,
        "PYTHONPATH": paths,
        "QT_QPA_PLATFORM": "offscreen",
        "QGIS_CUSTOM_CONFIG_PATH": str(tmp_path / "profile"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _run(python: str, script: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [python, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("python", [sys.executable, "/usr/bin/python3"])
def test_light_modules_import_without_heavy_packages(python, poisoned) -> None:
    if shutil.which(python) is None:
        pytest.skip(f"{python} is not on this machine")
    modules = [path.relative_to(ROOT).with_suffix("").parts for path in LIGHT_FILES]
    names = ", ".join(".".join(parts).removesuffix(".__init__") for parts in modules)
    script = f"""
        import sys
        import {names}
        heavy = sorted({{name.split(".")[0] for name in sys.modules}} & {{"torch", "numpy"}})
        print("heavy:", heavy)
    """
    assert _run(python, script, poisoned).strip() == "heavy: []"


def test_plugin_starts_without_heavy_packages(poisoned) -> None:
    """QGIS's own Python loads the plugin and registers its algorithms, with no torch at hand."""
    python = os.environ.get("QGIS_PYTHON", "/usr/bin/python3")
    probe = [python, "-c", "import qgis.core"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        pytest.skip(f"QGIS IS ABSENT: {python} has no qgis module; run scripts/install_qgis.sh")
    script = """
        import sys
        from qgis.core import QgsApplication
        application = QgsApplication([], False)
        application.initQgis()
        import rs_segment_plugin
        plugin = rs_segment_plugin.classFactory(None)
        plugin.initProcessing()
        provider = QgsApplication.processingRegistry().providerById("rssegment")
        print("algorithms:", ",".join(sorted(a.name() for a in provider.algorithms())))
        heavy = {"torch", "torchvision", "numpy", "rasterio"} & set(sys.modules)
        print("heavy:", sorted(heavy))
        engine = [name for name in sys.modules if ".pipelines" in name or ".models" in name]
        print("engine:", [name for name in engine if "engine" in name])
        plugin.unload()
        application.exitQgis()
    """
    printed = _run(python, script, poisoned).splitlines()
    algorithms = next(line for line in printed if line.startswith("algorithms: "))
    assert "segment" in algorithms.removeprefix("algorithms: ").split(",")
    assert "heavy: []" in printed
    assert "engine: []" in printed
