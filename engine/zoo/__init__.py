"""Model zoo: cards and folders of models, readable without torch (light)."""
