"""Scenes for training: the pictures of a simulated camera and the exact truth.

Radiance comes from perspective views of equirectangular maps and from photographs that are
converted back to linear light. :class:`edgeexpo.imaging.camera.Camera` takes the pictures, so every
truth is exact. A maker gets a random generator that is seeded for each scene. So it makes the same
scenes in any order.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeexpo.errors import UsageError
from edgeexpo.imaging import response
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.camera import Camera
from edgeexpo.imaging.color import srgb_to_linear
from edgeexpo.imaging.fusion import exposure_fusion
from edgeexpo.imaging.mef_ssim import MefReference
from edgeexpo.imaging.resize import resize
from edgeexpo.imaging.samples import EV_SPREAD, EXPOSURE_ERRORS, embedded_files
from edgeexpo.imaging.tonemap import drago, mantiuk, reinhard
from edgeexpo.training.photographs import Photographs, photograph_files
from edgeexpo.training.synthesis import interpolation_pair, radiance_maps, random_view

SceneArrays = Mapping[str, npt.NDArray[Any]]
"""Arrays of a scene by name, HxWx3 each."""

Maker = Callable[["Sources", int, np.random.Generator], SceneArrays]
"""A function that makes a scene from sources, a size in pixels and a random generator."""

STACK = 9
"""Number of exposures in the dense stack whose fusion is the target of fusion networks."""

JUDGED = 64
"""Smallest height and width, in pixels, at which candidates for the target are compared."""

CORRECTION_EVS = (-1.5, -1.0, 0.0, 1.0, 1.5)
"""Exposure errors in EV of the Exposure-Errors data set (Afifi et al., CVPR 2021)."""

WELL_EXPOSED = 0.4
"""Share of correction scenes without an exposure error.

With the data set's share of a fifth, networks spoil well-exposed pictures."""

SHOTS = "shots-"
"""Start of the kinds of scenes that :func:`shots` makes. The number of frames follows."""

RADIANCE_HEADROOM = 16.0
"""Ratio of the radiance at which the target of LDR-to-HDR networks saturates to that of white."""


@dataclass(frozen=True)
class Sources:
    """The radiance maps and photographs that scenes are made from.

    Attributes:
        maps: Equirectangular maps by name, HxWx3 float32 linear radiance, >= 0.
        photographs: Photographs by name, HxWx3 float32 linear light, [0, 1], or ``None``.
    """

    maps: Mapping[str, Picture]
    photographs: Photographs | None

    def scene(self, size: int, rng: np.random.Generator, photographs: float = 1 / 3) -> Picture:
        """Return a view of a map or a part of a photograph, size x size x 3, linear radiance.

        Args:
            size: Height and width, in pixels.
            rng: Generator of the choice.
            photographs: Probability of a photograph when there are maps as well.

        Raises:
            UsageError: There is neither a map nor a photograph.
        """
        if self.photographs and (not self.maps or rng.random() < photographs):
            return self.part(size, rng)
        return self.view(size, rng)

    def view(self, size: int, rng: np.random.Generator) -> Picture:
        """Return a perspective view of a random map, size x size x 3, linear radiance.

        Raises:
            UsageError: There is no map.
        """
        if not self.maps:
            raise UsageError(
                "this network learns from radiance maps; the folder has no .hdr or .exr"
            )
        names = list(self.maps)
        return random_view(self.maps[names[int(rng.integers(len(names)))]], size, rng)

    def part(self, size: int, rng: np.random.Generator) -> Picture:
        """Return a part of a random photograph, size x size x 3, linear light, [0, 1].

        Raises:
            UsageError: There is no photograph to train on.
            PictureError: No photograph can be read.
        """
        if not self.photographs:
            raise UsageError(
                "this network learns from photographs; expected some in the folder beside those "
                "that are held out for evaluation"
            )
        return part(self.photographs.draw(rng), size, rng)


def embedded_sources() -> Sources:
    """Return the embedded photographs as sources.

    Raises:
        MissingDependencyError: The embedded photographs are not installed.
    """
    return Sources({}, Photographs(embedded_files()))


def read_sources(folder: Path, held_out: bool | None = False) -> Sources:
    """Find the ``.hdr`` and ``.exr`` maps and the photographs of a folder that can be trained on.

    Maps lie in ``folder/hdri`` (or ``folder``), photographs in ``folder/photos`` (or ``folder``).
    One photograph in five is held out, by a checksum of its name. The maps in
    :data:`edgeexpo.training.synthesis.HELD_OUT` are held out too.

    Args:
        folder: Folder of the user's data.
        held_out: True for the held-out maps and photographs instead of the others. ``None`` for all
            photographs, and the maps that are not held out.

    Raises:
        UsageError: The folder is missing, has neither maps nor photographs, or has maps of which
            no wanted map can be read.
        MissingDependencyError: There are ``.exr`` maps and the OpenEXR package is not installed.
    """
    if not folder.is_dir():
        raise UsageError(f"no folder {folder}; expected radiance maps (.hdr) and photographs in it")
    maps, pictures = (s if (s := folder / n).is_dir() else folder for n in ("hdri", "photos"))
    found = Sources(
        radiance_maps(maps, held_out=bool(held_out)) if _has(maps, ("*.hdr", "*.exr")) else {},
        _photographs(pictures, held_out),
    )
    if not found.maps and not found.photographs:
        raise UsageError(f"{folder} has no .hdr map and no photograph; expected some of either")
    return found


def held_out_photograph(name: str) -> bool:
    """Return True for the fifth of all photographs that is for evaluation only."""
    return zlib.crc32(name.encode()) % 5 == 0


def part(picture: Picture, size: int, rng: np.random.Generator) -> Picture:
    """Crop a random square of at least half the shorter side, and scale it to ``size`` pixels.

    Args:
        picture: HxWx3, any range and encoding.
        size: Height and width of the result, in pixels.
        rng: Generator of the choice.

    Returns:
        size x size x 3 float32, in the picture's range and encoding.
    """
    shorter = min(picture.shape[:2])
    side = int(rng.uniform(0.5, 1.0) * shorter)
    top = int(rng.integers(0, picture.shape[0] - side + 1))
    left = int(rng.integers(0, picture.shape[1] - side + 1))
    return resize(picture[top : top + side, left : left + side], (size, size))


def interpolation(sources: Sources, size: int, rng: np.random.Generator) -> SceneArrays:
    """Make a scene for exposure interpolation (LRL).

    Half of the scenes are photographs. Photographs that are scaled down have texture as fine as
    noise, which views of maps lack.

    Returns:
        ``y0`` as the runtime's front stage computes it, and ``truth``, the exact exposure half
        way. Both are size x size x 3 uint16, encoded by the simulated camera's response.
    """
    y0, truth = interpolation_pair(sources.scene(size, rng, photographs=1 / 2), rng)
    return {"y0": _sixteen(y0), "truth": _sixteen(truth)}


def fusion(sources: Sources, size: int, rng: np.random.Generator) -> SceneArrays:
    """Make a scene for exposure fusion: frames of a bracket and the best fusion of a dense stack.

    The bracket is 4 to 8 EV wide.

    Returns:
        Arrays of size x size x 3. ``under`` and ``over`` (uint8) are the ends of the bracket.
        ``near`` and ``far`` (uint8) are two random frames of the stack, for networks that learn
        from any pair. ``truth`` (uint16) is the best of {Mertens, Reinhard, Drago, Mantiuk} by
        MEF-SSIM against the noiseless stack.
    """
    radiance = sources.scene(size, rng)
    camera = Camera.random(rng)
    spread, offset = rng.uniform(4, 8), rng.uniform(-0.7, 0.7)
    evs = offset + np.linspace(-spread / 2, spread / 2, STACK)
    stack = [camera.expose(radiance, ev) for ev in evs]
    first, second = np.sort(rng.choice(STACK, 2, replace=False))
    shot = {i: camera.shoot(radiance, evs[i], rng) for i in {0, first, second, STACK - 1}}
    return {
        "under": _eight(shot[0]),
        "over": _eight(shot[STACK - 1]),
        "near": _eight(shot[first]),
        "far": _eight(shot[second]),
        "truth": _sixteen(best_fusion(stack, radiance)),
    }


def best_fusion(stack: Sequence[Picture], radiance: Picture) -> Picture:
    """Return the candidate fusion with the highest MEF-SSIM against the stack.

    Candidates are Mertens' fusion of the stack and three tone mappings of the radiance. They are
    compared at a quarter of the size, but at least at :data:`JUDGED` pixels.

    Args:
        stack: HxWx3 exposures, display-encoded, [0, 1].
        radiance: HxWx3 linear radiance of the same scene and size.

    Returns:
        HxWx3 float32, display-encoded, [0, 1].
    """
    candidates = [exposure_fusion(stack), *(f(radiance) for f in (reinhard, drago, mantiuk))]
    side = min(radiance.shape[0], max(JUDGED, radiance.shape[0] // 4))
    reference = MefReference([resize(f, (side, side)) for f in stack])
    scores = [reference(resize(c, (side, side))) for c in candidates]
    return candidates[int(np.argmax(scores))]


def correction(sources: Sources, size: int, rng: np.random.Generator) -> SceneArrays:
    """Make a scene for exposure correction: a picture with an exposure error, and the truth.

    Errors come from :data:`CORRECTION_EVS`. The response of picture and truth is sRGB, as in the
    Exposure-Errors data. Photographs count as well exposed. Views of maps are scaled to a
    geometric mean of 0.18.

    Half of the pictures have camera noise, whatever their error, so that noise does not reveal the
    error.

    Returns:
        ``picture`` and ``truth``, size x size x 3 uint8, sRGB-encoded.
    """
    drawn = Camera.random(rng)
    camera = Camera(response.srgb(), drawn.full_well, drawn.read_noise)
    if sources.maps and rng.random() < 1 / 4:
        radiance = sources.view(size, rng)
        radiance *= 0.18 / np.exp(np.log(radiance.mean(axis=2) + 1e-6).mean())
    else:
        radiance = sources.part(size, rng)
    truth = camera.expose(radiance, 0.0)
    wrong = [ev for ev in CORRECTION_EVS if ev != 0]
    ev = 0.0 if rng.random() < WELL_EXPOSED else wrong[int(rng.integers(len(wrong)))]
    light = srgb_to_linear(truth)
    noisy = rng.random() < 1 / 2
    picture = camera.shoot(light, ev, rng) if noisy else camera.expose(light, ev)
    return {"picture": _eight(picture), "truth": _eight(truth)}


def expansion(sources: Sources, size: int, rng: np.random.Generator) -> SceneArrays:
    """Make a scene for LDR-to-HDR expansion from a view of a radiance map.

    Returns:
        ``picture``, size x size x 3 uint8, encoded by a random camera. ``truth``, size x size x 3
        float16, linear radiance in [0, 1] relative to :data:`RADIANCE_HEADROOM` times white.
    """
    radiance = sources.view(size, rng)
    exposure = rng.uniform(-0.5, 2.0)
    camera = Camera.random(rng)
    picture = camera.shoot(radiance, exposure, rng)
    relative = np.clip(radiance * 2.0**exposure / RADIANCE_HEADROOM, 0, 1)
    return {"picture": _eight(picture), "truth": relative.astype(np.float16)}


def shots(sources: Sources, size: int, rng: np.random.Generator, count: int) -> SceneArrays:
    """Make a scene for a network of the user: the frames that it takes. There is no truth.

    The frames are those of :func:`edgeexpo.imaging.samples.samples`. A single frame has one of the
    exposure errors, and the response sRGB. Several frames are a bracket of a random camera, up to
    twice as wide and down to half as wide as there.

    Returns:
        ``frame0``, ``frame1`` and so on, darkest first, size x size x 3 uint8 each.
    """
    radiance = sources.scene(size, rng, photographs=3 / 4)
    camera = Camera.random(rng)
    if count == 1:
        camera = Camera(response.srgb(), camera.full_well, camera.read_noise)
        evs = np.array([rng.choice(EXPOSURE_ERRORS)])
    else:
        evs = np.linspace(-EV_SPREAD, EV_SPREAD, count) * 2.0 ** rng.uniform(-1, 1)
    return {f"frame{i}": _eight(camera.shoot(radiance, float(ev), rng)) for i, ev in enumerate(evs)}


def maker(kind: str) -> Maker:
    """Return the maker of a kind of scenes: a key of :data:`MAKERS`, or ``shots-N`` for N frames.

    Raises:
        KeyError: The kind is unknown.
    """
    if kind.startswith(SHOTS):
        return functools.partial(shots, count=int(kind.removeprefix(SHOTS)))
    return MAKERS[kind]


MAKERS: Mapping[str, Maker] = MappingProxyType(
    {
        "interpolation": interpolation,
        "fusion": fusion,
        "correction": correction,
        "expansion": expansion,
    }
)
"""Makers by the kind of scene."""


def _photographs(folder: Path, held_out: bool | None) -> Photographs | None:
    def wanted(name: str) -> bool:
        return held_out is None or held_out_photograph(name) == held_out

    return Photographs(photograph_files(folder, wanted)) or None


def _eight(picture: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    return np.asarray(np.rint(np.clip(picture, 0, 1) * 255), np.uint8)


def _sixteen(picture: npt.NDArray[np.floating]) -> npt.NDArray[np.uint16]:
    return np.asarray(np.rint(np.clip(picture, 0, 1) * 65535), np.uint16)


def _has(folder: Path, patterns: Sequence[str]) -> bool:
    return any(True for p in patterns for _ in folder.glob(p))
