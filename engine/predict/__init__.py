"""Tiles in, scores or instances out."""
