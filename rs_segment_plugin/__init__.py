"""RS Segment: segmentation of remote-sensing rasters inside QGIS."""

from __future__ import annotations

from typing import Any


def classFactory(iface: Any) -> Any:
    """Return the plugin object; QGIS calls this once."""
    from .plugin import RsSegmentPlugin

    return RsSegmentPlugin(iface)
