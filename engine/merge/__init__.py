"""Merging of overlapping tiles; no torch."""
