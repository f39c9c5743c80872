"""Generated frames that show single faults clearly: flat greys, a grey ramp, grey steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeexpo.evaluation.looks_scenes import to_codes_of
from edgeexpo.evaluation.scene import Scene
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.color import linear_to_srgb, srgb_to_linear
from edgeexpo.imaging.samples import EV_SPREAD

SIZE = (256, 384)
"""Height and width of a probe, in pixels."""

GREYS = (0.2, 0.5, 0.8)
"""Encoded values of the flat greys."""

_STEPS = ((0.25, 0.6, 0.35), (0.55, 0.2, 0.65))


@dataclass(frozen=True)
class Probe:
    """Generated frames, and the looks that they are for.

    Attributes:
        scene: The frames, without a truth. All are grey.
        looks: Names of the looks that are judged on them.
    """

    scene: Scene
    looks: tuple[str, ...]


def look_probes(frame_count: int) -> list[Probe]:
    """Return the probes.

    Args:
        frame_count: Frames of each probe, from -2 to +2 EV around the grey. One means the grey.
    """
    planes: list[tuple[str, Picture, tuple[str, ...]]] = [
        (f"flat grey {grey:g}", np.full(SIZE, grey, np.float32), ("flat", "neutral"))
        for grey in GREYS
    ]
    planes += [
        ("grey ramp", _ramp(), ("neutral", "weave")),
        ("grey steps", _steps(), ("halos", "borders", "neutral")),
    ]
    return [Probe(_scene(name, plane, frame_count), looks) for name, plane, looks in planes]


def _ramp() -> Picture:
    return np.broadcast_to(np.linspace(0, 1, SIZE[1], dtype=np.float32), SIZE).copy()


def _steps() -> Picture:
    """Return six even fields whose tones step by 77 to 115 codes."""
    height, width = SIZE
    plane = np.empty(SIZE, np.float32)
    for row, values in enumerate(_STEPS):
        for column, value in enumerate(values):
            rows = slice(row * height // 2, (row + 1) * height // 2)
            plane[rows, column * width // 3 : (column + 1) * width // 3] = value
    return plane


def _scene(name: str, plane: Picture, frame_count: int) -> Scene:
    picture = np.repeat(plane[..., None], 3, axis=2)
    if frame_count == 1:
        return Scene(name, ("probes",), (to_codes_of(picture),), None, "none")
    evs = np.linspace(-EV_SPREAD, EV_SPREAD, frame_count)
    linear = srgb_to_linear(picture)
    frames = tuple(to_codes_of(linear_to_srgb(np.clip(linear * 2.0**ev, 0, 1))) for ev in evs)
    return Scene(name, ("probes",), frames, None, "none", float(evs[-1] - evs[0]))
