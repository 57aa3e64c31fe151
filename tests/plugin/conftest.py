"""Set-up of the plugin's tests: a screen is not needed, the user's QGIS profile is not touched."""

from __future__ import annotations

import os
import tempfile

if not os.environ.get("DISPLAY"):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("QGIS_CUSTOM_CONFIG_PATH", tempfile.mkdtemp(prefix="rs-segment-profile-"))
