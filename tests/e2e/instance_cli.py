"""The command line with the oracle of the tests among the networks."""

from __future__ import annotations

import sys

import tests.factories_instances  # noqa: F401
from engine.cli import main

sys.exit(main(sys.argv[1:]))
