"""A bounded queue between two threads that can drop items, end and be cancelled."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

_T = TypeVar("_T")

POLICIES = ("oldest", "newest", "none")
"""Drop policies: the values of ``drop`` that :class:`Channel` knows."""


class Closed(Exception):  # noqa: N818 - not an error: it says that the channel gives no more items
    """The channel has ended or was cancelled."""


class Channel(Generic[_T]):
    """A first-in, first-out queue between threads.

    Args:
        capacity: Number of items that may wait.
        drop: What happens to an item when no place is left. ``none`` makes :meth:`put` wait.
            ``oldest`` drops the item that has waited longest. ``newest`` drops the new item.
    """

    def __init__(self, capacity: int, drop: str = "none") -> None:
        self._items: deque[_T] = deque()
        self._capacity, self._drop = capacity, drop
        self._changed = threading.Condition()
        self._ended = False

    def put(self, item: _T) -> _T | None:
        """Add an item, and return the item that was dropped, or ``None``.

        The dropped item is ``item`` itself under the policy ``newest``.

        Raises:
            Closed: The channel has ended or was cancelled.
        """
        with self._changed:
            dropped: _T | None = None
            if self._drop == "none":
                self._changed.wait_for(lambda: self._ended or len(self._items) < self._capacity)
            if self._ended:
                raise Closed
            if len(self._items) >= self._capacity:
                if self._drop == "newest":
                    return item
                dropped = self._items.popleft()
            self._items.append(item)
            self._changed.notify_all()
            return dropped

    def get(self) -> _T:
        """Wait for the next item and return it.

        Raises:
            Closed: No item is left and no further item can come.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ended or bool(self._items))
            if not self._items:
                raise Closed
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def end(self) -> None:
        """Accept no further item; waiting items can still be taken."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def cancel(self) -> None:
        """Accept no further item and discard the waiting items."""
        with self._changed:
            self._items.clear()
            self.end()
