"""What the plugin adds to the start of QGIS: import, ``initGui`` and the first event loop.

QGIS itself is started on a virtual screen, with no other plugin than Processing, some times with
a new profile. A script that it runs when its window stands then loads this plugin as QGIS does
and times that; Python's byte code is made beforehand, as an installed plugin has it.

    python benchmarks/plugin_start.py [--rounds N]

Needs QGIS and xvfb-run. Prints JSON; ``plugin_ms`` is the least of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 180
SCRIPT = """
import json, sys, time
from qgis.PyQt.QtCore import QCoreApplication, QTimer
from qgis.utils import iface

def measure():
    before = set(sys.modules)
    sys.path.insert(0, {root!r})
    QCoreApplication.processEvents()
    start, busy = time.perf_counter(), time.thread_time()
    import rs_segment_plugin
    plugin = rs_segment_plugin.classFactory(iface)
    imported = time.perf_counter()
    plugin.initGui()
    QCoreApplication.processEvents()
    end = time.perf_counter()
    record = {{
        "plugin_ms": (end - start) * 1e3,
        "processor_ms": (time.thread_time() - busy) * 1e3,
        "import_ms": (imported - start) * 1e3,
        "modules": len(set(sys.modules) - before),
        "heavy": [n for n in ("torch", "numpy", "rasterio") if n in set(sys.modules) - before],
    }}
    with open({output!r}, "w") as file:
        json.dump(record, file)
    import os
    os._exit(0)

QTimer.singleShot(2000, measure)
"""


def one_start(folder: Path) -> dict[str, float]:
    """Start QGIS once; returns what its script measured."""
    output, script = folder / "measured.json", folder / "measure.py"
    output.unlink(missing_ok=True)
    script.write_text(SCRIPT.format(root=str(ROOT), output=str(output)), encoding="utf-8")
    command = [
        "xvfb-run", "-a", "qgis", "--nologo", "--noversioncheck", "--noplugins",
        "--profiles-path", str(folder / "profile"), "--code", str(script),
    ]  # fmt: skip
    keep = ("PATH", "HOME", "LANG", "TMPDIR", "XDG_RUNTIME_DIR")
    environment = {name: os.environ[name] for name in keep if name in os.environ}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT_S
    )
    if not output.is_file():
        raise SystemExit(f"QGIS did not run the script:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(output.read_text(encoding="utf-8"))
    return found


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not shutil.which("qgis") or not shutil.which("xvfb-run"):
        raise SystemExit("QGIS or xvfb-run is not installed")
    with tempfile.TemporaryDirectory() as name:
        one_start(Path(name))  # byte code, and the profile's first start
        found = [one_start(Path(name)) for _ in range(options.rounds)]
    best = min(found, key=lambda record: record["plugin_ms"])
    print(json.dumps({k: round(v, 1) if isinstance(v, float) else v for k, v in best.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
