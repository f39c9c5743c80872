"""Operators that a lowering leaves to slow kernels outside its delegate."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Outside:
    """An operator outside every delegate.

    Attributes:
        operator: Name of the operator, such as ``aten.convolution.default``.
        source: The user's line as ``file:line``, or ``None`` if it is unknown.
        share: Share of the program's multiplications that the operator needs.
    """

    operator: str
    source: str | None
    share: float


_listening: list[list[Outside]] = []


@contextlib.contextmanager
def heard() -> Iterator[list[Outside]]:
    """Give a list that gets what lowerings inside the block leave outside their delegates."""
    found: list[Outside] = []
    _listening.append(found)
    try:
        yield found
    finally:
        _listening.pop()


def tell(operators: Iterable[Outside]) -> None:
    """Tell who listens of operators outside every delegate."""
    if _listening:
        _listening[-1].extend(operators)
