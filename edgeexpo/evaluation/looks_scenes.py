"""The scenes that looks are judged on: embedded photographs, or a user's folder."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from edgeexpo.evaluation.scene import Scene
from edgeexpo.evaluation.simulated import expose
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.resize import resize
from edgeexpo.imaging.samples import (
    EV_SPREAD,
    EXPOSURE_ERRORS,
    embedded_photographs,
    to_float,
)

LEAST_EV = 2.0
"""Distance in EV of two re-exposed frames from which a fusion has something to do."""


def embedded_scenes(frame_count: int) -> Iterator[Scene]:
    """Yield one scene for each embedded photograph, re-exposed by :func:`~.simulated.expose`.

    Several frames lie from -2 to +2 EV. Single frames have the exposure errors of
    :data:`edgeexpo.imaging.samples.EXPOSURE_ERRORS` in turn.

    Raises:
        MissingDependencyError: The embedded photographs are not installed.
    """
    errors = itertools.cycle(EXPOSURE_ERRORS)
    for name, codes in embedded_photographs():
        photograph = to_float(codes)
        if frame_count == 1:
            error = next(errors)
            frames: tuple[Picture, ...] = (expose(photograph, error),)
            yield Scene(f"{name} {error:+g} EV", ("embedded",), frames, None, "none")
            continue
        evs = [float(ev) for ev in np.linspace(-EV_SPREAD, EV_SPREAD, frame_count)]
        frames = tuple(expose(photograph, ev) for ev in evs)
        yield Scene(name, ("embedded",), frames, None, "none", evs[-1] - evs[0])


def wide_enough(scenes: Iterable[Scene]) -> Iterator[Scene]:
    """Leave out pairs that were re-exposed from one photograph by less than :data:`LEAST_EV`."""
    for scene in scenes:
        simulated = scene.truth_kind == "photograph" and len(scene.frames) > 1
        if not simulated or scene.ev is None or abs(scene.ev) >= LEAST_EV:
            yield scene


def fitted(scene: Scene, longest: int) -> Scene:
    """Return the scene with its frames alone, scaled down to a longest side and rounded to 8 bits.

    Args:
        scene: The scene.
        longest: Longest side of the frames, in pixels.
    """
    frames = tuple(to_codes_of(_shrunk(frame, longest)) for frame in scene.frames)
    return dataclasses.replace(scene, frames=frames, truth=None, given=(), stack=())


def to_codes_of(picture: Picture) -> Picture:
    """Return the picture clipped to [0, 1] and rounded to 8 bits, float32."""
    return np.asarray(np.rint(np.clip(picture, 0, 1) * 255) / 255, np.float32)


def _shrunk(frame: Picture, longest: int) -> Picture:
    height, width = frame.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return frame
    return resize(frame, (max(1, round(height * scale)), max(1, round(width * scale))), "triangle")
