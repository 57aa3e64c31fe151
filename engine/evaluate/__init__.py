"""Metrics of semantic and instance results."""
