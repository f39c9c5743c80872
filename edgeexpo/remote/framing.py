"""Messages between two machines: a line of JSON, then the bytes that it announces.

The line is an object. Its key ``bytes``, which may be missing, is the number of bytes that follow.
Arrays follow one another as float32, little-endian, in the order of the line's ``layout``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

LONGEST_LINE = 1 << 22
"""Longest accepted line, in bytes."""

LARGEST_PAYLOAD = 1 << 34
"""Largest accepted number of bytes after a line."""

Message = dict[str, Any]
"""A message's object."""


def framed(message: Mapping[str, Any], payload: Sequence[bytes | memoryview] = ()) -> list[Any]:
    """Return the parts of a message, which are to be written in this order."""
    size = sum(len(part) for part in payload)
    head = {**message, "bytes": size} if size else message
    return [json.dumps(head).encode() + b"\n", *payload]


def parsed(line: bytes) -> tuple[Message, int]:
    """Return a message's object, and the number of bytes that follow its line.

    Raises:
        ValueError: The line is no message.
    """
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("a message is no object")
    size = message.pop("bytes", 0)
    if type(size) is not int or not 0 <= size <= LARGEST_PAYLOAD:
        raise ValueError(f"a message announces {size!r} bytes")
    return message, size


def array_parts(
    arrays: Mapping[str, np.ndarray],
) -> tuple[list[tuple[str, list[int]]], list[memoryview]]:
    """Return the layout of float32 arrays by name, and their bytes."""
    import numpy as np  # The other machine may lack it, and says so by a message.

    flat = [np.ascontiguousarray(a, "<f4") for a in arrays.values()]
    layout = [(name, list(a.shape)) for name, a in zip(arrays, flat, strict=True)]
    return layout, [a.reshape(-1).data.cast("B") for a in flat if a.size]


def arrays_of(
    layout: Any, payload: bytes, checked: Callable[[Any], Sequence[tuple[str, Sequence[int]]]]
) -> dict[str, np.ndarray]:
    """Return the arrays of a payload by name, read-only.

    Args:
        layout: The message's layout.
        payload: The bytes.
        checked: :func:`edgeexpo.runtime.engines.shared_arrays.checked_layout`.

    Raises:
        ValueError: The layout is invalid, or is not that of the payload.
    """
    import numpy as np

    rows, at, found = checked(layout), 0, {}
    if 4 * sum(math.prod(shape) for _, shape in rows) != len(payload):
        raise ValueError("a payload does not have the size of its layout")
    for name, shape in rows:
        count = math.prod(shape)
        found[name] = np.frombuffer(payload, "<f4", count, at).reshape(shape)
        at += 4 * count
    return found
