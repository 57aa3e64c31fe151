"""Labels, chips, splits and data sets."""
