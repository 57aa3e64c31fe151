"""QGIS layers to files for the engine, and its results back to layers."""
