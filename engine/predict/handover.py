"""Items given from one thread to another, which takes them when it is ready."""

from __future__ import annotations

from collections.abc import Generator
from threading import Condition
from typing import Generic, TypeVar

from ..errors import JobCancelled

Item = TypeVar("Item")


class Handover(Generic[Item]):
    """One item at a time from a giver to a taker: nothing piles up between them."""

    def __init__(self) -> None:
        self._change = Condition()
        self._items: list[Item] = []
        self._ended = self._stopped = self._left = False

    def wait(self) -> None:
        """Wait until the last item was taken, or the taker is gone."""
        with self._change:
            self._change.wait_for(lambda: not self._items or self._left)

    def give(self, item: Item) -> bool:
        """Give an item once the last one was taken; returns False if the taker is gone."""
        self.wait()
        with self._change:
            if self._left:
                return False
            self._items.append(item)
            self._change.notify_all()
            return True

    def end(self, *, stopped: bool = False) -> None:
        """Say that no more items come, because there are none or because all was stopped."""
        with self._change:
            self._ended, self._stopped = True, stopped
            self._change.notify_all()

    def items(self) -> Generator[Item, None, None]:
        """Yield the items as they come, in the taker's thread.

        Raises:
            JobCancelled: If the giver was stopped.
        """
        try:
            while True:
                with self._change:
                    self._change.wait_for(lambda: bool(self._items) or self._ended)
                    if self._stopped:
                        raise JobCancelled
                    if not self._items:
                        return
                    item = self._items.pop()
                    self._change.notify_all()
                yield item
                del item
        finally:
            with self._change:
                self._left = True
                self._change.notify_all()
