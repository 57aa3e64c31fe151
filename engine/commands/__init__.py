"""The commands of ``rs-segment``: options in, one job each, events shown to people."""
