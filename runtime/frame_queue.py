"""A bounded queue between two threads, that can drop, end and be cancelled."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

_T = TypeVar("_T")

POLICIES = ("oldest", "newest", "none")


class Closed(Exception):  # noqa: N818 - no error: how a channel says that nothing more comes
    """The channel has ended or was cancelled."""


class Channel(Generic[_T]):
    """First in, first out, between threads.

    Args:
        capacity: Items that may wait.
        drop: What happens to an item when no place is left: ``none`` makes :meth:`put` wait,
            ``oldest`` drops the one that has waited longest, ``newest`` the one that comes.
    """

    def __init__(self, capacity: int, drop: str = "none") -> None:
        self._items: deque[_T] = deque()
        self._capacity, self._drop = capacity, drop
        self._changed = threading.Condition()
        self._ended = False

    def put(self, item: _T) -> _T | None:
        """Add an item; what was dropped for it, or itself, comes back.

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
        """Wait for the next item.

        Raises:
            Closed: Nothing is left and nothing more comes.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ended or bool(self._items))
            if not self._items:
                raise Closed
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def end(self) -> None:
        """Nothing more comes; what waits can still be taken."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def cancel(self) -> None:
        """Nothing more comes and what waits is forgotten."""
        with self._changed:
            self._items.clear()
            self.end()
