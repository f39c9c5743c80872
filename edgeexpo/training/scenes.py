"""Scenes for training: what a camera saw and the truth, one seeded scene for each index.

Radiance comes from equirectangular maps (perspective views of them) and from photographs turned
back to linear light; :class:`edgeexpo.imaging.camera.Camera` takes the pictures, so every truth is
exact. A maker is called with an index and gives the same scene for the same seed, in any order.
"""

from __future__ import annotations

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
from edgeexpo.imaging.tonemap import drago, mantiuk, reinhard
from edgeexpo.training.photographs import Photographs
from edgeexpo.training.synthesis import interpolation_pair, radiance_maps, random_view

SceneArrays = Mapping[str, npt.NDArray[Any]]
Maker = Callable[["Sources", int, np.random.Generator], SceneArrays]

STACK = 9
"""Exposures of the dense stack whose fusion is the target of fusion networks."""

JUDGED = 64
"""Smallest height and width at which candidates for the target are compared, pixels."""

CORRECTION_EVS = (-1.5, -1.0, 0.0, 1.0, 1.5)
"""Exposure errors of the Exposure-Errors data set (Afifi et al., CVPR 2021)."""

WELL_EXPOSED = 0.4
"""Share of correction scenes without an error: with the data set's fifth, networks spoil them."""

RADIANCE_HEADROOM = 16.0
"""Radiance at which the fixed-range target of LDR->HDR saturates, over that of a white pixel."""


@dataclass(frozen=True)
class Sources:
    """Radiance maps and linear photographs, by name."""

    maps: Mapping[str, Picture]
    photographs: Photographs | None

    def scene(self, size: int, rng: np.random.Generator, photographs: float = 1 / 3) -> Picture:
        """Linear radiance, ``size x size x 3``: a view of a map, or part of a photograph."""
        if self.photographs and (not self.maps or rng.random() < photographs):
            return self.part(size, rng)
        return self.view(size, rng)

    def view(self, size: int, rng: np.random.Generator) -> Picture:
        """A perspective view of a random map.

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
        """A part of a random photograph.

        Raises:
            UsageError: There is no photograph to train on.
        """
        if not self.photographs:
            raise UsageError(
                "this network learns from photographs; the folder has none that is not held out"
            )
        return part(self.photographs.draw(rng), size, rng)


def read_sources(folder: Path, held_out: bool = False) -> Sources:
    """Everything under ``folder`` that can be trained on: ``.hdr``/``.exr`` maps and photographs.

    Maps lie in ``folder/hdri`` (or ``folder``), photographs in ``folder/photos`` (or ``folder``).
    One photograph in five (by a checksum of its name) is held out, and the maps of
    :data:`edgeexpo.training.synthesis.HELD_OUT`.

    Raises:
        UsageError: The folder is missing or holds neither.
    """
    if not folder.is_dir():
        raise UsageError(f"no folder {folder}; expected radiance maps (.hdr) and photographs in it")
    maps, pictures = (s if (s := folder / n).is_dir() else folder for n in ("hdri", "photos"))
    found = Sources(
        radiance_maps(maps, held_out=held_out) if _has(maps, ("*.hdr", "*.exr")) else {},
        _photographs(pictures, held_out),
    )
    if not found.maps and not found.photographs:
        raise UsageError(f"{folder} has no .hdr map and no photograph; expected some of either")
    return found


def held_out_photograph(name: str) -> bool:
    """True for the fifth of all photographs that is for evaluation only."""
    return zlib.crc32(name.encode()) % 5 == 0


def part(picture: Picture, size: int, rng: np.random.Generator) -> Picture:
    """A random square of a picture, at least half its shorter side, scaled to ``size``."""
    shorter = min(picture.shape[:2])
    side = int(rng.uniform(0.5, 1.0) * shorter)
    top = int(rng.integers(0, picture.shape[0] - side + 1))
    left = int(rng.integers(0, picture.shape[1] - side + 1))
    return resize(picture[top : top + side, left : left + side], (size, size))


def interpolation(sources: Sources, size: int, rng: np.random.Generator) -> SceneArrays:
    """``y0`` as the runtime's front stage gives it, and the exact exposure half way (LRL).

    Half of the scenes are photographs: scaled down, they have texture as fine as noise, which
    views of maps lack.
    """
    y0, truth = interpolation_pair(sources.scene(size, rng, photographs=1 / 2), rng)
    return {"y0": _sixteen(y0), "truth": _sixteen(truth)}


def fusion(sources: Sources, size: int, rng: np.random.Generator) -> SceneArrays:
    """The ends of a bracket 4 to 8 EV wide, and the best fusion of its dense stack.

    ``truth`` is the best of {Mertens, Reinhard, Drago, Mantiuk} by MEF-SSIM against the noiseless
    stack. ``near`` and ``far`` are two random frames of the stack, for networks that learn from
    any pair.
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
    """The candidate with the highest MEF-SSIM against the stack.

    They are compared at a quarter of the size, at least :data:`JUDGED`.
    """
    candidates = [exposure_fusion(stack), *(f(radiance) for f in (reinhard, drago, mantiuk))]
    side = min(radiance.shape[0], max(JUDGED, radiance.shape[0] // 4))
    reference = MefReference([resize(f, (side, side)) for f in stack])
    scores = [reference(resize(c, (side, side))) for c in candidates]
    return candidates[int(np.argmax(scores))]


def correction(sources: Sources, size: int, rng: np.random.Generator) -> SceneArrays:
    """A well-exposed picture and the same one exposed by one of :data:`CORRECTION_EVS`.

    The response is sRGB both ways, as in the Exposure-Errors data. Photographs are well exposed as
    they are; maps are developed with their geometric mean at 0.18. Half of the pictures have the
    noise of a camera, whatever their error, so that noise does not tell the error.
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
    """One 8-bit picture of a radiance map, and the radiance over :data:`RADIANCE_HEADROOM` times
    white."""
    radiance = sources.view(size, rng)
    exposure = rng.uniform(-0.5, 2.0)
    camera = Camera.random(rng)
    picture = camera.shoot(radiance, exposure, rng)
    relative = np.clip(radiance * 2.0**exposure / RADIANCE_HEADROOM, 0, 1)
    return {"picture": _eight(picture), "truth": relative.astype(np.float16)}


MAKERS: Mapping[str, Maker] = MappingProxyType(
    {
        "interpolation": interpolation,
        "fusion": fusion,
        "correction": correction,
        "expansion": expansion,
    }
)
"""Kind of scene -> its maker."""


def _photographs(folder: Path, held_out: bool) -> Photographs | None:
    found = Photographs(folder, lambda name: held_out_photograph(name) == held_out)
    return found or None


def _eight(picture: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    return np.asarray(np.rint(np.clip(picture, 0, 1) * 255), np.uint8)


def _sixteen(picture: npt.NDArray[np.floating]) -> npt.NDArray[np.uint16]:
    return np.asarray(np.rint(np.clip(picture, 0, 1) * 65535), np.uint16)


def _has(folder: Path, patterns: Sequence[str]) -> bool:
    return any(True for p in patterns for _ in folder.glob(p))
