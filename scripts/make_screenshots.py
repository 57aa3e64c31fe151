"""Makes the pictures of the user guide: the sessions in the real QGIS, kept in docs/images.

Run it with ``make screenshots``. The session runs below a short temporary folder, because its
paths can be read in the pictures.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEST_PYTHON = ROOT / "build" / "qgis-venv" / "bin" / "python"
IMAGES = ROOT / "docs" / "images"
FOLDER = Path("/tmp/rs-segment")
SESSIONS = ("test_dock_in_qgis.py", "test_train_in_qgis.py", "test_instances_in_qgis.py")
# Curves in the guide show more of a training than the test needs.
VALIDATIONS = "12"


def main() -> int:
    """Run the sessions; returns the exit code of their tests."""
    variables = {**os.environ, "RS_SEGMENT_SCREENSHOTS": str(IMAGES)}
    variables.setdefault("RS_SEGMENT_VALIDATIONS", VALIDATIONS)
    files = [f"tests/plugin/{name}" for name in SESSIONS]
    command = [str(TEST_PYTHON), "-m", "pytest", "-q", "--basetemp", str(FOLDER), *files]
    done = subprocess.run(command, cwd=ROOT, env=variables, check=False)
    for picture in sorted(IMAGES.glob("*.png")):
        print(f"{picture.relative_to(ROOT)}  {picture.stat().st_size // 1000} kB")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
