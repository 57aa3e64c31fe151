"""Class rasters to polygons; no torch."""
