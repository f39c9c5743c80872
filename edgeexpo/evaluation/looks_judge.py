"""The judgement: what networks show for scenes and probes, measured by the table of looks."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from edgeexpo.errors import EngineError
from edgeexpo.evaluation.looks.colour import has_colour
from edgeexpo.evaluation.looks.look import Look, Seen
from edgeexpo.evaluation.looks.planes import greyscale
from edgeexpo.evaluation.looks.report import LooksReport, PictureLooks
from edgeexpo.evaluation.looks.strides import periods_of
from edgeexpo.evaluation.looks.table import looks_for
from edgeexpo.evaluation.looks.verdicts import values_of, verdicts
from edgeexpo.evaluation.looks_probes import look_probes
from edgeexpo.evaluation.looks_scenes import fitted, to_codes_of
from edgeexpo.evaluation.predict import Contestant, float_sizes
from edgeexpo.evaluation.scene import Scene
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.color import linear_to_srgb, srgb_to_linear
from edgeexpo.progress import note, track, visible

STEP = 1.25
"""Factor of linear light from one lighter input to the next."""

STEPS = 3
"""Largest number of lighter inputs of a scene."""

CLIPPED = 0.02
"""Share of a frame's pixels that may clip from one lighter input to the next."""

_QUIET_SECONDS = 20.0

Observer = Callable[[Scene, Contestant, Seen, PictureLooks], None]
"""A function that is told of every picture, for sheets and files."""


def judge(
    contestants: Sequence[Contestant],
    scenes: Iterable[Scene],
    longest: int,
    observe: Observer | None = None,
) -> list[LooksReport]:
    """Judge networks of one spec on scenes and on the generated probes.

    Args:
        contestants: The networks, such as the artefacts of one bundle.
        scenes: Scenes of any size. Their truths do not count.
        longest: Longest side to which frames are scaled down, in pixels.
        observe: Function that is told of every picture of a scene.

    Returns:
        One report for each network. Probes are among its pictures.

    Raises:
        EngineError: A network gave a picture that is not HxWx3.
    """
    frame_count = len(contestants[0].session.spec.frames)
    looks = looks_for(frame_count)
    found: list[list[PictureLooks]] = [[] for _ in contestants]
    for scene in _told(scenes):
        shown = fitted(scene, longest)
        for contestant, pictures in zip(contestants, found, strict=True):
            seen = see(contestant, shown)
            measured = values_of(shown.name, looks, _values(looks, seen, _ON_SCENES))
            pictures.append(measured)
            if observe is not None:
                observe(shown, contestant, seen, measured)
    for probe in look_probes(frame_count):
        for contestant, pictures in zip(contestants, found, strict=True):
            seen = _seen(contestant, probe.scene)
            # Probes are grey themselves, so that no copy is needed.
            seen = dataclasses.replace(seen, grey=seen.picture)
            pictures.append(values_of(probe.scene.name, looks, _values(looks, seen, probe.looks)))
    return [_report(c, looks, p) for c, p in zip(contestants, found, strict=True)]


def see(contestant: Contestant, scene: Scene) -> Seen:
    """Run a network on a scene, on the grey copy of its frames, and on lighter frames.

    Args:
        contestant: The network.
        scene: Frames, HxWx3 float32, sRGB-encoded, [0, 1].
    """
    seen = _seen(contestant, scene)
    coloured = any(has_colour(frame) for frame in scene.frames)
    copies = _with(scene, tuple(greyscale(frame) for frame in scene.frames))
    grey = _shown(contestant, copies) if coloured else seen.picture
    lighter = [seen.picture, *(_shown(contestant, s) for s in lighter_scenes(scene))]
    return dataclasses.replace(seen, grey=grey, lighter=tuple(lighter))


def lighter_scenes(scene: Scene) -> Iterator[Scene]:
    """Yield the scene with frames that are lighter by :data:`STEP` each time, until one clips."""
    frames = scene.frames
    for _ in range(STEPS):
        lighter = tuple(_lighter(frame) for frame in frames)
        clips = (_clipped(b) - _clipped(a) for a, b in zip(frames, lighter, strict=True))
        if max(clips) > CLIPPED:
            return
        frames = lighter
        yield _with(scene, frames)


def _clipped(frame: Picture) -> float:
    return float((frame >= 1).any(axis=2).mean())


_ON_SCENES = (
    "neutral",
    "crushed",
    "structure",
    "contrast",
    "hue",
    "halos",
    "false_colour",
    "borders",
    "weave",
    "monotone",
)
"""Names of the looks that scenes are judged by. The others are for probes alone."""


def _values(looks: Sequence[Look], seen: Seen, names: Sequence[str]) -> dict[str, float]:
    values = {look.name: look.measure(seen) for look in looks if look.name in names}
    return {name: float(value) for name, value in values.items() if value is not None}


def _seen(contestant: Contestant, scene: Scene) -> Seen:
    spec = contestant.session.spec
    height, width = scene.frames[0].shape[:2]
    periods = periods_of(spec, contestant.sizes or float_sizes(spec), height, width)
    return Seen(scene.frames, _shown(contestant, scene), periods=periods)


def _shown(contestant: Contestant, scene: Scene) -> Picture:
    picture = contestant(scene)[1]
    expected = scene.frames[0].shape
    lost = int((~np.isfinite(picture)).any(axis=2).sum()) if picture.ndim == 3 else 0
    if lost:
        raise EngineError(
            f"{contestant.model} gave {lost} pixels that are no numbers for {scene.name}; looks "
            "judge pictures: find the layer with edgeexpo debug, or train it again"
        )
    if picture.shape != expected:
        shapes = ["x".join(map(str, shape)) for shape in (picture.shape, expected)]
        raise EngineError(
            f"{contestant.model} gave a picture of {shapes[0]} for frames of {shapes[1]}; looks "
            "judge pictures of the frames' size: evaluate it without `looks`"
        )
    return to_codes_of(picture)


def _lighter(frame: Picture) -> Picture:
    linear = srgb_to_linear(frame) * np.float32(STEP)
    return to_codes_of(np.asarray(linear_to_srgb(np.minimum(linear, 1)), np.float32))


def _with(scene: Scene, frames: tuple[Picture, ...]) -> Scene:
    return dataclasses.replace(scene, frames=frames)


def _report(
    contestant: Contestant, looks: Sequence[Look], pictures: Sequence[PictureLooks]
) -> LooksReport:
    rows = verdicts(looks, pictures)
    passed = all(row.passed is not False for row in rows)
    return LooksReport(
        contestant.model, contestant.target, contestant.precision, passed, rows, pictures
    )


def _told(scenes: Iterable[Scene]) -> Iterator[Scene]:
    """Yield the scenes; without a terminal, a line from time to time says how far the work is."""
    told = time.monotonic()
    for index, scene in enumerate(track(scenes, "Judging looks")):
        if not visible() and time.monotonic() - told >= _QUIET_SECONDS:
            note(f"edgeexpo: judged the looks of {index} pictures; the next is {scene.name}")
            told = time.monotonic()
        yield scene
