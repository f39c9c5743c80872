"""Mutations of bytes, as a failing disk, a cut download or an attacker would make them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

Random = np.random.Generator
_T = TypeVar("_T")


def pick(random: Random, items: Sequence[_T]) -> _T:
    """Return one item; every item is equally likely."""
    return items[int(random.integers(0, len(items)))]


def flip(data: bytearray, random: Random) -> None:
    """Flip one to eight bits anywhere."""
    for at in random.integers(0, len(data), random.integers(1, 9)):
        data[at] ^= 1 << int(random.integers(0, 8))


def truncate(data: bytearray, random: Random) -> None:
    """Remove the end."""
    del data[int(random.integers(0, len(data))) :]


def splice(data: bytearray, random: Random) -> None:
    """Write one stretch of bytes over another."""
    length = int(random.integers(1, max(2, len(data) // 8)))
    source, target = (int(random.integers(0, len(data) - length + 1)) for _ in range(2))
    data[target : target + length] = data[source : source + length]


def remove(data: bytearray, random: Random) -> None:
    """Remove a stretch of bytes."""
    at = int(random.integers(0, len(data)))
    del data[at : at + int(random.integers(1, 65))]


def insert(data: bytearray, random: Random) -> None:
    """Insert some bytes."""
    at = int(random.integers(0, len(data)))
    data[at:at] = random.bytes(int(random.integers(1, 65)))


def number(data: bytearray, random: Random) -> None:
    """Replace a number, such as a length, size or offset, by a small, negative or huge one."""
    choices = (b"\xff" * 9 + b"\x01", b"\xff\xff\xff\xff\x0f", b"\xff" * 4, b"\0" * 4, b"\x80" * 10)
    chosen = pick(random, choices)
    at = int(random.integers(0, len(data)))
    data[at : at + len(chosen)] = chosen


Damage = Callable[[bytearray, Random], None]
"""Function that mutates bytes in place. They must not be empty."""

DAMAGES: tuple[Damage, ...] = (flip, truncate, splice, remove, insert, number)
"""All mutations of bytes."""

_MOST_TRIES = 100


def damaged(data: bytes, damage: Damage, random: Random) -> bytes:
    """Return a mutated copy that differs from ``data``, which must not be empty."""
    for _ in range(_MOST_TRIES):
        copy = bytearray(data)
        damage(copy, random)
        if copy != data:
            return bytes(copy)
    return data + b"\0"
