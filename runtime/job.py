"""One call of a model: its frames and settings, and the checks that it is possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgeexpo.errors import UsageError
from edgeexpo.frame_format import FrameFormat
from edgeexpo.imaging.raster import Raster
from edgeexpo.imaging.scratch import Scratch
from edgeexpo.runtime.budget import Budget
from edgeexpo.runtime.frames import Frame, check_same
from edgeexpo.spec import ModelSpec

MOST_EV = 64
"""Largest accepted distance between two exposures, in EV."""


@dataclass
class Job:
    """One set of frames on its way through the steps; each step stores its result for the next one.

    Attributes:
        frames: The caller's frames, in the order of the model's.
        ev, fuse, strength: As for calling a session.
        pictures: The frames as pictures, HxWx3 float32 sRGB-encoded RGB in [0,1].
        copies: The pictures at the size that the network sees, if that is another.
        inputs: The network's inputs, HxWxC float32 by name.
        output: The network's output, HxWxC float32.
        budget: Memory and threads for this set of frames.
        memory: Memory of ``pictures``, ``inputs``, ``output`` and all intermediate arrays.
    """

    frames: Sequence[Frame]
    ev: float | None = None
    fuse: bool = True
    strength: float = 1.0
    pictures: Sequence[Raster] = ()
    copies: Sequence[Raster] | None = None
    inputs: Mapping[str, Raster] = field(default_factory=dict)
    output: Raster = field(default_factory=lambda: np.empty((0, 0, 0)))
    budget: Budget = field(default_factory=Budget)
    memory: Scratch = field(default_factory=Scratch)


@dataclass(frozen=True)
class Formats:
    """The format in which frames are read and the format in which pictures are written."""

    frames: FrameFormat
    output: FrameFormat

    @classmethod
    def of(cls, frames: FrameFormat | None, output: FrameFormat | None) -> Formats:
        """Return both formats, with defaults for the missing ones.

        Frames are HxWx3 RGB by default. Pictures are written as the frames are read by default.
        """
        read = frames or FrameFormat()
        return cls(read, output or read)


def in_order(
    expected: Sequence[str], frames: Sequence[Frame], named: Mapping[str, Frame]
) -> list[Frame]:
    """Return the frames in the order of ``expected``.

    Args:
        expected: Names of the model's frames, in its order.
        frames: The first frames, in the order of ``expected``.
        named: The other frames, by name.

    Raises:
        UsageError: A frame is missing, there is one too many, or a name is unknown.
    """
    names = [*expected[: len(frames)], *named]
    if len(frames) + len(named) != len(expected) or set(names) != set(expected):
        found = f"{len(frames)} frame(s)" + (f" and {', '.join(named)}" if named else "")
        raise UsageError(f"the session was given {found}; expected {', '.join(expected)}")
    by_name = {**dict(zip(expected, frames, strict=False)), **named}
    return [by_name[name] for name in expected]


def check_transfers(spec: ModelSpec, formats: Formats) -> None:
    """Refuse a transfer that does not go with the model.

    Raises:
        UsageError: Frames are in PQ or HLG, or pictures are to be written in them and the model
            gives no radiance.
    """
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
    """Refuse a job that the steps cannot do.

    Raises:
        UsageError: ``strength`` is outside [0,1] or differs from 1 for a model that corrects
            nothing, or ``ev`` is not a number up to :data:`MOST_EV`.
        PictureError: The frames differ in size or kind, or their strides are invalid.
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
            f"strength is {job.strength} and {spec.name} does not correct its input; "
            "leave strength at 1"
        )
    check_same(spec.frames, job.frames)
