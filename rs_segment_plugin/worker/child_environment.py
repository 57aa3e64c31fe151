"""The environment variables of child processes: QGIS's own settings must not leak into them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Dict, Mapping, Optional

from qgis.PyQt.QtCore import QProcessEnvironment

_PREFIXES = ("PROJ_", "GDAL_", "OGR_", "GEOTIFF_", "LD_", "DYLD_", "QT_", "QGIS_", "PYTHON")
_NAMES = frozenset(
    (
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "PIP_USER",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_REQUIRE_VIRTUALENV",
    )
)
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_FIXED = {"PYTHONUTF8": "1", "PYTHONNOUSERSITE": "1", "PYTHONUNBUFFERED": "1"}


def scrubbed(variables: Mapping[str, str], qgis_root: str = "") -> Dict[str, str]:
    """Return the variables for a child process.

    Args:
        variables: The variables of this process.
        qgis_root: Folder of a self-contained QGIS (Windows, macOS); entries of ``PATH`` and
            certificate bundles inside it are dropped. Empty where QGIS is a system package.
    """
    kept = {
        name: value
        for name, value in variables.items()
        if not name.upper().startswith(_PREFIXES) and name.upper() not in _NAMES
    }
    if qgis_root:
        for name in _CERTIFICATES:
            if _inside(kept.get(name, ""), qgis_root):
                del kept[name]
        for name in [name for name in kept if name.upper() == "PATH"]:
            folders = kept[name].split(os.pathsep)
            kept[name] = os.pathsep.join(f for f in folders if not _inside(f, qgis_root))
    kept.update(_FIXED)
    return kept


def _inside(path: str, root: str) -> bool:
    if not path:
        return False
    normal, folder = (os.path.normcase(Path(p).absolute()) for p in (path, root))
    return normal == folder or normal.startswith(folder.rstrip(os.sep) + os.sep)


def qgis_root() -> str:
    """Return the folder of a self-contained QGIS, empty on Linux."""
    if sys.platform == "win32":
        return os.environ.get("OSGEO4W_ROOT", "")
    executable = sys.executable or ""
    if sys.platform == "darwin" and ".app/" in executable:
        return executable.split(".app/", 1)[0] + ".app"
    return ""


def child_environment(extra: Optional[Mapping[str, str]] = None) -> QProcessEnvironment:
    """Return the environment for a child process, with the ``extra`` variables added."""
    system = QProcessEnvironment.systemEnvironment()
    variables = {name: system.value(name) for name in system.keys()}  # noqa: SIM118
    environment = QProcessEnvironment()
    for name, value in {**scrubbed(variables, qgis_root()), **(extra or {})}.items():
        environment.insert(name, value)
    return environment
