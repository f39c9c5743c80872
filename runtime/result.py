"""What goes into a stream and what comes out of it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgeexpo.runtime.frames import Frame

Item = Frame | Sequence[Frame] | Mapping[str, Frame]
Source = Iterable[Item] | AsyncIterable[Item]


@dataclass(frozen=True)
class Result:
    """One picture of a stream.

    Attributes:
        frame: The picture, as calling the session gives it.
        index: Number of its frames in the source, from 0; a gap is what was dropped.
        latency_ms: From the frames' arrival to the picture.
    """

    frame: np.ndarray
    index: int
    latency_ms: float
