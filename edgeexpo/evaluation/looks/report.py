"""What judging by looks gives: the values of each picture, and a verdict for each look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgeexpo.short_repr import short_repr


@dataclass(frozen=True)
class PictureLooks:
    """The looks of one picture.

    Attributes:
        picture: Name of the scene or probe.
        values: Value of each look that was measured, by name.
        failed: Names of the looks whose bound it does not respect.
    """

    picture: str
    values: Mapping[str, float]
    failed: tuple[str, ...]


@dataclass(frozen=True)
class LookVerdict:
    """One look over all pictures of a network.

    Attributes:
        look: Name of the look.
        title: The look in words that say what is right.
        unit: Unit of value and bound.
        value: Value of the worst picture, or ``None`` if no picture could show the fault.
        bound: Bound on the value.
        at_least: True if larger values are better.
        picture: Name of the worst picture.
        pictures: Number of pictures that were measured.
        failed: Number of pictures that do not respect the bound.
        passed: True if none failed, ``None`` if none was measured.
    """

    look: str
    title: str
    unit: str
    value: float | None
    bound: float
    at_least: bool
    picture: str | None
    pictures: int
    failed: int
    passed: bool | None


@dataclass(frozen=True)
class LooksReport:
    """The looks of one network.

    Attributes:
        model: Name of the network.
        target: ``torch``, or the target of the artefact.
        precision: ``float``, or the precision of the artefact.
        passed: True if no look failed.
        rows: One verdict for each look.
        pictures: The values of each picture.
    """

    model: str
    target: str
    precision: str
    passed: bool
    rows: Sequence[LookVerdict]
    pictures: Sequence[PictureLooks] = field(default=())

    def __repr__(self) -> str:
        verdict = "passed" if self.passed else "failed"
        head = f"LooksReport: {self.model} {verdict} on {len(self.pictures)} pictures"
        lines = [
            f"{row.look}: {row.value:.4g} {row.unit} ({row.picture})"
            for row in self.rows
            if row.passed is False and row.value is not None
        ]
        return short_repr(head, lines)
