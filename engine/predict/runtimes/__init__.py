"""What runs a semantic network: one file per runtime, all behind ``contract.Runtime``."""
