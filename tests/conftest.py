"""Rules for all tests: no network, fixed seeds, repeatable property tests.

This file also serves the plugin's tests, which run in QGIS's Python: it imports the standard
library and pytest only.
"""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

try:
    from hypothesis import HealthCheck, settings
except ModuleNotFoundError:  # QGIS's Python has no hypothesis
    pass
else:
    settings.register_profile(
        "repeatable",
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    settings.load_profile("repeatable")

SEED = 20240229
LOOPBACK = ("127.", "::1", "localhost")


class NetworkForbidden(Exception):
    """A test tried to reach the network."""


def _check_address(family: int, address: Any) -> None:
    if family not in (socket.AF_INET, socket.AF_INET6):
        return
    if not str(address[0]).startswith(LOOPBACK):
        raise NetworkForbidden(f"a test connects to {address!r}: tests use local data only")


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Refuse connections that leave this machine; local sockets work."""
    real_connect, real_connect_ex = socket.socket.connect, socket.socket.connect_ex
    real_lookup = socket.getaddrinfo

    def connect(self: socket.socket, address: Any) -> None:
        _check_address(self.family, address)
        real_connect(self, address)

    def connect_ex(self: socket.socket, address: Any) -> int:
        _check_address(self.family, address)
        return real_connect_ex(self, address)

    def lookup(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host is not None:
            _check_address(socket.AF_INET, (host,))
        return real_lookup(host, *args, **kwargs)

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", connect)
    patch.setattr(socket.socket, "connect_ex", connect_ex)
    patch.setattr(socket, "getaddrinfo", lookup)
    yield
    patch.undo()


@pytest.fixture(autouse=True, scope="session")
def one_backend() -> Iterator[None]:
    """Let networks run on torch in fp32 unless a test says otherwise."""
    patch = pytest.MonkeyPatch()
    patch.setenv("RS_SEGMENT_BACKEND", "torch:fp32")
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def fixed_seeds() -> None:
    """Start every test from the same random state, in the libraries that are loaded."""
    random.seed(SEED)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(SEED)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(SEED)


@pytest.fixture(autouse=True)
def empty_user_zoo(tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any) -> None:
    """Keep the models of the person who runs the tests out of them."""
    monkeypatch.setenv("RS_SEGMENT_ZOO", str(tmp_path_factory.getbasetemp() / "no_user_zoo"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip GPU tests where there is no CUDA device."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
