"""RS Segment's engine: rasters in, segmentation networks, correct vector layers out.

The engine never imports QGIS or Qt. This module and ``errors``, ``protocol``, ``jobs`` and
``zoo`` are *light*: standard library only, Python 3.9, so that QGIS can import them.
"""

__version__ = "0.1.0"
