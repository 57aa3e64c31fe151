"""Networks: one file each, built by name."""

from .registry import create_model, list_models, register

__all__ = ["create_model", "list_models", "register"]
