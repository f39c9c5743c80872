"""What a look is, and what it looks at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgeexpo.imaging.arrays import Picture


@dataclass(frozen=True)
class Seen:
    """What a network showed for one set of frames.

    All pictures are HxWx3 float32 of one size, sRGB-encoded, [0, 1], rounded to 8 bits.

    Attributes:
        frames: Frames that the network got, darkest first.
        picture: Picture that it gave, after all stages.
        grey: Picture that it gave for greyscale copies of the frames, or ``None`` if it was not
            run on them.
        lighter: Pictures that it gave for the same frames, each a step lighter than the one
            before, starting from ``picture``.
        periods: Vertical and horizontal distances in pixels at which the network's strides meet
            the picture.
    """

    frames: tuple[Picture, ...]
    picture: Picture
    grey: Picture | None = None
    lighter: tuple[Picture, ...] = ()
    periods: tuple[tuple[float, float], ...] = ()


Measurement = Callable[[Seen], "float | None"]
"""A function that measures a fault. It returns ``None`` where the fault has no meaning."""


@dataclass(frozen=True)
class Look:
    """One gate on a network's picture.

    Attributes:
        name: Name in the table and in JSON.
        title: The look in words that say what is right.
        unit: Unit of the value.
        bound: Bound on the value.
        at_least: True if larger values are better.
        definition: How the value is computed.
        reason: Why the bound is where it is.
        measure: The measurement.
        scope: ``"fusion"`` for networks of several frames, ``"correction"`` for networks of one
            frame, or ``"all"``.
    """

    name: str
    title: str
    unit: str
    bound: float
    at_least: bool
    definition: str
    reason: str
    measure: Measurement
    scope: str = "all"

    def holds(self, value: float) -> bool:
        """Return true if ``value`` respects the bound. NaN never respects it."""
        return value >= self.bound if self.at_least else value <= self.bound
