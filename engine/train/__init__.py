"""Training and publishing of models."""
