"""The items that go into a stream and the results that come out of it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgeexpo.runtime.frames import Frame

Item = Frame | Sequence[Frame] | Mapping[str, Frame]
"""One item of a stream: a frame, the model's frames in order, or frames by name."""

Source = Iterable[Item] | AsyncIterable[Item]
"""A stream's source of items."""


@dataclass(frozen=True)
class Result:
    """One picture of a stream.

    Attributes:
        frame: The picture, in the form in which calling the session returns it.
        index: Number of its frames in the source, from 0; a gap means dropped frames.
        latency_ms: Milliseconds from the frames' arrival to the finished picture.
    """

    frame: np.ndarray
    index: int
    latency_ms: float
