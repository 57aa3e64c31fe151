"""Set-up of the plugin's tests: a screen is not needed, the user's QGIS profile is not touched."""

from __future__ import annotations

import os
import sys
import tempfile

import pytest

EXIT_STATUS = pytest.StashKey[int]()

if not os.environ.get("DISPLAY"):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("QGIS_CUSTOM_CONFIG_PATH", tempfile.mkdtemp(prefix="rs-segment-profile-"))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep the result for the end of the process."""
    session.config.stash[EXIT_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End a process that ran a QGIS application without tearing Qt down.

    Python frees the objects of such a process in any order, which now and then crashes inside
    Qt after the last test; the sessions in the real QGIS program test how it ends.
    """
    status = config.stash.get(EXIT_STATUS, None)
    if status is not None and "qgis.testing" in sys.modules and "xdist" not in sys.modules:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
