"""The plugin as QGIS loads it: qgis_process end to end, install, package, unload."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("qgis.core")

from qgis.core import QgsApplication, QgsVectorLayer
from qgis.testing import start_app

from rs_segment_plugin import classFactory
from rs_segment_plugin.engine_api import list_networks
from tests.plugin.rasters import (
    PIXEL_M2,
    PIXELS_1,
    PIXELS_2,
    PYTHON,
    ROOT,
    class_map,
    write_identity,
    write_raster,
)

pytestmark = [pytest.mark.qgis, pytest.mark.timeout(300)]
start_app()

sys.path.insert(0, str(ROOT / "scripts"))
install_plugin = importlib.import_module("install_plugin")
plugin_checks = importlib.import_module("plugin_checks")
plugin_files = importlib.import_module("plugin_files")
plugin_scans = importlib.import_module("plugin_scans")
sys.path.remove(str(ROOT / "scripts"))

NEEDS_QGIS_PROCESS = pytest.mark.skipif(
    shutil.which("qgis_process") is None, reason="qgis_process is not installed"
)


def install(folder: Path, *options: str) -> Path:
    """Install the plugin into a new profile; returns QGIS's configuration folder."""
    command = [sys.executable, str(ROOT / "scripts" / "install_plugin.py"), *options]
    profile = folder / "profiles" / "default"
    subprocess.run([*command, "--profile-dir", str(profile)], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def configuration(tmp_path_factory) -> Path:
    """A profile with links, so that compiled code of the checkout is found again."""
    return install(tmp_path_factory.mktemp("qgis"), "--link", "--python", PYTHON)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_identity(tmp_path_factory.mktemp("models") / "identity", 3)


def qgis_process(configuration: Path, *arguments: str) -> subprocess.Popen:
    variables = {
        **{k: v for k, v in os.environ.items() if k not in ("RS_SEGMENT_PYTHON", "PYTHONPATH")},
        "QGIS_CUSTOM_CONFIG_PATH": str(configuration),
        "QT_QPA_PLATFORM": "offscreen",
        "GDAL_PAM_ENABLED": "NO",
    }
    return subprocess.Popen(
        ["qgis_process", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=variables,
        cwd=configuration,
    )


def workers_of(configuration: Path) -> list[int]:
    """Engine processes whose working directory lies in a configuration folder."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                inside = str((folder / "cwd").resolve()).startswith(str(configuration))
                line = (folder / "cmdline").read_bytes()
            except (FileNotFoundError, PermissionError, ProcessLookupError):
                continue
            if inside and b"engine" in line and b"worker" in line:
                found.append(int(folder.name))
    return found


def wait_gone(configuration: Path, limit_s: float) -> bool:
    end_s = time.monotonic() + limit_s
    while workers_of(configuration) and time.monotonic() < end_s:
        time.sleep(0.05)
    return not workers_of(configuration)


@NEEDS_QGIS_PROCESS
def test_qgis_process_runs_the_algorithm_and_ends_clean(configuration, model, tmp_path):
    raster = write_raster(tmp_path / "raster.tif", class_map())
    run = qgis_process(
        configuration,
        *("run", "rssegment:segment", "--", f"RASTER={raster}", f"MODEL={model}"),
        *("TILE=32", "OVERLAP=8", "DEVICE=cpu", f"OUTPUT={tmp_path / 'out.gpkg'}"),
    )
    output, errors = run.communicate(timeout=280)
    assert run.returncode == 0, output + errors
    assert re.search(r"COUNT:\s+2", output)
    assert "QThread" not in errors and "QProcess" not in errors
    assert wait_gone(configuration, 2)
    layer = QgsVectorLayer(f"{tmp_path / 'out.gpkg'}|layername=classes", "out", "ogr")
    areas = {f["class_id"]: f["area_m2"] for f in layer.getFeatures()}
    assert areas == pytest.approx({1: PIXELS_1 * PIXEL_M2, 2: PIXELS_2 * PIXEL_M2}, rel=1e-3)


@NEEDS_QGIS_PROCESS
def test_qgis_process_reports_a_failure(configuration, model, tmp_path):
    raster = write_raster(tmp_path / "raster.tif", class_map())
    run = qgis_process(
        configuration,
        *("run", "rssegment:segment", "--", f"RASTER={raster}", f"MODEL={model}"),
        *("DEVICE=cuda:3", f"OUTPUT={tmp_path / 'out.gpkg'}"),
    )
    output, errors = run.communicate(timeout=280)
    assert run.returncode == 1
    assert "choose cpu or auto" in errors and "Traceback" not in output + errors
    assert [path.name for path in tmp_path.iterdir()] == ["raster.tif"]


@NEEDS_QGIS_PROCESS
def test_a_killed_qgis_takes_the_engine_with_it(configuration, model, tmp_path):
    sparse = tmp_path / "large.vrt"
    sparse.write_text(
        '<VRTDataset rasterXSize="40000" rasterYSize="40000"><SRS>EPSG:32633</SRS>'
        "<GeoTransform>400000,1,0,5200000,0,-1</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"/></VRTDataset>'
    )
    run = qgis_process(
        configuration,
        *("run", "rssegment:segment", "--", f"RASTER={sparse}", f"MODEL={model}"),
        f"OUTPUT={tmp_path / 'out.gpkg'}",
    )
    end_s = time.monotonic() + 120
    while not workers_of(configuration) and time.monotonic() < end_s:
        time.sleep(0.1)
    assert workers_of(configuration)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert wait_gone(configuration, 5)


def test_unload_removes_provider_engine_and_thread():
    registry = QgsApplication.processingRegistry()
    plugin = classFactory(None)
    plugin.initProcessing()
    client = plugin.client
    final = client.run(PYTHON, "no_such_job", {}, lambda event: None, lambda: False)
    assert final.code == "job"
    assert registry.providerById("rssegment") is not None
    plugin.unload()
    assert registry.providerById("rssegment") is None
    assert not client._thread.isRunning()
    again = classFactory(None)
    again.initProcessing()
    assert registry.algorithmById("rssegment:segment") is not None
    again.unload()


def test_install_links_copies_and_removes(tmp_path):
    linked = install(tmp_path / "linked", "--link") / "profiles/default"
    folder = linked / "python/plugins/rs_segment_plugin"
    assert (folder / "engine").resolve() == ROOT / "engine"
    assert (folder / "metadata.txt").is_file()
    install(tmp_path / "linked")
    assert not (folder / "engine").is_symlink() and (folder / "engine/worker.py").is_file()
    assert (ROOT / "engine" / "worker.py").is_file(), "removing links must not follow them"
    install(tmp_path / "linked", "--remove")
    assert not folder.exists()
    settings = (linked / "QGIS/QGIS3.ini").read_text()
    assert "rs_segment_plugin=false" in settings


def test_settings_of_qgis_are_kept(tmp_path):
    path = tmp_path / "QGIS3.ini"
    before = (
        "[A]\nx=%5Bodd\\y\n\n[PythonPlugins]\nother=true\nrs_segment_plugin=false\n\n[Z]\nq=1\n"
    )
    path.write_text(before)
    install_plugin.set_entry(path, "[PythonPlugins]", "rs_segment_plugin", "true")
    assert path.read_text() == before.replace("rs_segment_plugin=false", "rs_segment_plugin=true")


@pytest.mark.slow
def test_the_package_passes_the_rules_of_the_site(tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "package_plugin.py")]
    done = subprocess.run(
        [*command, "--output", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [path.suffix for path in tmp_path.iterdir()] == [".zip"]


def test_the_rules_catch_what_they_forbid(tmp_path):
    good = [f"rs_segment_plugin/{name}" for name in plugin_checks.REQUIRED_FILES]
    assert plugin_checks.check_names(good) == []
    for bad in ("other/a.py", "rs_segment_plugin/__pycache__/a.pyc", "rs_segment_plugin/.git/x"):
        assert plugin_checks.check_names([*good, bad])
    (tmp_path / "old.py").write_text("def f(x):\n    match x:\n        case 1:\n            pass\n")
    (tmp_path / "tool").write_bytes(b"\x7fELF....")
    problems = plugin_checks.check_folder(tmp_path)
    assert len(problems) == 2
    metadata = tmp_path / "metadata.txt"
    text = (ROOT / "metadata.txt").read_text()
    metadata.write_text(text.replace("about=", "about=50% faster. "))
    assert any("%" in problem for problem in plugin_checks.check_metadata(metadata, release=False))
    metadata.write_text(text.replace("version=0.", "version=9."))
    assert any("engine" in p for p in plugin_checks.check_metadata(metadata, release=False))
    assert any("placeholder" in p for p in plugin_checks.check_metadata(metadata, release=True))
    code = tmp_path / "code"
    code.mkdir()
    (code / "a.py").write_text("import pickle\n\ndef f(b):\n    return pickle.loads(b)\n")
    assert any("B301" in problem for problem in plugin_scans.scan_code(code))
    files = plugin_files.plugin_files()
    assert "engine/errors.py" in files and "resources/network_costs.json" in files
    assert {f"docs/networks/{info.page}.md" for info in list_networks()} <= set(files)
    assert "docs/images/networks/unet.jpg" in files
