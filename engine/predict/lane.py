"""Calls in a thread of their own: what follows the network runs beside it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Found = TypeVar("Found")


class Lane:
    """Runs calls one after another, in the order in which they were sent, in one thread.

    Use as a context manager; leaving it waits for all calls, or, after an error, only for the
    one that runs. An error of a call is raised by one of the next sends or by :meth:`wait`.

    Args:
        name: Name of the thread.
        depth: Most calls that have been sent and are not finished.
    """

    def __init__(self, name: str, depth: int = 2) -> None:
        self._pool = ThreadPoolExecutor(1, name)
        self._depth = depth
        self._sent: deque[Future[Any]] = deque()

    def send(self, function: Callable[..., Found], *args: Any, **options: Any) -> Future[Found]:
        """Let a function be called; waits while too many calls are not finished.

        Raises:
            Exception: What an earlier call raised.
        """
        while len(self._sent) >= self._depth:
            self._sent.popleft().result()
        sent = self._pool.submit(function, *args, **options)
        self._sent.append(sent)
        return sent

    def wait(self) -> None:
        """Wait until all calls are finished.

        Raises:
            Exception: What a call raised.
        """
        while self._sent:
            self._sent.popleft().result()

    def __enter__(self) -> Lane:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)
