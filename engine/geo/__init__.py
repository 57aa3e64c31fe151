"""Rasters, windows, grids and vector files; the only place that opens them."""
