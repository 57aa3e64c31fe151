"""Networks: one file each, built by name."""
