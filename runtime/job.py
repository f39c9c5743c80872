"""What is asked of a model at once: frames and how, and whether it can be done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgeexpo.errors import UsageError
from edgeexpo.frame_format import FrameFormat
from edgeexpo.imaging.raster import Raster
from edgeexpo.imaging.scratch import Scratch
from edgeexpo.runtime.frames import Frame, check_same
from edgeexpo.spec import ModelSpec

MOST_EV = 64
"""Exposures further apart are none."""


@dataclass
class Job:
    """One set of frames on its way: what each step leaves for the next.

    Attributes:
        frames: As they were given, in the order of the model's.
        ev, fuse, strength: As for calling a session.
        pictures: The frames, HxWx3 float32 RGB in [0,1].
        inputs: The network's, HxWxC float32 by name.
        output: The network's, HxWxC float32.
        memory: What ``pictures``, ``inputs``, ``output`` and all that is between lie in.
    """

    frames: Sequence[Frame]
    ev: float | None = None
    fuse: bool = True
    strength: float = 1.0
    pictures: Sequence[Raster] = ()
    inputs: Mapping[str, Raster] = field(default_factory=dict)
    output: Raster = field(default_factory=lambda: np.empty((0, 0, 0)))
    memory: Scratch = field(default_factory=Scratch)


@dataclass(frozen=True)
class Formats:
    """How frames are read and pictures are written."""

    frames: FrameFormat
    output: FrameFormat

    @classmethod
    def of(cls, frames: FrameFormat | None, output: FrameFormat | None) -> Formats:
        """HxWx3 RGB unless said otherwise, and pictures as frames."""
        read = frames or FrameFormat()
        return cls(read, output or read)


def in_order(
    expected: Sequence[str], frames: Sequence[Frame], named: Mapping[str, Frame]
) -> list[Frame]:
    """Frames in the order of ``expected``, given in that order or by name.

    Raises:
        UsageError: One is missing, too many, or of another name.
    """
    names = [*expected[: len(frames)], *named]
    if len(frames) + len(named) != len(expected) or set(names) != set(expected):
        found = f"{len(frames)} frame(s)" + (f" and {', '.join(named)}" if named else "")
        raise UsageError(f"the session was given {found}; expected {', '.join(expected)}")
    by_name = {**dict(zip(expected, frames, strict=False)), **named}
    return [by_name[name] for name in expected]


def check_transfers(spec: ModelSpec, formats: Formats) -> None:
    """Raise :class:`UsageError` when a transfer does not go with the model."""
    if formats.frames.is_hdr:
        raise UsageError(
            f"frames are in {formats.frames.transfer}; networks take pictures encoded for an "
            "ordinary display: expected srgb"
        )
    if formats.output.is_hdr and spec.outputs[0].transfer != "linear":
        raise UsageError(
            f"pictures are to be written in {formats.output.transfer} and {spec.name} gives no "
            "radiance; expected srgb"
        )


def check(spec: ModelSpec, job: Job) -> None:
    """Refuse what no step could use.

    Raises:
        UsageError: ``strength`` is not 1 and the model corrects nothing, or ``ev`` is no exposure.
        PictureError: The frames differ in size or kind.
    """
    if job.ev is not None and not abs(job.ev) <= MOST_EV:
        raise UsageError(
            f"ev is {job.ev:g}; expected log2 of the exposures' ratio, up to {MOST_EV}"
        )
    if not 0 <= job.strength <= 1:
        raise UsageError(f"strength is {job.strength}; expected 0 to 1")
    corrects = spec.residual is not None or (spec.kind == "correction" and job.fuse)
    if job.strength != 1 and not corrects:
        raise UsageError(
            f"strength is {job.strength} and the output of {spec.name} is no correction of its "
            "input; leave strength at 1"
        )
    check_same(spec.frames, job.frames)
